/** Any other API: its hosts are the route's `hostnames`, and every known place of a credential counts. */
import { anthropic } from './anthropic.ts'
import { azureOpenai } from './azure-openai.ts'
import { bedrock } from './bedrock.ts'
import { google } from './google.ts'
import { openai } from './openai.ts'
import type { Provider } from './provider.ts'

const OTHERS: readonly Provider[] = [openai, anthropic, google, azureOpenai, bedrock]

export const custom: Provider = {
  id: 'custom',
  genAiSystem: 'custom',
  matchesHost: () => false,
  hosts: [],
  authHeaders: [...new Set([...OTHERS.flatMap(other => other.authHeaders), 'x-auth-token', 'x-access-token'])],
  authQueryParams: [...new Set([...OTHERS.flatMap(other => other.authQueryParams), 'api_key', 'apikey', 'token'])],
  environment: [],
  operation: () => null,
  modelOfPath: () => null,
  modelInBody: () => true,
  // Most such servers speak OpenAI's shape, the rest shows no usage.
  usageOfBody: openai.usageOfBody,
  usageOfEvents: openai.usageOfEvents,
}
