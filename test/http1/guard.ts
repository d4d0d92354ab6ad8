/** Guards for tests of whoever calls them. */
import type { ResponseGuard } from '../../src/http1/hooks.ts'

/** One that changes what passes at once. `decoded`: the length changes too. `held` goes out at the end of a body. */
export function guardThat(
  head: (text: string) => string,
  body: (slice: Buffer) => Buffer,
  { decoded = false, held = '' } = {},
): ResponseGuard {
  return {
    head,
    body: (_head, { data, end }) => ({
      decoded,
      write: slice => {
        data(body(slice))
        return true
      },
      end: () => {
        if (held !== '') data(Buffer.from(held))
        end()
      },
      pause: () => {},
      resume: () => {},
      destroy: () => {},
    }),
    frames: () => body,
  }
}
