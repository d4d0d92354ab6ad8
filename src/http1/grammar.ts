/**
 * The character classes of HTTP/1.1 as tables indexed by byte: 1 where it may stand, 0 elsewhere.
 * An index past the table (a charCode over 255, NaN at the end of a string) gives undefined, which is not 1.
 */

/** `tchar` of RFC 9110 §5.6.2: methods and field names. */
export const TOKEN = table(code => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(code)))

/** Field values and reason phrases (RFC 9110 §5.5): HTAB, SP, visible ASCII, obs-text. No other control character (T132). */
export const FIELD_TEXT = table(code => code === 0x09 || (code >= 0x20 && code !== 0x7f))

/** Request targets: visible ASCII without `#`, which no client sends and which origins cut at different places (T41). */
export const TARGET = table(code => code > 0x20 && code < 0x7f && code !== 0x23)

/** The form under which `X_Api_Key` and `x-api-key` are one: what CGI, WSGI and Rack make of both (T32). */
export function dashed(lowerName: string): string {
  return lowerName.includes('_') ? lowerName.replaceAll('_', '-') : lowerName
}

/** Does every char of `text` stand in `table`? False for an empty text. */
export function isAll(text: string, table: Uint8Array): boolean {
  for (let at = 0; at < text.length; at++) if (table[text.charCodeAt(at)] !== 1) return false
  return text !== ''
}

/** Is it white space around a field's value (OWS, RFC 9110 §5.6.3)? */
export function isBlank(code: number | undefined): boolean {
  return code === 0x20 || code === 0x09
}

function table(holds: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (holds(code) ? 1 : 0))
}
