/** Azure OpenAI: OpenAI's bodies, a host for each resource, the deployment in the path. */
import { decodeSegment } from './json.ts'
import { openai, openaiOperation } from './openai.ts'
import type { Provider } from './provider.ts'

export const azureOpenai: Provider = {
  id: 'azure-openai',
  genAiSystem: 'azure_openai',
  matchesHost: name => name.endsWith('.openai.azure.com') && name !== '.openai.azure.com',
  hosts: ['*.openai.azure.com'],
  authHeaders: ['api-key', 'authorization', 'ocp-apim-subscription-key', 'proxy-authorization', 'cookie'],
  authQueryParams: ['api-key', 'subscription-key'],
  environment: ['AZURE_OPENAI_API_KEY', 'AZURE_OPENAI_KEY', 'AZURE_OPENAI_AD_TOKEN', 'AZURE_API_KEY'],
  operation: path => openaiOperation(/^\/openai\/(?:deployments\/[^/]+|v1)(\/.+)$/.exec(path)?.[1] ?? ''),
  modelOfPath: path => decodeSegment(/\/deployments\/([^/]+)/.exec(path)?.[1]),
  modelInBody: path => !path.includes('/deployments/'),
  usageOfBody: openai.usageOfBody,
  usageOfEvents: openai.usageOfEvents,
}
