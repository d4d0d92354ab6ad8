/** Every provider that clrk knows, in the order in which resources list them. */
import type { ProviderId } from '../policy/policy.ts'
import { anthropic } from './anthropic.ts'
import { azureOpenai } from './azure-openai.ts'
import { bedrock } from './bedrock.ts'
import { custom } from './custom.ts'
import { google } from './google.ts'
import { openai } from './openai.ts'
import type { Provider } from './provider.ts'

/** Keyed by id, so that a provider that is missing here does not compile. */
const BY_ID: Readonly<Record<ProviderId, Provider>> = {
  openai,
  anthropic,
  google,
  'azure-openai': azureOpenai,
  bedrock,
  custom,
}

export const PROVIDERS: readonly Provider[] = Object.values(BY_ID)

export function providerById(id: ProviderId): Provider {
  return BY_ID[id]
}

/** Whose host is this canonical name (lower case, no trailing dot)? Never `custom`: a route names those. */
export function providerOfHost(name: string): Provider | null {
  return PROVIDERS.find(provider => provider.matchesHost(name)) ?? null
}

/** Every variable in which some provider's clients look for a key: none may carry the caller's value into a sandbox. */
export const CREDENTIAL_VARIABLES: readonly string[] = [...new Set(PROVIDERS.flatMap(({ environment }) => environment))]
