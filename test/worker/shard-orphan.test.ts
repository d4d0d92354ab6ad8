/** A shard whose bwrap is killed before it would have ended with it: it ends all the same, and another one serves. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { shardFiles } from '../../src/worker/shard-spec.ts'
import { superviseShards } from '../../src/worker/supervise.ts'
import { eventually } from '../world/eventually.ts'

test('a shard that outlives its bwrap is let go by the worker', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'shard-orphan-'))
  t.after(() => rmSync(directory, { recursive: true }))
  chmodSync(directory, 0o755)
  const files = shardFiles()
  // As if the signal at its parent's end had not been asked for yet.
  const node = join(directory, 'node')
  writeFileSync(node, `#!/usr/bin/dash\nexec /usr/bin/setpriv --pdeathsig=clear '${files.node}' "$@"\n`, {
    mode: 0o755,
  })
  const said: string[] = []
  const supervisor = superviseShards({
    files: { ...files, node, readOnly: [...files.readOnly, node, '/usr/bin/dash'] },
    uid: 0x7000_0000,
    roots: '',
    gatewayState: () => null,
    sign: () => assert.fail('nobody asked'),
    audit: () => {},
    telemetry: () => {},
    log: (_level, message) => said.push(message),
  })
  t.after(supervisor.stop)
  const pidOf = () => supervisor.status()[0]?.pid ?? null
  const first = await eventually(pidOf)
  const bwrap = Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${first}/stat`, 'utf8'))?.[1])
  assert.match(readFileSync(`/proc/${bwrap}/comm`, 'utf8'), /^bwrap/)
  process.kill(bwrap, 'SIGKILL')
  await eventually(() => (existsSync(`/proc/${first}`) ? null : true))
  const second = await eventually(() => (pidOf() === first ? null : pidOf()))
  assert.ok(existsSync(`/proc/${second}`), said.join('\n'))
  assert.equal(supervisor.status()[0]?.restarts, 1)
})
