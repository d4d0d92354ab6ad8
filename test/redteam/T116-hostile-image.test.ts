/** What an image says of itself steers neither the engine nor what root runs for it: refused, or without effect. T116. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { clrkRun, makeWorkspace, spawnClrkRun } from '../world/clrk.ts'
import { busybox, ENGINE, importImage } from '../world/engine.ts'
import { loadOciImage } from '../world/oci-image.ts'
import { createPlace } from '../world/runtimes.ts'

test('annotations of a manifest that runtimes obey are refused, where the engine hands them on', async t => {
  const world = await createPlace(t, 'podman')
  const engine = world.engine
  assert.ok(engine)
  const made = join(world.directory, 'made-by-an-image')
  const run = async (annotations: Record<string, string>) => {
    await loadOciImage(engine, 'localhost/annotated:latest', busybox(), annotations)
    return clrkRun({ ...world, image: 'localhost/annotated:latest' }, ['echo', 'inside'])
  }
  for (const [name, value] of [
    ['run.oci.hooks.stdout', made],
    ['org.systemd.property.TasksMax', 'uint64 99999'],
    ['io.podman.annotations.privileged', 'TRUE'],
    ['com.example.hook', 'any'],
  ] as const) {
    const { code, stdout, stderr } = await run({ 'org.opencontainers.image.title': 'x', [name]: value })
    assert.deepEqual([code, stdout], [1, ''], `${name}: ${stderr}`)
    assert.match(stderr, new RegExp(`^clrk: the image cannot be had: .* annotation ${name},.*\\n$`))
  }
  assert.ok(!existsSync(made))
  const { stdout, stderr } = await run({ 'org.opencontainers.image.title': 'x' })
  assert.equal(stdout, 'inside\n', stderr)
})

test('nothing of an image runs but what is asked for, steers the trust, or is left', async t => {
  const world = await createPlace(t, ENGINE)
  const engine = world.engine
  assert.ok(engine)
  const changes = [
    'ENV PATH=/bin SSL_CERT_FILE=/own.pem NODE_EXTRA_CA_CERTS=/own.pem GIT_SSL_CAINFO=/own.pem LD_PRELOAD=/own.so',
    'VOLUME ["/data","/run/clrk","/etc/ssl/certs"]',
    'ENTRYPOINT ["/bin/touch","/entrypoint"]',
    'LABEL clrk.apoxy.dev/state=other clrk.apoxy.dev/role=pause clrk.apoxy.dev/sandbox=other',
    ...(ENGINE === 'docker' ? ['HEALTHCHECK --interval=1s --timeout=1s CMD touch /data/health'] : []),
  ]
  // Where a careless engine would follow links and special files of an image, out of it.
  const links = { 'etc/hosts': { link: '/proc/1/environ' }, 'etc/resolv.conf': { link: '../../../../proc/1/environ' } }
  await importImage(engine, 'localhost/hostile:latest', { ...busybox(), ...links }, changes)
  const hostile = { ...world, image: 'localhost/hostile:latest' }
  const script = `env | grep /own; cat /etc/hosts /etc/resolv.conf; sleep 3; ls /data/health /entrypoint; ${TOUCHES}`
  const { stdout, stderr } = await clrkRun(hostile, ['/bin/sh', '-c', script], { user: '0' })
  assert.match(stdout, /^LD_PRELOAD=\/own.so\n127\.0\.0\.1 localhost\n.*\nnameserver 198\.18\.0\.53\n$/s, stderr)
  assert.match(stderr, /health: No such file.*entrypoint: No such file/s)
  assert.equal(stderr.match(/Read-only file system|nonexistent directory|Permission denied/g)?.length, 4, stderr)

  // What an engine mounts by its path, no agent may swap until then.
  const workspace = makeWorkspace(world)
  mkdirSync(join(workspace, 'inner'))
  const writer = spawnClrkRun({ ...world, image: null }, ['sh', '-c', 'echo up; cat'], { workspace, input: 'open' })
  await writer.saw(/up/)
  const inner = await clrkRun(hostile, ['/bin/true'], { workspace: join(workspace, 'inner') })
  assert.match(inner.stderr, /inner.*lies in .*workspace, which another agent writes to/)
  writer.stdin.end()
  await writer.exited

  const { Volumes } = await engine.docker.listVolumes()
  assert.deepEqual([Volumes ?? [], await engine.docker.listContainers({ all: true })], [[], []])
})

/** What uid 0 without a user namespace of its own would own. */
const TOUCHES = ['/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/sys/fs/cgroup/cgroup.procs', '/etc/hosts']
  .map(path => `(echo x >${path})`)
  .join('; ')
