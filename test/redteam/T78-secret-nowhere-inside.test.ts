/** The real key, the caller's variables and the caller's files are nowhere inside. T78, T91, T123, T127–T129. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runArguments } from '../world/clrk.ts'
import { mainJob } from '../world/manifests.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { USERS } from './probe.ts'

for (const user of USERS) {
  testEverywhere(`what the caller has, the agent never sees (user ${user})`, async world => {
    const home = join(world.directory, 'home')
    mkdirSync(join(home, '.aws'))
    for (const file of ['.netrc', '.aws/credentials', '.git-credentials']) writeFileSync(join(home, file), world.key)
    const held = join(world.directory, 'held-open')
    writeFileSync(held, world.key)

    const run = runArguments(world, ['python3', '-c', SCRIPT], { manifests: mainJob(world.key), user })
    const { code, stdout, stderr } = await world.host(['sh', '-c', `exec 9<"${held}"; exec "$@"`, 'sh', ...run], {
      env: {
        PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
        HOME: home,
        ANTHROPIC_API_KEY: world.key,
        MY_OWN_TOKEN: world.key,
        SSH_AUTH_SOCK: `/run/${world.key}.sock`,
        HTTPS_PROXY: `http://user:${world.key}@proxy.example.com`,
      },
      cwd: home,
    })
    assert.equal(code, 0, stderr)
    const seen = JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
    assert.deepEqual(seen.hits, [])
    assert.ok(seen.files > 20 && seen.processes >= 1) // it looked somewhere
    assert.deepEqual(seen.descriptors, ['0', '1', '2'])
    assert.equal(seen.placeholder, 'clrk-injected-by-proxy')
    assert.deepEqual(seen.keys, '')
    assert.deepEqual(seen.proxies, [])
    assert.ok(!`${stdout}${stderr}`.includes(world.key))
  })
}

/** Looks for keys by their beginning, put together here so that the script does not find itself. */
const SCRIPT = `
import json, os, stat
needle = ("sk-ant-" + "canary-").encode()
hits, files, processes = [], 0, 0
open_here = sorted(fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))

def look(path, limit=1 << 22):
    global files
    try:
        with open(path, "rb") as file:
            files += 1
            if needle in file.read(limit): hits.append(path)
    except OSError: pass

for pid in filter(str.isdigit, os.listdir("/proc")):
    processes += 1
    for name in ("environ", "cmdline", "mountinfo", "maps", "status", "comm"): look(f"/proc/{pid}/{name}")
    for name in ("cwd", "root", "exe"):
        try:
            if needle.decode() in os.readlink(f"/proc/{pid}/{name}"): hits.append(f"/proc/{pid}/{name}")
        except OSError: pass
for name in ("keys", "key-users", "sysvipc/shm", "mounts"): look(f"/proc/{name}")
for root in {"/home", "/root", "/tmp", "/run", "/var", "/etc", "/clrk", "/srv", "/mnt", "/dev/shm", os.environ.get("HOME", "/"), os.getcwd()}:
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            try:
                if stat.S_ISREG(os.stat(path).st_mode): look(path)
            except OSError: pass
def read(path):
    try:
        with open(path) as file: return file.read()
    except OSError: return ""
for name, value in os.environ.items():
    if needle.decode() in value: hits.append("$" + name)
print(json.dumps({
    "hits": hits, "files": files, "processes": processes, "descriptors": open_here,
    "placeholder": os.environ.get("ANTHROPIC_API_KEY"), "keys": read("/proc/keys"),
    "proxies": [name for name in os.environ if name.lower().endswith("_proxy")],
}))
`
