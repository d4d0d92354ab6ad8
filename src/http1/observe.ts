/** Calls to an observer that cannot hurt: one that throws is reported once and not called again. */
import type { RequestHead, ResponseHead } from './head.ts'
import type { ExchangeObserver, ExchangeSummary, Forward } from './hooks.ts'

export type Watch = { observer: ExchangeObserver | null; readonly report: (error: unknown) => void }

export function sawRequestHead(watch: Watch, head: RequestHead, set: Forward['set']): void {
  try {
    watch.observer?.requestHead(head, set)
  } catch (error) {
    dismiss(watch, error)
  }
}

export function sawRequestBody(watch: Watch, chunk: Buffer, from: number, to: number): void {
  try {
    watch.observer?.requestBody(chunk, from, to)
  } catch (error) {
    dismiss(watch, error)
  }
}

export function sawResponseHead(watch: Watch, head: ResponseHead): void {
  try {
    watch.observer?.responseHead(head)
  } catch (error) {
    dismiss(watch, error)
  }
}

export function sawResponseBody(watch: Watch, chunk: Buffer, from: number, to: number): void {
  try {
    watch.observer?.responseBody(chunk, from, to)
  } catch (error) {
    dismiss(watch, error)
  }
}

/** Ends the watch: the observer is forgotten. */
export function sawEnd(watch: Watch, summary: ExchangeSummary): void {
  const { observer } = watch
  watch.observer = null
  try {
    observer?.end(summary)
  } catch (error) {
    watch.report(error)
  }
}

function dismiss(watch: Watch, error: unknown): void {
  watch.observer = null
  watch.report(error)
}
