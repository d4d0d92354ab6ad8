import assert from 'node:assert/strict'
import test from 'node:test'
import { encodeFrame, type Frame, frameReader } from '../../src/api/frames.ts'
import { LIMITS } from '../../src/limits.ts'

const EVERY: readonly Frame[] = [
  { type: 'data', stream: 0, bytes: Buffer.from('in\0\xff', 'latin1') },
  { type: 'data', stream: 1, bytes: Buffer.alloc(0) },
  { type: 'eof', stream: 2 },
  { type: 'credit', stream: 1, bytes: 4_294_967_295 },
  { type: 'resize', rows: 65_535, columns: 80 },
  { type: 'signal', signal: 'SIGWINCH' },
  { type: 'exit', exit: { code: 0, signal: null } },
  { type: 'exit', exit: { code: null, signal: 'SIGKILL' } },
  { type: 'stop' },
  { type: 'json', value: { started: { id: 'a"b' } } },
]

test('frames come back whole when they are cut at any byte', () => {
  const wire = Buffer.concat(EVERY.map(encodeFrame))
  for (let cut = 0; cut <= wire.length; cut += 1) {
    const read = frameReader()
    const first = read(wire.subarray(0, cut))
    const second = read(wire.subarray(cut))
    assert.deepEqual([...first.frames, ...second.frames], EVERY)
    assert.equal(second.error, null)
  }
  const read = frameReader()
  assert.deepEqual(
    [...wire].flatMap(byte => read(Buffer.of(byte)).frames),
    EVERY,
  )
})

test('a malformed frame is refused, and so is everything after it', () => {
  const malformed: Record<string, Buffer> = {
    'unknown frame type': Buffer.from([0, 0, 0, 0, 99]),
    'malformed eof frame': Buffer.from([0, 0, 0, 1, 1, 3]),
    'malformed data frame': Buffer.from([0, 0, 0, 0, 0]),
    'malformed credit frame': Buffer.from([0, 0, 0, 1, 2, 1]),
    'malformed resize frame': Buffer.from([0, 0, 0, 1, 3, 1]),
    'malformed signal frame': Buffer.concat([Buffer.from([0, 0, 0, 8, 4]), Buffer.from('toString')]),
    'malformed exit frame': Buffer.concat([Buffer.from([0, 0, 0, 2, 5]), Buffer.from('-1')]),
    'malformed stop frame': Buffer.from([0, 0, 0, 1, 6, 0]),
    'malformed json frame': Buffer.concat([Buffer.from([0, 0, 0, 2, 7]), Buffer.from('{]')]),
  }
  for (const [error, bytes] of Object.entries(malformed)) {
    const read = frameReader()
    assert.deepEqual(read(bytes), { frames: [], error })
    assert.deepEqual(read(encodeFrame({ type: 'stop' })), { frames: [], error })
  }
})

test('a frame past the limit is refused by its length alone, and never made', () => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(LIMITS.frameBytes + 1)
  assert.match(frameReader()(head).error ?? '', /larger than/)
  assert.throws(() => encodeFrame({ type: 'data', stream: 0, bytes: Buffer.alloc(LIMITS.frameBytes) }), RangeError)
})
