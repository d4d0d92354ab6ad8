/** Kubernetes quantities of cores and of bytes, in manifests and on the command line. */
import type { Parsed } from './schema.ts'

/** A Kubernetes quantity of cores: `1`, `0.5`, `500m`. */
export function parseCpu(text: string): Parsed<number> {
  const [, count, milli] = /^(\d{1,4}(?:\.\d{1,3})?|\d{1,7}(?=m))(m?)$/.exec(text) ?? []
  const value = Number(count ?? 0) / (milli === 'm' ? 1000 : 1)
  return value > 0 ? { value } : { problem: 'is not a number of cores', fix: 'Write "1", "0.5" or "500m".' }
}

const SUFFIX_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
}

/** A Kubernetes quantity of bytes: `512Mi`, `1Gi`, `1.5G`, `1000000`. */
export function parseMemory(text: string): Parsed<number> {
  const [, count, suffix] = /^(\d{1,15}(?:\.\d{1,3})?)(|k|M|G|T|Ki|Mi|Gi|Ti)$/.exec(text) ?? []
  const value = Math.ceil(Number(count ?? 0) * (SUFFIX_BYTES[suffix ?? ''] ?? 0))
  return value > 0 && Number.isSafeInteger(value)
    ? { value }
    : { problem: 'is not a size', fix: 'Write "512Mi" or "1Gi".' }
}
