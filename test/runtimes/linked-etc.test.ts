/** The sandbox's own files of /etc are found wherever the host's links lead. In this test's mount namespace only. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { NETNS, run, runtime, SCRATCH, sh, specOf } from './sandboxes.ts'

const [upper, work] = [join(SCRATCH, 'upper'), join(SCRATCH, 'work')]
mkdirSync(upper)
mkdirSync(work)
execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=/etc,upperdir=${upper},workdir=${work}`, '/etc'])

function link(name: string, target: string): void {
  rmSync(`/etc/${name}`, { force: true })
  symlinkSync(target, `/etc/${name}`)
}

test('files of /etc that are links on the host, dangling or not, are our own inside', async t => {
  link('resolv.conf', '../run/systemd/resolve/stub-resolv.conf') // as systemd-resolved has it; nothing is there
  writeFileSync('/etc/hosts.real', '192.0.2.1 elsewhere\n')
  link('hosts', 'hosts.real')
  rmSync('/etc/hostname')
  const { stdout, stderr } = await run(t, sh('cat /etc/resolv.conf /etc/hosts'), { id: 'linked' })
  assert.equal(stderr, '')
  assert.equal(
    stdout,
    'nameserver 198.18.0.53\n127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.0.1 linked\n',
  )
})

test('a host without a file that every sandbox needs is told so', async () => {
  rmSync('/etc/hosts')
  await assert.rejects(
    runtime.start(specOf(['/bin/true']), NETNS),
    /showing \/etc\/hosts failed: the host has no such file\. Make one: touch \/etc\/hosts/,
  )
})
