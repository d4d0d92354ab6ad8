/**
 * A seccomp profile as data, and the BPF program that the kernel runs for it (seccomp(2)).
 *
 * libseccomp makes the allow list: it knows each machine's numbers and kills every foreign ABI. The questions about
 * arguments stand before it, in instructions of our own, because libseccomp can only add conditions to an allowed
 * call, compares 64 bits unless told otherwise, and has no «this number or newer».
 */
import { closeSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import koffi, { type LibraryHandle } from 'koffi'
import { clrkError } from '../errors.ts'
import { createPipe } from './descriptors.ts'

/** Asked of the low 32 bits of an argument: the kernel looks at no more of these, so high bits change nothing. */
export type ArgumentTest = {
  readonly argument: 0 | 1 | 2 | 3 | 4 | 5
} & ({ readonly anyBit: number } | { readonly oneOf: readonly number[] } | { readonly noneOf: readonly number[] })

/** An allowed call that is refused with `errno` when every test holds. */
export type Guard = {
  readonly calls: readonly string[]
  readonly refuse: readonly ArgumentTest[]
  readonly errno: 'EPERM' | 'EAFNOSUPPORT'
}

export type SeccompProfile = {
  /** What is not named here is refused with EPERM; so is a name that libseccomp or the architecture does not have. */
  readonly allow: readonly string[]
  readonly guards: readonly Guard[]
  /** Refused with ENOSYS, for which C libraries have a way around. */
  readonly absent: readonly string[]
  /** Every number above it is ENOSYS as well, as on the older kernel that had no such call. */
  readonly newest: number
}

/** The program, as bwrap's --seccomp takes it. Throws CLRK_TOOL_MISSING without libseccomp. */
export function compileSeccomp(profile: SeccompProfile): Buffer {
  const library = load()
  const guards = guardInstructions(profile, library.numberOf)
  const filter = library.init(ERRNO | constants.errno.EPERM)
  try {
    library.setAttribute(filter, SCMP_FLTATR_ACT_BADARCH, KILL_PROCESS)
    library.setAttribute(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) // a binary tree instead of a list
    const add = (action: number, names: readonly string[]) => {
      for (const name of names) {
        const number = library.numberOf(name)
        if (number >= 0 && library.addRule(filter, action, number, 0, null) !== 0) throw new Error(`seccomp: ${name}`)
      }
    }
    add(ALLOW, profile.allow)
    add(ERRNO | constants.errno.ENOSYS, profile.absent)
    return Buffer.concat([guards, exported(library, filter)])
  } finally {
    library.release(filter)
  }
}

function exported(library: ReturnType<typeof load>, filter: unknown): Buffer {
  const pipe = createPipe() // holds 64 KiB; the largest program that the kernel takes is half of that
  try {
    if (library.exportBpf(filter, pipe.write) !== 0) throw new Error('seccomp_export_bpf failed')
  } finally {
    closeSync(pipe.write)
  }
  try {
    return readFileSync(pipe.read)
  } finally {
    closeSync(pipe.read)
  }
}

type Instruction = { readonly code: number; readonly k: number; readonly yes?: number; readonly no?: number }

/** Jumps count instructions forward from the next one; the conditional ones reach 255. A is the only register used. */
function guardInstructions(profile: SeccompProfile, numberOf: (name: string) => number): Buffer {
  const architecture = AUDIT_ARCHITECTURE[process.arch]
  if (architecture === undefined) throw new Error(`seccomp: ${process.arch} is not known`)
  const guards = profile.guards.flatMap(guard =>
    guard.calls
      .map(numberOf)
      .filter(number => number >= 0)
      .flatMap(number => {
        const body = guardBody(guard)
        return [{ code: JUMP_EQUAL, k: number, yes: 0, no: body.length }, ...body]
      }),
  )
  const native: readonly Instruction[] = [
    { code: LOAD, k: OFFSET_NUMBER },
    { code: JUMP_AT_LEAST, k: X32_BIT, yes: 0, no: 1 }, // x32 calls: libseccomp's part kills them
    { code: JUMP, k: guards.length + 2 },
    { code: JUMP_ABOVE, k: profile.newest, yes: 0, no: 1 },
    { code: RETURN, k: ERRNO | constants.errno.ENOSYS },
    ...guards,
  ]
  return encode([
    { code: LOAD, k: OFFSET_ARCHITECTURE },
    { code: JUMP_EQUAL, k: architecture, yes: 1, no: 0 },
    { code: JUMP, k: native.length }, // a foreign ABI's numbers mean something else
    ...native,
  ])
}

/** Begins with any A; where nothing is refused it ends behind its last instruction, with the call's number in A. */
function guardBody({ refuse, errno }: Guard): readonly Instruction[] {
  const pass: readonly Instruction[] = [{ code: LOAD, k: OFFSET_NUMBER }]
  let body: readonly Instruction[] = [{ code: RETURN, k: ERRNO | constants.errno[errno] }, ...pass]
  for (const test of refuse.toReversed()) {
    const toPass = body.length - pass.length // from the instruction right before `body`
    body = [{ code: LOAD, k: OFFSET_ARGUMENTS + 8 * test.argument }, ...testJumps(test, toPass), ...body]
  }
  return body
}

function testJumps(test: ArgumentTest, toPass: number): readonly Instruction[] {
  if ('anyBit' in test) return [{ code: JUMP_ANY_BIT, k: test.anyBit, yes: 0, no: toPass }]
  if ('oneOf' in test) {
    const last = test.oneOf.length - 1
    return test.oneOf.map((k, at) => ({ code: JUMP_EQUAL, k, yes: last - at, no: at === last ? toPass : 0 }))
  }
  return test.noneOf.map((k, at) => ({ code: JUMP_EQUAL, k, yes: toPass + test.noneOf.length - 1 - at, no: 0 }))
}

/** struct sock_filter, little-endian as both architectures are. */
function encode(instructions: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(instructions.length * 8)
  instructions.forEach(({ code, k, yes = 0, no = 0 }, index) => {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(yes, index * 8 + 2)
    bytes.writeUInt8(no, index * 8 + 3)
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4)
  })
  return bytes
}

function load() {
  let library: LibraryHandle
  try {
    library = koffi.load('libseccomp.so.2')
  } catch {
    throw clrkError('CLRK_TOOL_MISSING', {
      tool: 'libseccomp.so.2',
      path: "the dynamic linker's directories",
      package: 'libseccomp2',
    })
  }
  return {
    init: library.func('void *seccomp_init(uint32_t action)'),
    release: library.func('void seccomp_release(void *filter)'),
    setAttribute: library.func('int seccomp_attr_set(void *filter, int attribute, uint32_t value)'),
    addRule: library.func(
      'int seccomp_rule_add_array(void *filter, uint32_t action, int call, uint32_t count, void *arguments)',
    ),
    exportBpf: library.func('int seccomp_export_bpf(void *filter, int fd)'),
    /** Negative where libseccomp does not know the name or this architecture has no such call. */
    numberOf: library.func('int seccomp_syscall_resolve_name(const char *name)') as (name: string) => number,
  }
}

const SCMP_FLTATR_ACT_BADARCH = 2
const SCMP_FLTATR_CTL_OPTIMIZE = 8
const ALLOW = 0x7fff0000
const ERRNO = 0x00050000
const KILL_PROCESS = 0x80000000
const AUDIT_ARCHITECTURE: Readonly<Record<string, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 }
const X32_BIT = 0x40000000
// struct seccomp_data
const OFFSET_NUMBER = 0
const OFFSET_ARCHITECTURE = 4
const OFFSET_ARGUMENTS = 16
// linux/bpf_common.h
const LOAD = 0x20
const JUMP = 0x05
const JUMP_EQUAL = 0x15
const JUMP_ABOVE = 0x25
const JUMP_AT_LEAST = 0x35
const JUMP_ANY_BIT = 0x45
const RETURN = 0x06
