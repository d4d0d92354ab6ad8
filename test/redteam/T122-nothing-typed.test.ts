/** A sandbox cannot type into the terminal that started it. T122. */
import assert from 'node:assert/strict'
import { runArguments } from '../world/clrk.ts'
import { testEverywhere } from '../world/runtimes.ts'
import { USERS } from './probe.ts'

testEverywhere('TIOCSTI and TIOCLINUX are refused, also with high bits set, and nothing is typed', async world => {
  for (const user of USERS) {
    const run = runArguments(world, ['python3', '-c', SANDBOXED], { user })
    const { stdout, code, stderr } = await world.host(['python3', '-c', CALLER, ...run])
    assert.equal(code, 0, stderr)
    assert.match(stdout, /typed=\[\]/, stdout)
    const outcomes = [...stdout.matchAll(/^(TIO\S+) (\S+)\r?$/gm)].map(([, name, outcome]) => [name, outcome])
    assert.deepEqual(
      outcomes,
      ['TIOCSTI', 'TIOCSTI+high', 'TIOCSTI+top', 'TIOCLINUX', 'TIOCLINUX+high', 'TIOCLINUX+top'].map(name => [
        name,
        'EPERM',
      ]),
    )
  }
})

/** By syscall(2), for libc's ioctl may cut the request to 32 bits. */
const SANDBOXED = `
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_ulong, ctypes.c_char_p]
number = {"x86_64": 16, "aarch64": 29}[platform.machine()]
for name, request, data in (("TIOCSTI", 0x5412, b"X"), ("TIOCLINUX", 0x541c, b"\\3")):
    for suffix, bits in (("", 0), ("+high", 1 << 32), ("+top", 1 << 63)):
        done = libc.syscall(number, 0, request | bits, data)
        print(name + suffix, "done" if done >= 0 else errno.errorcode[ctypes.get_errno()], flush=True)
`

/** A shell in a terminal of its own runs the command, then says what was typed meanwhile. */
const CALLER = `
import os, pty, sys
def read(fd):
    return os.read(fd, 4096)
shell = '"$@"; IFS= read -r -t 1 -n 1 typed; echo "typed=[$typed]"'
status = pty.spawn(["bash", "-c", shell, "bash", *sys.argv[1:]], read, lambda fd: b"")
sys.exit(os.waitstatus_to_exitcode(status))
`
