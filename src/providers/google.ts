/**
 * Google's Gemini API (not Vertex AI). Its system parameters have a second spelling with `$`, and `$httpHeaders` sets
 * any header from the query: https://cloud.google.com/apis/docs/system-parameters
 */
import { decodeSegment, member, mergeUsage, modelName, parseJson, tokens } from './json.ts'
import { openaiOperation, openaiUsage } from './openai.ts'
import type { Provider, Usage } from './provider.ts'

function usageOf(value: unknown): Usage | null {
  // Without alt=sse a stream is one array of chunks.
  return Array.isArray(value) ? mergeUsage(value.slice(-8).map(chunkUsage)) : chunkUsage(value)
}

function chunkUsage(chunk: unknown): Usage | null {
  const usage = member(chunk, 'usageMetadata')
  const inputTokens = tokens(member(usage, 'promptTokenCount'))
  const outputTokens = tokens(member(usage, 'candidatesTokenCount'))
  if (inputTokens === null && outputTokens === null) return openaiUsage(chunk) // …/openai/… paths
  return { inputTokens, outputTokens, model: modelName(member(chunk, 'modelVersion')) }
}

function operation(path: string): string | null {
  const compatible = COMPATIBLE.exec(path)
  if (compatible?.[1] !== undefined) return openaiOperation(compatible[1])
  if (/:(?:streamG|g)enerateContent$/.test(path)) return 'chat'
  if (/:(?:embedContent|batchEmbedContents)$/.test(path)) return 'embeddings'
  return null
}

/** OpenAI's API, at another place. */
const COMPATIBLE = /^\/v\d[^/]*\/openai(\/.*)$/

export const google: Provider = {
  id: 'google',
  genAiSystem: 'google_genai',
  matchesHost: name => name === 'generativelanguage.googleapis.com',
  hosts: ['generativelanguage.googleapis.com'],
  authHeaders: ['x-goog-api-key', 'authorization', 'x-goog-iam-authorization-token', 'proxy-authorization', 'cookie'],
  authQueryParams: ['key', '$key', 'access_token', '$access_token', 'oauth_token', '$oauth_token', '$httpheaders'],
  environment: ['GEMINI_API_KEY', 'GOOGLE_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY', 'GOOGLE_GENAI_API_KEY'],
  operation,
  modelOfPath: path => decodeSegment(/\/models\/([^/:]+)/.exec(path)?.[1]),
  modelInBody: path => COMPATIBLE.test(path),
  usageOfBody: body => usageOf(parseJson(body)),
  usageOfEvents: events => mergeUsage(events.map(event => usageOf(parseJson(event)))),
}
