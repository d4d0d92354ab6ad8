/** What an operator gets wrong is one clear line that says what to do, and an exit code that is not 0; nothing starts. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { stringify } from 'yaml'
import { CLRK, clrkRun, REPOSITORY, startWorker, stateOf } from '../world/clrk.ts'
import type { Finished } from '../world/machine.ts'
import { allowHosts, gateway, injection, l4Route, providerRoute } from '../world/manifests.ts'
import { createWorld, type World } from '../world/world.ts'

test('resources that are wrong are refused with file, line, column and what to write instead', async t => {
  const world = await createWorld(t)
  for (const [what, text, pattern] of [
    ['malformed YAML', 'kind: EgressGateway\nmetadata: {name: x\n', /bad\.yaml:\d+:\d+/],
    ['no kind', 'metadata: {name: x}\n', /bad\.yaml:1:1.*kind/],
    ['an unknown kind', stringify({ ...gateway(), kind: 'EgressGatway' }), /bad\.yaml:2:\d+.*EgressGateway/],
    ['an unknown field', stringify(gateway({ defaultPolcy: 'deny-all' })), /bad\.yaml:\d+:\d+.*defaultPolcy/],
    ['an unsupported kind', stringify({ ...gateway(), kind: 'MCPRoute' }), /MCPRoute.*not supported/],
    ['a wrong CIDR', stringify(l4Route([{ destinationCIDRs: ['10.0.0.0/33'] }])), /bad\.yaml:\d+:\d+.*10\.0\.0\.0\/33/],
    ['an address as host name', stringify(allowHosts('10.0.0.1')), /bad\.yaml:\d+:\d+.*10\.0\.0\.1/],
    [
      'a wrong port',
      stringify(l4Route([{ destinationHostnames: ['a.example.com'], ports: [{ port: 70_000 }] }])),
      /bad\.yaml:\d+:\d+: port.*65535/,
    ],
    [
      'UDP',
      stringify(l4Route([{ destinationHostnames: ['a.example.com'], protocol: 'UDP' }])),
      /bad\.yaml:\d+:\d+.*UDP/,
    ],
    ['an unknown provider', stringify(providerRoute({ provider: 'antropic' })), /bad\.yaml:\d+:\d+.*antropic/],
    [
      'a header without a name',
      stringify({ ...injection(), spec: { ...(injection().spec as object), headerName: '' } }),
      /bad\.yaml:\d+:\d+.*header name/,
    ],
  ] as const) {
    await t.test(what, async () => {
      const file = join(world.directory, 'bad.yaml')
      writeFileSync(file, text)
      const finished = await world.host([
        ...CLRK,
        'run',
        '-f',
        file,
        '--state',
        stateOf(world),
        '--',
        'echo',
        'started',
      ])
      assertOneLine(finished, pattern)
    })
  }
})

test('arguments that are wrong are named', async t => {
  const world = await createWorld(t)
  const run = (...argv: string[]) => world.host([...CLRK, ...argv])
  const state = ['--state', stateOf(world)]
  assertOneLine(await run('run', '--secret', 'a=NO_SUCH_VARIABLE', ...state, '--', 'true'), /NO_SUCH_VARIABLE/)
  assertOneLine(await run('run', '-f', '/no/such/file', ...state, '--', 'true'), /\/no\/such\/file/)
  assertOneLine(await run('run', '--gateway', 'nowhere', ...state, '--', 'true'), /nowhere/)
  assertOneLine(await run('run', '--allow', 'not a host', ...state, '--', 'true'), /not a host/)
  assertOneLine(await run('run', '--workspace', '/no/such/directory', ...state, '--', 'true'), /\/no\/such\/directory/)
  assertOneLine(await run('run', '--alow', 'a.example.com', ...state, '--', 'true'), /--allow/)
  assertOneLine(await run('run', ...state), /command/)
  assertOneLine(await run('rnu'), /run/)
  assertOneLine(await run('secret', 'set', 'a', '--from-literal', 'no-value', ...state), /--from-literal/)
  assertOneLine(await run('status', ...state), /worker/)
})

test('a missing Secret is named when the worker starts, and in the 503 that the agent reads', async t => {
  const world = await createWorld(t)
  const manifests = [gateway(), providerRoute(), injection()]
  const worker = await startWorker(world, manifests)
  await worker.saw(/anthropic-credentials/)
  const argv = ['curl', '-sS', '--fail-with-body', '-d', '{}', 'https://api.anthropic.com/v1/messages']
  const { code, stdout } = await clrkRun(world, argv, { manifests })
  assert.notEqual(code, 0)
  const { status, detail, fix } = JSON.parse(stdout)
  assert.equal(status, 503)
  assert.match(detail, /anthropic-credentials.*api-key/)
  assert.match(fix, /^clrk secret set \S*anthropic-credentials --from-env api-key=/)
})

test('a program that is missing is named, with the package that brings it', async t => {
  for (const [program, pattern] of [
    ['nft', /nft.*apt-get install nftables/],
    ['bwrap', /bwrap.*apt-get install bubblewrap/],
  ] as const) {
    const world = await createWorld(t)
    await hide(world, program)
    assertOneLine(await clrkRun(world, ['echo', 'started']), pattern)
  }
})

test('without root it says so', async t => {
  const world = await createWorld(t)
  // A clone below a home that is closed to others cannot be read by them: show it elsewhere.
  await world.host(['sh', '-c', `mkdir /run/clone && mount --bind '${REPOSITORY}' /run/clone`])
  const argv = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--', 'sh', '/run/clone/src/clrk']
  assertOneLine(await world.host([...argv, 'run', '--state', '/run/nobody', '--', 'echo', 'started']), /root.*sudo/)
  assert.equal((await world.host([...argv, '--version'])).code, 0)
})

function assertOneLine({ code, stdout, stderr }: Finished, pattern: RegExp): void {
  assert.notEqual(code, 0, stdout)
  assert.match(stderr, pattern)
  assert.equal(stderr.trim().split('\n').length, 1, stderr)
  assert.doesNotMatch(stderr, /^\s+at |node:internal/m)
  assert.equal(stdout, '')
}

/** Makes `program` disappear from the world's host: a directory of its own over the one that holds it. */
async function hide(world: World, program: string): Promise<void> {
  const script = `directory=$(dirname "$(readlink -f "$(command -v "$0")")") && mkdir /run/upper /run/work &&
    mknod "/run/upper/$0" c 0 0 && # an overlay's way to say that it is not there
    mount -t overlay overlay -o "lowerdir=$directory,upperdir=/run/upper,workdir=/run/work" "$directory" &&
    ! command -v "$0"`
  const { code, stderr } = await world.host(['sh', '-c', script, program])
  assert.equal(code, 0, stderr)
}
