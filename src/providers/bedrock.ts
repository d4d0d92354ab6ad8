/**
 * Amazon Bedrock's runtime. A request is signed (SigV4, in headers or in the query) or carries a Bedrock API key as
 * a bearer token. Streams are AWS's binary event-stream, which is not decoded: they show no usage.
 */
import { anthropicUsage } from './anthropic.ts'
import { decodeSegment, member, parseJson, tokens } from './json.ts'
import type { Provider, Usage } from './provider.ts'

/** Where Bedrock is offered, for `hosts`; `matchesHost` knows any region by its form. As of 2026. */
const REGIONS = [
  ...['us-east-1', 'us-east-2', 'us-west-1', 'us-west-2', 'us-gov-east-1', 'us-gov-west-1', 'ca-central-1'],
  ...['ca-west-1', 'mx-central-1', 'sa-east-1', 'eu-central-1', 'eu-central-2', 'eu-north-1', 'eu-south-1'],
  ...['eu-south-2', 'eu-west-1', 'eu-west-2', 'eu-west-3', 'il-central-1', 'me-central-1', 'me-south-1'],
  ...['af-south-1', 'ap-east-1', 'ap-east-2', 'ap-northeast-1', 'ap-northeast-2', 'ap-northeast-3', 'ap-south-1'],
  ...['ap-south-2', 'ap-southeast-1', 'ap-southeast-2', 'ap-southeast-3', 'ap-southeast-4', 'ap-southeast-5'],
  ...['ap-southeast-6', 'ap-southeast-7'],
]
const REGION = /^[a-z]{2}(?:-[a-z]+)+-\d+$/

/** By labels, never by suffix: `bedrock-runtime.us-east-1.amazonaws.com.evil.example` is somebody else's. */
function matchesHost(name: string): boolean {
  const labels = name.split('.')
  if (labels.at(-1) !== 'com' || labels.at(-2) !== 'amazonaws') return false
  if (labels.length === 4) return /^bedrock-runtime(?:-fips)?$/.test(labels[0] ?? '') && REGION.test(labels[1] ?? '')
  const [endpoint, service, region, vpce] = labels
  return (
    labels.length === 6 &&
    /^vpce-[a-z0-9-]+$/.test(endpoint ?? '') &&
    service === 'bedrock-runtime' &&
    REGION.test(region ?? '') &&
    vpce === 'vpce'
  )
}

/** Converse's own shape, else the model's (InvokeModel with Anthropic's models). */
function usageOf(value: unknown): Usage | null {
  const inputTokens = tokens(member(value, 'usage', 'inputTokens'))
  const outputTokens = tokens(member(value, 'usage', 'outputTokens'))
  return inputTokens === null && outputTokens === null
    ? anthropicUsage(value)
    : { inputTokens, outputTokens, model: null }
}

export const bedrock: Provider = {
  id: 'bedrock',
  genAiSystem: 'aws_bedrock',
  matchesHost,
  hosts: REGIONS.flatMap(region => [
    `bedrock-runtime.${region}.amazonaws.com`,
    `bedrock-runtime-fips.${region}.amazonaws.com`,
    `*.bedrock-runtime.${region}.vpce.amazonaws.com`,
  ]),
  authHeaders: [
    'authorization',
    'x-amz-security-token',
    'x-amz-date',
    'x-amz-content-sha256',
    'proxy-authorization',
    'cookie',
  ],
  // A presigned URL (SigV4 in the query).
  authQueryParams: [
    'x-amz-algorithm',
    'x-amz-credential',
    'x-amz-date',
    'x-amz-expires',
    'x-amz-security-token',
    'x-amz-signature',
    'x-amz-signedheaders',
  ],
  environment: ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_BEARER_TOKEN_BEDROCK'],
  operation: path => (/^\/model\/[^/]+\/converse(?:-stream)?$/.test(path) ? 'chat' : null),
  modelOfPath: path => decodeSegment(/^\/model\/([^/]+)/.exec(path)?.[1]),
  modelInBody: () => false, // other operations name it otherwise (`modelId`)
  usageOfBody: body => usageOf(parseJson(body)),
  usageOfEvents: () => null,
}
