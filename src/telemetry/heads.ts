/** Header lines as telemetry sees them: latin1, `Name: value`, CRLF between them, a first line without a name allowed. */

/** Lower-case names → trimmed values, in order; a name that comes again is joined by a comma. Never throws. */
export function fieldsOf(head: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (let start = 0; start < head.length; ) {
    let end = head.indexOf('\r\n', start)
    if (end === -1) end = head.length
    const colon = head.indexOf(':', start)
    const name = colon > start && colon < end ? head.slice(start, colon).toLowerCase() : ''
    // A request line may hold a colon too, but never before a space.
    if (name !== '' && !name.includes(' ')) {
      const value = head.slice(colon + 1, end).trim()
      const before = fields.get(name)
      fields.set(name, before === undefined ? value : `${before}, ${value}`)
    }
    start = end + 2
  }
  return fields
}

/** Of a response of this type (lower case) the end is kept, where the usage stands. */
export function isStream(type: string): boolean {
  return STREAMS.some(stream => type.startsWith(stream))
}

export function isEventStream(type: string): boolean {
  return type.startsWith('text/event-stream')
}

const STREAMS = ['text/event-stream', 'application/x-ndjson', 'application/vnd.amazon.eventstream']
