/** What a request's body says of its model, where a rule asks for it: read from the very bytes that then go on. */
import { parameterName } from '../credentials/inject.ts'
import type { ClrkFault } from '../errors.ts'
import { dashed } from '../http1/grammar.ts'
import { fieldValue, type RequestHead } from '../http1/head.ts'
import type { Answer, ReadBody } from '../http1/hooks.ts'
import { LIMITS } from '../limits.ts'
import { createModelScanner, type SaidModel } from '../providers/body-model.ts'
import type { SandboxContext } from './context.ts'

/**
 * Why the body of `head` is not asked for a model: what it says there could be read in another way, or not be what the
 * API goes by (T44, T45). Null: it has to be read.
 */
export function modelProblem(head: RequestHead): string | null {
  const { target, upgrade } = head
  if (upgrade !== null) return 'it asks for another protocol'
  let type: string | null = null
  for (let index = 0; index < head.names.length; index++) {
    const name = head.names[index] ?? ''
    const twin = dashed(name)
    if (twin === 'content-encoding') return 'its body has a Content-Encoding'
    if (twin !== 'content-type') continue
    if (type !== null || name !== twin) return 'it has more than one Content-Type'
    type = fieldValue(head, index)
  }
  if (type === null || !JSON_TYPE.test(type)) return 'its Content-Type is not application/json'
  const query = target.indexOf('?')
  const parameters = query < 0 ? [] : target.slice(query + 1).split(/[&;]/)
  return parameters.some(part => parameterName(part) === 'model') ? 'its query has a "model" of its own' : null
}

/**
 * Reads the body of `head`, up to `LIMITS.modelBodyBytes`, and `LIMITS.modelBodyBytesPerSandbox` at a time, framing
 * included; past them CLRK_BODY_TOO_LARGE and CLRK_LIMIT go to `refuse`. `decide` is called once, with what it says.
 */
export function readModel<D>(
  context: SandboxContext,
  head: RequestHead,
  refuse: (fault: ClrkFault) => Answer,
  decide: (model: SaidModel) => D | Answer,
): ReadBody<D> | Answer {
  const tooLarge: ClrkFault = { code: 'CLRK_BODY_TOO_LARGE', details: { limit: LIMITS.modelBodyBytes } }
  if (head.framing.kind === 'length' && head.framing.length > LIMITS.modelBodyBytes) return refuse(tooLarge)
  const all = keptBySandbox.get(context) ?? { bytes: 0 }
  keptBySandbox.set(context, all)
  const scanner = createModelScanner()
  let own = 0
  const room = (bytes: number) => {
    if (own + bytes > LIMITS.modelBodyBytes) return refuse(tooLarge)
    if (all.bytes + bytes > LIMITS.modelBodyBytesPerSandbox) return refuse(NO_ROOM)
    own += bytes
    all.bytes += bytes
    return null
  }
  const release = () => {
    all.bytes -= own
    own = 0
  }
  return { kind: 'read-body', reader: { room, payload: scanner.push, end: () => decide(scanner.end()), release } }
}

/** Bytes of bodies that wait for their decision, or to be sent, in each sandbox. */
const keptBySandbox = new WeakMap<SandboxContext, { bytes: number }>()

const NO_ROOM: ClrkFault = {
  code: 'CLRK_LIMIT',
  details: { limit: 'bytes of bodies that are read for their model', maximum: LIMITS.modelBodyBytesPerSandbox },
}
/** In no charset but UTF-8: in UTF-7, say, other bytes are quotes. */
const JSON_TYPE = /^application\/json[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*(?:utf-8|"utf-8")[ \t]*)?;?$/i
