/** What every system call here does with its result. */
import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'

/** `result`, or an Error that names the call and carries the errno's name as `code` where it is negative. */
export function check(name: string, result: number): number {
  if (result >= 0) return result
  const code = getSystemErrorName(-koffi.errno())
  throw Object.assign(new Error(`${name}: ${code}`), { code })
}
