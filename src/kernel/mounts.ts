/**
 * Mounts by descriptor: open_tree(2), mount_setattr(2), move_mount(2). What was opened is what is mounted: nobody can
 * swap a path in between. The three calls have one number on every architecture; Linux 5.12.
 * Failures throw an Error that names the call; its `code` is the errno's name.
 */
import { closeSync } from 'node:fs'
import koffi from 'koffi'
import { check } from './check.ts'

const libc = koffi.load('libc.so.6')
const call = {
  mount: libc.func('int mount(const char *source, const char *target, const char *type, uint64_t flags, void *data)'),
  umount: libc.func('int umount2(const char *target, int flags)'),
  openTree: libc.func('long syscall(long number, long directory, const char *path, uint64_t flags)'),
  setAttributes: libc.func(
    'long syscall(long number, long directory, const char *path, uint64_t flags, void *attributes, uint64_t size)',
  ),
  moveMount: libc.func(
    'long syscall(long number, long from, const char *fromPath, long to, const char *toPath, uint64_t flags)',
  ),
}

/** Turns `directory` into a mount of its own that shares nothing: what is mounted below it is seen here only. */
export function makePrivateMount(directory: string): void {
  check(`mount(${directory})`, call.mount(directory, directory, null, MS_BIND, null))
  check(`mount(${directory})`, call.mount(null, directory, null, MS_PRIVATE, null))
}

/**
 * Shows the file or directory behind `descriptor` (O_PATH is enough) at `target`, without the mounts below it, never
 * with set-user-ID programs or devices.
 *
 * `idmap`: a user namespace (descriptor) whose maps say, as `disk shown count`, which ids on disk appear as which ids;
 * everything else on disk belongs to nobody and cannot be given to (mount_setattr(2), «ID-mapped mounts»). A file
 * system that cannot do it throws with `code` EINVAL.
 */
export function mountDescriptor(
  descriptor: number,
  target: string,
  { readOnly, idmap }: { readonly readOnly: boolean; readonly idmap: number | null },
): void {
  const tree = cloneTree(descriptor, { readOnly, idmap })
  try {
    check('move_mount', call.moveMount(SYS_move_mount, tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH))
  } finally {
    closeSync(tree)
  }
}

/** Throws as `mountDescriptor` does where the file system cannot map owners; mounts nothing anywhere. */
export function proveIdmap(descriptor: number, idmap: number): void {
  closeSync(cloneTree(descriptor, { readOnly: false, idmap }))
}

/** A mount that is nowhere yet, by descriptor: it goes with its last one. */
function cloneTree(descriptor: number, { readOnly, idmap }: { readOnly: boolean; idmap: number | null }): number {
  const tree = check(
    'open_tree',
    call.openTree(SYS_open_tree, descriptor, '', AT_EMPTY_PATH | OPEN_TREE_CLONE | O_CLOEXEC),
  )
  try {
    const attributes = Buffer.alloc(32) // struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    const flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (readOnly ? MOUNT_ATTR_RDONLY : 0)
    attributes.writeBigUInt64LE(BigInt(flags | (idmap === null ? 0 : MOUNT_ATTR_IDMAP)), 0)
    attributes.writeBigUInt64LE(BigInt(MS_PRIVATE), 16)
    attributes.writeBigUInt64LE(BigInt(idmap ?? 0), 24)
    check('mount_setattr', call.setAttributes(SYS_mount_setattr, tree, '', AT_EMPTY_PATH, attributes, 32))
    return tree
  } catch (error) {
    closeSync(tree)
    throw error
  }
}

/** Takes the mount at `target` away from this namespace; who has it open or bound elsewhere keeps it. */
export function unmount(target: string): void {
  check(`umount2(${target})`, call.umount(target, MNT_DETACH))
}

const SYS_open_tree = 428
const SYS_move_mount = 429
const SYS_mount_setattr = 442
const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const OPEN_TREE_CLONE = 1
const O_CLOEXEC = 0o2000000
const MOVE_MOUNT_F_EMPTY_PATH = 4
const MOUNT_ATTR_RDONLY = 0x1
const MOUNT_ATTR_NOSUID = 0x2
const MOUNT_ATTR_NODEV = 0x4
const MOUNT_ATTR_IDMAP = 0x100000
const MS_BIND = 0x1000
const MS_PRIVATE = 1 << 18
const MNT_DETACH = 2
