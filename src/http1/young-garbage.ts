/**
 * Has V8 collect its youngest objects while bodies stream. What is read lies outside V8's heap, with next to nothing in
 * it for each chunk: V8 would not collect the young ones, which costs half a millisecond, before it has counted 64 MB
 * outside and then begins to mark everything, which costs forty. Of the CPU of bulk that is a quarter.
 */

/** Called for everything that is read. Does nothing where Node runs without --expose-gc (`FLAGS` of a shard have it). */
export function tookBytes(bytes: number): void {
  taken += bytes
  if (taken < COLLECT_BYTES) return
  taken = 0
  globalThis.gc?.({ type: 'minor', execution: 'sync' })
}

let taken = 0
/** At twice as many V8 begins to mark now and then. */
const COLLECT_BYTES = 8_388_608
