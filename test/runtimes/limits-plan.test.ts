/** Where the limits are written, from what each kind of machine says about its cgroups. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { planCgroup } from '../../src/runtimes/cgroup.ts'

const LIMITS = { memoryBytes: 1048576, cpus: 0.5, pids: 100 }

function planned(mountinfo: string, cgroup: string) {
  const { directories, writes } = planCgroup({ mountinfo, cgroup }, 'clrk-x', LIMITS)
  return [...directories, ...writes.map(({ path, value, optional }) => `${path} = ${value}${optional ? ' ?' : ''}`)]
}

const V1_MOUNTS = `30 25 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
33 25 0:29 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw`

test('cgroup v1, and the hybrid of both: below the own directory of each hierarchy', () => {
  assert.deepEqual(planned(V1_MOUNTS, '3:memory:/user/1\n2:cpu,cpuacct:/\n1:pids:/user:2\n0::/'), [
    '/sys/fs/cgroup/memory/user/1/clrk-x',
    '/sys/fs/cgroup/pids/user:2/clrk-x',
    '/sys/fs/cgroup/cpu,cpuacct/clrk-x',
    '/sys/fs/cgroup/memory/user/1/clrk-x/memory.limit_in_bytes = 1048576',
    '/sys/fs/cgroup/memory/user/1/clrk-x/memory.memsw.limit_in_bytes = 1048576 ?',
    '/sys/fs/cgroup/pids/user:2/clrk-x/pids.max = 102',
    '/sys/fs/cgroup/cpu,cpuacct/clrk-x/cpu.cfs_period_us = 100000',
    '/sys/fs/cgroup/cpu,cpuacct/clrk-x/cpu.cfs_quota_us = 50000',
  ])
})

test('cgroup v1 in a container that sees only its own part', () => {
  const mounts = V1_MOUNTS.replaceAll(' / /sys', ' /docker/abc /sys')
  const [memory] = planned(mounts, '3:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:pids:/docker/abc/in')
  assert.equal(memory, '/sys/fs/cgroup/memory/clrk-x')
})

test('cgroup v2: one directory, at the root', () => {
  const mountinfo = '30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate'
  assert.deepEqual(planned(mountinfo, '0::/user.slice/session-1.scope'), [
    '/sys/fs/cgroup/clrk-x',
    '/sys/fs/cgroup/cgroup.subtree_control = +memory +pids +cpu',
    '/sys/fs/cgroup/clrk-x/memory.max = 1048576',
    '/sys/fs/cgroup/clrk-x/memory.swap.max = 0 ?',
    '/sys/fs/cgroup/clrk-x/pids.max = 102',
    '/sys/fs/cgroup/clrk-x/cpu.max = 50000 100000',
  ])
})

test('without the controllers there is no sandbox: limits are never left out', () => {
  const some = V1_MOUNTS.split('\n').slice(0, 2).join('\n')
  for (const mountinfo of ['', some, `${some}\n${V1_MOUNTS.split('\n')[3]}`]) {
    assert.throws(() => planned(mountinfo, '3:memory:/\n2:cpu,cpuacct:/\n1:pids:/'), /they are not all mounted/)
  }
})
