/**
 * Decoder of the Huffman code of HPACK (RFC 7541 §5.2, appendix B), four bits a step. The code is canonical: symbols of
 * one length follow each other in order, so their lengths say all of it.
 */

/**
 * Decodes `bytes[from, to)` into `into`, which has room for 8 bytes for each 5 of them; the number of bytes, or -1: EOS,
 * or padding that is longer than 7 bits or not all ones.
 */
export function decodeHuffman(bytes: Uint8Array, from: number, to: number, into: Uint8Array): number {
  let state = 0
  let written = 0
  for (let at = from; at < to; at++) {
    const byte = bytes[at] ?? 0
    for (let shift = 4; shift >= 0; shift -= 4) {
      const step = STEPS[(state << 4) | ((byte >> shift) & 15)] ?? BAD
      if (step === BAD) return -1
      if ((step & EMITS) !== 0) into[written++] = step & 255
      state = step >> 9
    }
  }
  return PADS[state] === 1 ? written : -1
}

/** Bits of each symbol's code, 0 to 255. */
const LENGTHS = [
  [13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  [28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  [6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  [5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  [13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  [7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  [15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  [6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  [20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  [24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  [22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  [21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  [26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  [19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  [20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  [26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
].flat()
const LONGEST_BITS = 30

/** Nodes of the code's tree, two numbers each: the next node for 0 and for 1, or ~symbol. Node 0 is the root. */
function tree(): number[] {
  const nodes = [0, 0]
  let code = 0
  const add = (symbol: number, length: number) => {
    let node = 0
    for (let bit = length - 1; bit > 0; bit--) {
      const side = 2 * node + ((code >> bit) & 1)
      if (nodes[side] === 0) nodes[side] = nodes.push(0, 0) / 2 - 1
      node = nodes[side] ?? 0
    }
    nodes[2 * node + (code & 1)] = ~symbol
    code++
  }
  for (let length = 1; length <= LONGEST_BITS; length++) {
    code <<= 1
    for (const [symbol, bits] of LENGTHS.entries()) if (bits === length) add(symbol, length)
  }
  add(EOS, LONGEST_BITS)
  return nodes
}

const EOS = 256
const EMITS = 256
const BAD = -1

const NODES = tree()
/** By node and four bits: the next node << 9, and a symbol with `EMITS` (no code is shorter than five bits), or `BAD`. */
const STEPS = Int32Array.from({ length: NODES.length * 8 }, (_, index) => {
  let node = index >> 4
  let emitted = 0
  for (let shift = 3; shift >= 0; shift--) {
    const next = NODES[2 * node + ((index >> shift) & 1)] ?? 0
    if (next === ~EOS) return BAD
    if (next < 0) emitted = EMITS | ~next
    node = Math.max(next, 0)
  }
  return (node << 9) | emitted
})

/** 1: a code may be cut off at this node: fewer than eight bits of EOS, which are ones. */
const PADS = new Uint8Array(NODES.length / 2)
for (let node = 0, bits = 0; bits < 8; bits++, node = NODES[2 * node + 1] ?? 0) PADS[node] = 1
