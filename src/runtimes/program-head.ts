/** What a program file says in its first bytes: who runs it, and on which machine. Hostile bytes; never throws. */

export type ProgramHead =
  /** `words`: what stands behind `#!`, the interpreter first (execve(2), «Interpreter scripts»). */
  | { readonly kind: 'script'; readonly words: readonly string[] }
  /** `interpreter`: the dynamic linker that it asks for; null for a static one (elf(5), PT_INTERP). */
  | { readonly kind: 'elf'; readonly machine: 'x64' | 'arm64' | 'another'; readonly interpreter: string | null }
  /** Whatever execvp(3) gives to a shell. */
  | { readonly kind: 'other' }

/** `bytes`: the beginning of the file, `HEAD_BYTES` of it if it has so many. */
export function readProgramHead(bytes: Buffer): ProgramHead {
  if (bytes.subarray(0, 2).toString('latin1') === '#!') {
    const [line = ''] = bytes.subarray(2, 256).toString('latin1').split('\n')
    return { kind: 'script', words: line.trim().split(/\s+/) }
  }
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== ELF_MAGIC) return { kind: 'other' }
  const isNative = bytes[4] === CLASS_64 && bytes[5] === LITTLE_ENDIAN
  const machine = isNative ? (MACHINES[bytes.readUInt16LE(18)] ?? 'another') : 'another'
  return { kind: 'elf', machine, interpreter: isNative ? interpreterOf(bytes) : null }
}

export const HEAD_BYTES = 65_536

function interpreterOf(bytes: Buffer): string | null {
  const [table, size, count] = [Number(bytes.readBigUInt64LE(32)), bytes.readUInt16LE(54), bytes.readUInt16LE(56)]
  for (let index = 0; index < count; index += 1) {
    const header = table + index * size
    if (size < 56 || header + 56 > bytes.length) return null
    if (bytes.readUInt32LE(header) !== PT_INTERP) continue
    const start = Number(bytes.readBigUInt64LE(header + 8))
    const end = start + Number(bytes.readBigUInt64LE(header + 32))
    return end > bytes.length ? null : (bytes.toString('latin1', start, end).split('\0')[0] ?? null)
  }
  return null
}

const ELF_MAGIC = 0x7f454c46
const CLASS_64 = 2
const LITTLE_ENDIAN = 1
const MACHINES: Readonly<Record<number, 'x64' | 'arm64'>> = { 62: 'x64', 183: 'arm64' }
const PT_INTERP = 3
