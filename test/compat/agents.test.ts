/** Claude Code and Codex as their vendors publish them: a prompt is answered with a key that is nowhere in the sandbox. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { clrkRun, makeWorkspace, startWorker } from '../world/clrk.ts'
import { injection, mainJob, providerRoute, secret } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { createWorld } from '../world/world.ts'
import { callerEnvironment } from './tools.ts'

const AGENTS = [
  {
    command: 'claude -p "say hello"',
    method: ['POST'],
    target: 'api.anthropic.com/v1/messages?beta=true',
    field: 'x-api-key',
    value: (key: string) => key,
  },
  {
    command: 'codex exec --skip-git-repo-check "say hello"',
    method: ['GET', 'POST'], // a WebSocket first
    target: 'api.openai.com/v1/responses',
    field: 'authorization',
    value: (key: string) => `Bearer ${key}`,
  },
] as const

test('one prompt each, with no setting at all', async t => {
  const world = await createWorld(t)
  const workspace = makeWorkspace(world)
  await startWorker(world, [])
  const manifests = [
    ...mainJob(world.key),
    providerRoute({ provider: 'openai', endpoints: ['/v1/responses'] }, 'openai'),
    injection('openai', 'authorization'),
    secret('openai-credentials', { 'api-key': `Bearer ${world.key}` }),
  ]
  const options = { manifests, workspace, cwd: workspace, env: callerEnvironment(world) }
  for (const { command, method, target, field, value } of AGENTS) {
    await t.test(command, async () => {
      const earlier = (await world.requests()).length
      const { code, stdout, stderr } = await clrkRun(world, ['sh', '-ec', `${command}\n${SEARCH}`], options)
      assert.equal(code, 0, `${stdout}\n${stderr}`)
      assert.equal(stdout, `Hello from the stand-in.\n${FOUND}`)
      assert.ok(!`${stdout}${stderr}`.includes(world.key))
      const arrived = (await world.requests()).slice(earlier)
      assert.deepEqual([...new Set(arrived.map(({ method }) => method))].sort(), method)
      for (const request of arrived) {
        assert.equal(`${request.server}${request.target}`, target)
        assert.deepEqual(valuesOf(request, field), [value(world.key)])
      }
    })
  }
  assert.deepEqual(await world.arrivals(), []) // the hosts of their vendors that no rule names were not dialled
})

/** Looks for the canary where an agent leaves anything, beside two places where it is: silence proves nothing. */
const SEARCH = `
  echo sk-ant-canary >planted
  PLANTED=sk-ant-canary sleep 100 & sleeper=$!
  until grep -qs PLANTED /proc/$sleeper/environ; do :; done
  find "$HOME" "$PWD" /tmp /run /dev/shm /proc/[0-9]*/environ -xdev -type f -readable -print0 2>/dev/null |
    xargs -0 grep -ls 'sk-ant-[c]anary' | sed "s#$PWD/##; s#/$sleeper/#/SLEEPER/#" | sort -u
  kill $sleeper`
const FOUND = '/proc/SLEEPER/environ\nplanted\n'
