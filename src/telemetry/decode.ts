/** Undoes Content-Encoding (RFC 9110 §8.4) of a body that was kept whole. Bounded; never throws. */
import { brotliDecompressSync, constants, gunzipSync, inflateRawSync, inflateSync, zstdDecompressSync } from 'node:zlib'

/**
 * `body` with the codings in `encodings` (a field value, undone from right to left) taken off, or null where one is
 * unknown, is damaged, or makes more than `DECODED_BYTES` or `RATIO` times its input (T51).
 */
export function decodeBody(body: Buffer, encodings: string): Buffer | null {
  const codings = encodings
    .toLowerCase()
    .split(',')
    .map(coding => coding.trim())
    .filter(coding => coding !== '' && coding !== 'identity')
  if (codings.length > MAXIMUM_CODINGS) return null
  const maxOutputLength = Math.min(DECODED_BYTES, RATIO_FREE_BYTES + RATIO * body.length)
  try {
    return codings.reduceRight((bytes, coding) => decodeOne(bytes, coding, maxOutputLength), body)
  } catch {
    return null
  }
}

function decodeOne(bytes: Buffer, coding: string, maxOutputLength: number): Buffer {
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return gunzipSync(bytes, { maxOutputLength })
    case 'br':
      return brotliDecompressSync(bytes, { maxOutputLength })
    case 'zstd':
      return zstdDecompressSync(bytes, {
        maxOutputLength,
        params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG },
      })
    case 'deflate':
      // Some servers send it without the zlib wrapper that the standard asks for.
      return isZlib(bytes) ? inflateSync(bytes, { maxOutputLength }) : inflateRawSync(bytes, { maxOutputLength })
    default:
      throw new Error('unknown content coding')
  }
}

/** RFC 1950 §2.2: method 8, and the first two bytes are a multiple of 31. */
function isZlib(bytes: Buffer): boolean {
  return bytes.length >= 2 && ((bytes[0] ?? 0) & 0x0f) === 8 && bytes.readUInt16BE(0) % 31 === 0
}

const DECODED_BYTES = 16_777_216
/** 16 MiB. */
const ZSTD_WINDOW_LOG = 24
/** JSON seldom shrinks to less than a fortieth; a bomb grows a thousandfold. */
const RATIO = 64
const RATIO_FREE_BYTES = 65_536
const MAXIMUM_CODINGS = 4
