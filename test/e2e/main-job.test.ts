/**
 * The main job: an unmodified client in a sandbox without keys or interfaces gets its 200 with the injected credential,
 * and nothing inside ever holds it.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { auditLines, clrkRun, makeWorkspace, startWorker, stateOf, stopWorker } from '../world/clrk.ts'
import { eventually } from '../world/eventually.ts'
import { assertNothingLeft, grepForCanary, snapshot } from '../world/leaks.ts'
import { gateway, injection, mainJob, providerRoute, secret } from '../world/manifests.ts'
import { valuesOf } from '../world/origins.ts'
import { addRepository } from '../world/repository.ts'
import { ALL_PLACES, testEverywhere } from '../world/runtimes.ts'

const URL = 'https://api.anthropic.com/v1/messages'
const BODY = JSON.stringify({ model: 'claude-stand-in', max_tokens: 16, messages: [{ role: 'user', content: 'hi' }] })

const places = ALL_PLACES
testEverywhere('every client gets its answer with the key that it does not have', { places }, async (world, t) => {
  const workspace = makeWorkspace(world)
  const before = snapshot(world)
  const worker = await startWorker(world, [])
  const manifests = mainJob(world.key)

  for (const [client, argv] of Object.entries(clients(workspace))) {
    await t.test(client, async () => {
      const earlier = (await world.requests()).length
      const path = [dirname(process.execPath), pythonWithRequests(), SYSTEM_PATH].join(':')
      const env = { PATH: path, HOME: join(world.directory, 'home'), LANG: 'C.UTF-8', ANTHROPIC_API_KEY: world.key }
      const { code, stdout, stderr } = await clrkRun(world, argv, { manifests, workspace, env })
      assert.equal(code, 0, `${stdout}\n${stderr}`)
      assert.match(stdout, /^status 200$/m)
      assert.match(stdout, /"input_tokens":\s?11/)
      assert.ok(!`${stdout}${stderr}`.includes(world.key))
      const [request, ...more] = (await world.requests()).slice(earlier)
      assert.ok(request)
      assert.deepEqual(more, [])
      assert.deepEqual(valuesOf(request, 'x-api-key'), [world.key])
      assert.deepEqual([request.method, request.target, request.body], ['POST', '/v1/messages', BODY])
    })
  }

  await t.test('events stream through', async () => {
    const argv = ['curl', '-sSN', URL, '-H', 'content-type: application/json', '-d', '{"stream":true}']
    const { stdout } = await clrkRun(world, argv, { manifests })
    assert.match(stdout, /event: message_start[\s\S]*event: message_delta\ndata: .*"output_tokens":7/)
  })

  await t.test('nothing on the host holds the key but the manifests that brought it', () => {
    const holders = grepForCanary(world, world.key, [stateOf(world)])
    assert.deepEqual(holders, [])
  })
  assert.equal((await stopWorker(worker)).code, 0)
  await assertNothingLeft(world, before)
})

testEverywhere('git over HTTPS clones with the credential that it does not have', async world => {
  await addRepository(world, 'acme/notes.git', { 'notes.txt': 'kept in git\n' })
  const basic = `Basic ${Buffer.from(`x-access-token:${world.key}`).toString('base64')}`
  const manifests = [
    gateway(),
    providerRoute({ provider: 'custom', hostnames: ['github.com'] }, 'github'),
    injection('github', 'authorization'),
    secret('github-credentials', { 'api-key': basic }),
  ]
  const script =
    'git clone -q https://github.com/acme/notes.git "$HOME/notes" && cat "$HOME/notes/notes.txt" && cat "$HOME/notes/.git/config"'
  const { code, stdout, stderr } = await clrkRun(world, ['sh', '-c', script], { manifests })
  assert.equal(code, 0, `${stderr}\n${JSON.stringify([auditLines(world), await world.requests()])}`)
  assert.match(stdout, /^kept in git\n/)
  assert.ok(!`${stdout}${stderr}`.includes(basic))
  const requests = await world.requests()
  assert.ok(requests.length >= 2)
  for (const request of requests) assert.deepEqual(valuesOf(request, 'authorization'), [basic])
})

testEverywhere(
  'the host’s roots need not know the provider: upstreamTLS.additionalTrustBundleSecretRef',
  { hostTrustsStandIns: false },
  async world => {
    const argv = ['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', URL, '-d', BODY]
    const refused = await clrkRun(world, argv, { manifests: mainJob(world.key) })
    assert.equal(refused.stdout, '502')
    assert.deepEqual(await world.requests(), [])
    const bundle = { upstreamTLS: { additionalTrustBundleSecretRef: { name: 'stand-ins' } } }
    const manifests = [...mainJob(world.key, bundle), secret('stand-ins', { 'ca.crt': world.authority })]
    const answered = await clrkRun(world, argv, { manifests })
    assert.equal(answered.stdout, '200', answered.stderr)
  },
)

testEverywhere('the span shows the credential redacted', async world => {
  const otlp = { otlp: { endpoint: 'http://collector.example.com:4318' } }
  await startWorker(world, [])
  await clrkRun(world, ['curl', '-sS', URL, '-d', BODY], { manifests: mainJob(world.key, otlp) })
  const span = await eventually(async () =>
    (await world.requests()).find(({ role, target }) => role === 'collector' && target === '/v1/traces'),
  )
  assert.match(span.body, /"http\.request\.header\.x-api-key","value":\{"stringValue":"\[redacted\]"/)
  assert.ok(!JSON.stringify(span).includes(world.key))
})

/** Each prints the status as `status 200` and the body. */
function clients(workspace: string): Readonly<Record<string, readonly string[]>> {
  const header = 'content-type: application/json'
  const node = `const r = await fetch('${URL}', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '${BODY}' })
console.log('status', r.status); console.log(await r.text())`
  const python = `import requests
r = requests.post('${URL}', data='${BODY}', headers={'content-type': 'application/json'})
print('status', r.status_code); print(r.text)`
  return {
    curl: ['curl', '-sS', '-w', '\nstatus %{http_code}\n', URL, '-H', header, '-d', BODY],
    'Node fetch': ['node', '--input-type=module', '-e', node],
    'Python requests': ['python3', '-c', python],
    'a Go program': [goProgram(workspace)],
  }
}

function goProgram(workspace: string): string {
  const source = join(workspace, 'main.go')
  writeFileSync(source, GO)
  const program = join(workspace, 'go-client')
  const env = {
    ...process.env,
    PATH: `${process.env.PATH}:/usr/local/go/bin`,
    CGO_ENABLED: '0',
    GO111MODULE: 'off',
    GOPROXY: 'off',
    GOTOOLCHAIN: 'local',
  }
  execFileSync('go', ['build', '-o', program, source], { env })
  return program
}

/** The directory of a Python that has requests: often one under a home (pyenv), else the system's. */
function pythonWithRequests(): string {
  for (const python of ['python3', '/usr/bin/python3']) {
    const { status, stdout } = spawnSync(python, ['-c', 'import sys, requests; print(sys.executable)'], {
      encoding: 'utf8',
    })
    if (status === 0) return dirname(stdout.trim())
  }
  throw new Error('no Python with requests: sh src/setup.sh test')
}

const GO = `package main

import ("fmt"; "io"; "net/http"; "os"; "strings")

func main() {
	r, err := http.Post("${URL}", "application/json", strings.NewReader(\`${BODY}\`))
	if err != nil { fmt.Println(err); os.Exit(1) }
	body, _ := io.ReadAll(r.Body)
	fmt.Println("status", r.StatusCode)
	fmt.Println(string(body))
}
`
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
