/** No socket of the host is in sight: by path, abstract, on loopback; nor another sandbox, nor the proxy's own port. T70, T72–T74. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { REPOSITORY, spawnClrkRun, startWorker, stateOf } from '../world/clrk.ts'
import { ALL_PLACES, testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes, USERS } from './probe.ts'

const places = ALL_PLACES
testEverywhere(
  "sockets of the host, of the worker and of other sandboxes can't be reached",
  { places },
  async (world, t) => {
    await startWorker(world, []) // one worker, so that the two sandboxes are siblings
    const inHome = join(world.directory, 'home/host.sock')
    const host = world.spawnHost(['python3', '-c', HOST_SERVERS, inHome])
    const sibling = spawnClrkRun(world, ['python3', '-u', '-c', SIBLING])
    await Promise.all([host.saw(/up/), sibling.saw(/up/)])
    const paths = [inHome, '/run/host.sock', '/tmp/host.sock', join(stateOf(world), 'control.sock')]

    for (const user of USERS) {
      await t.test(`as user ${user}`, async () => {
        const outcomes = await runProbes(world, script(paths), { user })
        const { own, ...others } = outcomes
        assert.equal(own, 'echoed') // sockets work at all
        assertOutcomes(others, /^(ENOENT|EACCES|EROFS|refused|reset|not there)$/)
      })
    }
    assert.equal(host.written().stdout, 'up\n')
    assert.equal(sibling.written().stdout, 'up\n')
    assert.deepEqual(await world.arrivals(), [])
  },
)

const HOST_SERVERS = `import os, select, socket, sys
servers = []
for path in (sys.argv[1], "/run/host.sock", "/tmp/host.sock", "\\0host-abstract"):
    if path[0] == "/" and os.path.exists(path): os.unlink(path)
    servers.append(socket.socket(socket.AF_UNIX))
    servers[-1].bind(path)
    servers[-1].listen()
    if path[0] == "/": os.chmod(path, 0o777)
servers.append(socket.create_server(("127.0.0.1", 7001)))
servers.append(socket.create_server(("::1", 7001), family=socket.AF_INET6))
print("up", flush=True)
while True:
    for server in select.select(servers, [], [])[0]:
        print("reached", server.getsockname(), flush=True)
        server.accept()[0].close()`

const SIBLING = `import socket
server = socket.create_server(("::", 7002), family=socket.AF_INET6, dualstack_ipv6=True)
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\\0sibling-abstract")
abstract.listen()
print("up")
server.accept()
print("reached")`

/** An engine shows a container its own cgroup, read-only. */
const script = (paths: readonly string[]) => `
def unix(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        return "reached"

def own():
    with socket.create_server(("127.0.0.1", 7003)) as server, dial("127.0.0.1", 7003) as client:
        server.accept()[0].sendall(b"echoed")
        return client.recv(6).decode()

attempt("own", own)
for path in ${JSON.stringify(paths)}:
    attempt(path, unix, path)
for name in ("host-abstract", "sibling-abstract"):
    attempt(f"abstract {name}", unix, "\\0" + name)
for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/systemd/private", "/run/dbus/system_bus_socket"):
    attempt(path, unix, path)
addresses = {line.split()[3].split("/")[0] for line in subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True).stdout.splitlines()}
for address in {"127.0.0.1", "::1"} | addresses:
    for port in (7001, 7002, 15001, 15053):
        attempt(f"{address} port {port}", tcp, address, port)
for root in ("${REPOSITORY}", "/root", "/home", "/var/lib", "/srv", "/mnt", "/dev/vsock", "/dev/kvm", "/dev/sda", "/dev/vda", "/dev/mem"):
    attempt(root, lambda: "there" if os.path.exists(root) and (not os.path.isdir(root) or os.listdir(root)) else "not there")
for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"):
    attempt(f"a cgroup in {root}", lambda: os.mkdir(f"{root}/mine") or "made")
`
