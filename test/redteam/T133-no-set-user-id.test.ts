/** No file that a sandbox makes or changes in its workspace carries set-user-ID or set-group-ID on the host's disk. T133. */
import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { makeWorkspace } from '../world/clrk.ts'
import { ALL_PLACES, testEverywhere } from '../world/runtimes.ts'
import { assertOutcomes, runProbes, USERS } from './probe.ts'

for (const owner of [0, 65_534]) {
  testEverywhere(`mode bits are refused in each call (owner ${owner} on disk)`, { places: ALL_PLACES }, async world => {
    // In an image it runs as the owner.
    for (const user of world.image === null ? USERS : [null]) {
      const workspace = makeWorkspace(world, `workspace-${user}`, owner)
      const outcomes = await runProbes(world, SCRIPT, { ...(user && { user }), workspace, cwd: workspace })
      const { plain, ...tried } = outcomes
      assert.equal(plain, 'done') // it can write there
      assertOutcomes(tried, /^E(PERM|NOSYS|INVAL)$/)
      const files = readdirSync(workspace)
      assert.ok(files.includes('plain'))
      for (const file of files) {
        const { mode, uid } = statSync(join(workspace, file))
        assert.equal(mode & 0o6000, 0, `${file} has mode ${mode.toString(8)}`)
        assert.equal(uid, owner)
      }
    }
  })
}

/** By system call, so that no library stands between; numbers of x86_64 and aarch64. */
const SCRIPT = `
import ctypes, platform, stat
libc = ctypes.CDLL(None, use_errno=True)
AT = -100
def call(numbers, *arguments):
    number = numbers[platform.machine() == "aarch64"]
    if number is None: raise PermissionError(errno.EPERM, "no such call here")
    if libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]) < 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"

WRITE_CREATE = os.O_WRONLY | os.O_CREAT
attempt("plain", call, (257, 56), AT, b"plain", WRITE_CREATE, 0o644)
for name, bits in (("user", 0o4755), ("group", 0o2755), ("both", 0o6711)):
    attempt(f"chmod {name}", call, (90, None), b"plain", bits)
    attempt(f"fchmod {name}", lambda: call((91, 52), os.open("plain", os.O_RDONLY), bits))
    attempt(f"fchmodat {name}", call, (268, 53), AT, b"plain", bits)
    attempt(f"fchmodat2 {name}", call, (452, 452), AT, b"plain", bits, 0)
    attempt(f"open {name}", call, (2, None), f"open-{name}".encode(), WRITE_CREATE, bits)
    attempt(f"openat {name}", call, (257, 56), AT, f"openat-{name}".encode(), WRITE_CREATE, bits)
    attempt(f"creat {name}", call, (85, None), f"creat-{name}".encode(), bits)
    attempt(f"mknod {name}", call, (133, None), f"mknod-{name}".encode(), stat.S_IFREG | bits, 0)
    attempt(f"mknodat {name}", call, (259, 33), AT, f"mknodat-{name}".encode(), stat.S_IFREG | bits, 0)
    attempt(f"mkdir {name}", call, (83, None), f"mkdir-{name}".encode(), bits)
    attempt(f"mkdirat {name}", call, (258, 34), AT, f"mkdirat-{name}".encode(), bits)
    how = struct.pack("QQQ", WRITE_CREATE, bits, 0)
    attempt(f"openat2 {name}", call, (437, 437), AT, f"openat2-{name}".encode(), how, len(how))
`
