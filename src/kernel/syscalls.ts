/**
 * The system calls that Node has no words for: namespaces, raw listening sockets, SO_ORIGINAL_DST, descriptor passing.
 *
 * Everything here is synchronous, because a network namespace entered by the main thread must be left again before
 * anything asynchronous runs: libuv's thread pool would otherwise stay inside for ever (NETNS.md §3.4).
 * Failures throw an Error that names the call and the errno.
 */
import { closeSync, openSync } from 'node:fs'
import koffi from 'koffi'
import { check } from './check.ts'

const libc = koffi.load('libc.so.6')
const call = {
  setns: libc.func('int setns(int fd, int nstype)'),
  unshare: libc.func('int unshare(int flags)'),
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, void *address, uint32_t length)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  accept: libc.func('int accept4(int fd, void *address, void *length, int flags)'),
  connect: libc.func('int connect(int fd, void *address, uint32_t length)'),
  close: libc.func('int close(int fd)'),
  dup: libc.func('int fcntl(int fd, int command, int lowest)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, void *value, uint32_t length)'),
  getsockopt: libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)'),
  socketpair: libc.func('int socketpair(int domain, int type, int protocol, _Out_ int *pair)'),
  flock: libc.func('int flock(int fd, int operation)'),
  malloc_trim: libc.func('int malloc_trim(size_t pad)'),
  prctl: libc.func('int prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d)'),
  mount: libc.func(
    'int mount(const char *source, const char *target, const char *type, uint64_t flags, const char *data)',
  ),
}
koffi.struct('iovec', { base: 'void *', length: 'size_t' })
koffi.struct('msghdr', {
  name: 'void *',
  nameLength: 'uint32_t',
  vectors: 'iovec *',
  vectorCount: 'size_t',
  control: 'void *',
  controlLength: 'size_t',
  flags: 'int',
})
const sendmsg = libc.func('int64 sendmsg(int fd, msghdr *message, int flags)')
const recvmsg = libc.func('int64 recvmsg(int fd, _Inout_ msghdr *message, int flags)')

const CLONE_NEWNET = 0x40000000
const AF_UNIX = 1
const AF_INET = 2
const AF_INET6 = 10
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const SOCK_SEQPACKET = 5
const SOCK_CLOEXEC = 0o2000000
const SOCK_NONBLOCK = 0o4000
const SOL_IP = 0
const SOL_SOCKET = 1
const SOL_IPV6 = 41
const SO_REUSEADDR = 2
const SO_SNDTIMEO = 21
const IPV6_V6ONLY = 26
const SO_ORIGINAL_DST = 80
const SCM_RIGHTS = 1
const MSG_CMSG_CLOEXEC = 0x40000000
const MSG_DONTWAIT = 0x40
const F_DUPFD_CLOEXEC = 1030
const PR_SET_DUMPABLE = 4
const ENOENT = 2

/** A descriptor of a fresh, empty network namespace (close-on-exec). The namespace lives as long as the descriptor. */
export function createNetworkNamespace(): number {
  const home = openSync('/proc/thread-self/ns/net', 'r')
  try {
    check('unshare(CLONE_NEWNET)', call.unshare(CLONE_NEWNET))
    try {
      return openSync('/proc/thread-self/ns/net', 'r')
    } finally {
      if (call.setns(home, CLONE_NEWNET) !== 0) process.abort() // going on in the wrong namespace would be a leak
    }
  } finally {
    closeSync(home)
  }
}

/** Runs `action`, which must be synchronous, with the main thread inside the network namespace of `netns`. */
export function insideNetworkNamespace<T>(netns: number, action: () => T): T {
  const home = openSync('/proc/thread-self/ns/net', 'r')
  try {
    check('setns', call.setns(netns, CLONE_NEWNET))
    try {
      return action()
    } finally {
      if (call.setns(home, CLONE_NEWNET) !== 0) process.abort()
    }
  } finally {
    closeSync(home)
  }
}

function option(fd: number, level: number, name: number, value: number): void {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  check('setsockopt', call.setsockopt(fd, level, name, bytes, 4))
}

function socketAddress6(address: 'any' | 'loopback', port: number): Buffer {
  const bytes = Buffer.alloc(28)
  bytes.writeUInt16LE(AF_INET6, 0)
  bytes.writeUInt16BE(port, 2)
  if (address === 'loopback') bytes[23] = 1
  return bytes
}

function bound(domain: number, type: number, address: Buffer, prepare: (fd: number) => void): number {
  const fd = check('socket', call.socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))
  try {
    prepare(fd)
    check('bind', call.bind(fd, address, address.length))
    return fd
  } catch (error) {
    call.close(fd)
    throw error
  }
}

/** A TCP socket that listens on every address of both families. Backlog 4096: 511 overflowed (NETNS.md §3.4). */
export function listenTcp(port: number): number {
  const fd = bound(AF_INET6, SOCK_STREAM, socketAddress6('any', port), fd => {
    option(fd, SOL_SOCKET, SO_REUSEADDR, 1)
    option(fd, SOL_IPV6, IPV6_V6ONLY, 0)
  })
  check('listen', call.listen(fd, 4096))
  return fd
}

/**
 * A UDP socket bound to 127.0.0.1 or ::1 explicitly: a wildcard one answers from another address and the redirected
 * client never gets the reply. Without SO_REUSEADDR, or the sandbox could bind over it.
 */
export function bindUdpLoopback(family: 4 | 6, port: number): number {
  if (family === 6) {
    return bound(AF_INET6, SOCK_DGRAM, socketAddress6('loopback', port), fd => option(fd, SOL_IPV6, IPV6_V6ONLY, 1))
  }
  const address = Buffer.alloc(16)
  address.writeUInt16LE(AF_INET, 0)
  address.writeUInt16BE(port, 2)
  address.set([127, 0, 0, 1], 4)
  return bound(AF_INET, SOCK_DGRAM, address, () => {})
}

/**
 * Opens and closes a TCP connection from the current namespace to a documentation address, which is nowhere
 * (192.0.2.1, RFC 5737, or 2001:db8::1, RFC 3849): only a redirect to a listening socket can accept it. Blocks, for a
 * loopback handshake or at most two seconds. Not net.connect: Node would call connect() a tick later, outside.
 */
export function connectNowhere(family: 4 | 6): void {
  const address = Buffer.alloc(family === 4 ? 16 : 28)
  address.writeUInt16LE(family === 4 ? AF_INET : AF_INET6, 0)
  address.writeUInt16BE(443, 2)
  if (family === 4) address.set([192, 0, 2, 1], 4)
  else address.set([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 8)
  const fd = check('socket', call.socket(family === 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0))
  try {
    const timeout = Buffer.alloc(16)
    timeout.writeBigInt64LE(2n, 0)
    check('setsockopt', call.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, timeout, 16))
    check('connect', call.connect(fd, address, address.length))
  } finally {
    call.close(fd)
  }
}

/**
 * Takes one waiting connection off a listening socket, closes it, and tells where it was going. Throws with code EAGAIN
 * where none waits.
 */
export function takeConnection(listener: number): { address: string; port: number } | null {
  const fd = check('accept4', call.accept(listener, null, null, SOCK_CLOEXEC))
  try {
    return originalDestination(fd)
  } finally {
    call.close(fd)
  }
}

/** libuv sets SO_REUSEADDR on every UDP socket that it opens; this takes it off again (NETNS.md §3.4). */
export function forbidRebind(fd: number): void {
  option(fd, SOL_SOCKET, SO_REUSEADDR, 0)
}

export function closeDescriptor(fd: number): void {
  call.close(fd)
}

/** The same open file under another number, close-on-exec. */
export function duplicateDescriptor(fd: number): number {
  return check('fcntl(F_DUPFD_CLOEXEC)', call.dup(fd, F_DUPFD_CLOEXEC, 3))
}

const originalAddress = Buffer.alloc(28)
const originalLength = Buffer.alloc(4)

/**
 * Where a redirected connection was going: `address` in plain text (IPv4 dotted, IPv6 in full groups), or null where
 * the connection was not redirected. IPv4 first, because a dual-stack socket shows both families.
 */
export function originalDestination(fd: number): { address: string; port: number } | null {
  originalLength.writeUInt32LE(16)
  if (call.getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, originalAddress, originalLength) === 0) {
    const b = originalAddress
    return { address: `${b[4]}.${b[5]}.${b[6]}.${b[7]}`, port: b.readUInt16BE(2) }
  }
  if (koffi.errno() !== ENOENT) return null
  originalLength.writeUInt32LE(28)
  if (call.getsockopt(fd, SOL_IPV6, SO_ORIGINAL_DST, originalAddress, originalLength) !== 0) return null
  const groups: string[] = []
  for (let at = 8; at < 24; at += 2) groups.push(originalAddress.readUInt16BE(at).toString(16))
  return { address: groups.join(':'), port: originalAddress.readUInt16BE(2) }
}

/** Two connected SEQPACKET sockets: each packet carries descriptors (unix(7), SCM_RIGHTS). */
export function descriptorChannel(): readonly [number, number] {
  const pair = [0, 0]
  check('socketpair', call.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
  const [ours = -1, theirs = -1] = pair
  return [ours, theirs]
}

const CONTROL_HEADER = 16 // struct cmsghdr on 64-bit: size_t length, int level, int type

/** Sends `descriptors` (at most 16) with a short label. They stay open here. */
export function sendDescriptors(channel: number, label: string, descriptors: readonly number[]): void {
  const payload = Buffer.from(label)
  const control = Buffer.alloc(CONTROL_HEADER + Math.ceil((descriptors.length * 4) / 8) * 8)
  control.writeBigUInt64LE(BigInt(CONTROL_HEADER + descriptors.length * 4), 0)
  control.writeInt32LE(SOL_SOCKET, 8)
  control.writeInt32LE(SCM_RIGHTS, 12)
  descriptors.forEach((fd, index) => {
    control.writeInt32LE(fd, CONTROL_HEADER + index * 4)
  })
  check('sendmsg', Number(sendmsg(channel, header(payload, control), MSG_DONTWAIT)))
}

/** Receives one packet of `sendDescriptors`; does not wait. The descriptors are close-on-exec. */
export function receiveDescriptors(channel: number): { label: string; descriptors: readonly number[] } {
  const payload = Buffer.alloc(256)
  const control = Buffer.alloc(CONTROL_HEADER + 64)
  const message = header(payload, control)
  const length = check('recvmsg', Number(recvmsg(channel, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)))
  if (length === 0) throw new Error('recvmsg: the other end is closed')
  const controlLength = message.controlLength < CONTROL_HEADER ? 0 : Number(control.readBigUInt64LE(0))
  const descriptors: number[] = []
  for (let at = CONTROL_HEADER; at + 4 <= controlLength; at += 4) descriptors.push(control.readInt32LE(at))
  return { label: payload.toString('utf8', 0, length), descriptors }
}

function header(payload: Buffer, control: Buffer) {
  return {
    name: null,
    nameLength: 0,
    vectors: [{ base: payload, length: payload.length }],
    vectorCount: 1,
    control,
    controlLength: control.length,
    flags: 0,
  }
}

/** Takes the exclusive lock of an open file, which the kernel frees when this process ends; false if it is held. */
export function tryLock(fd: number): boolean {
  const LOCK_EX_NB = 6
  return call.flock(fd, LOCK_EX_NB) === 0
}

/** Gives memory that was freed back to the kernel (malloc_trim(3)). */
export function trimHeap(): void {
  call.malloc_trim(0)
}

/** No core dump and no ptrace by an equal uid: this process holds secrets (prctl(2), PR_SET_DUMPABLE). */
export function forbidCoreDump(): void {
  check('prctl(PR_SET_DUMPABLE)', call.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
}

/** Mounts a tmpfs (mode 0755, at most `bytes`) over `target` in this process's mount namespace. */
export function mountTmpfs(target: string, bytes: number): void {
  const MS_NOSUID_NODEV = 6
  check(`mount(tmpfs, ${target})`, call.mount('tmpfs', target, 'tmpfs', MS_NOSUID_NODEV, `mode=0755,size=${bytes}`))
}
