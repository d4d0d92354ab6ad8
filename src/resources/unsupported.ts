/** What the seed's system has and this version has not: refused by name, with what to do instead. Never ignored. */

export const UNSUPPORTED_KINDS: Readonly<Record<string, string>> = {
  MCPRoute: 'Allow the MCP server as a host with an EgressL4Route.',
  FallbackRoutingPolicy: 'Leave it out; a request goes to the host that the agent asked for.',
  Backend: 'Leave it out; a request goes to the host that the agent asked for.',
  RateLimitPolicy: 'Leave it out.',
  LoggingPolicy: 'Leave it out; use otlp on the EgressGateway.',
  EgressDenyPolicy: 'Set defaultPolicy: deny-all on the EgressGateway and name what is allowed.',
  WorkerPool: 'Leave it out; the worker that reads these files runs the agents.',
  AgentSandboxRevision: 'Leave it out; it is written by servers.',
  Invocation: 'Leave it out; it is written by servers.',
  CLRKConfig: 'Leave it out.',
}

/** By field name: no name here means anything else anywhere in a resource that we do support. */
export const UNSUPPORTED_FIELDS: Readonly<Record<string, string>> = {
  workerPoolRef: 'Leave it out; the worker that reads these files runs the agent.',
  backendRefs: 'Leave it out; a request goes to the host that the agent asked for.',
  filters: 'Leave it out; say what is allowed with endpoints and models (no TokenBudget, no ExtensionRef).',
  sourceAgents: 'Give those agents an EgressGateway of their own, with its own routes.',
  sectionName: 'Leave it out; a reference is to the whole object.',
  caCertRef: 'Leave it out; every gateway gets a CA of its own.',
  allowedRoutes: 'Leave it out; routes of every namespace may point at a gateway.',
  extProc: 'Leave it out; use otlp.captureBody.',
  queryParamName: 'Use target: Header with headerName.',
  providerAuth: 'Use target: Header with headerName.',
  identity: 'Leave it out.',
  streaming: 'Leave it out; output is always streamed.',
  state: 'Leave it out; keep state in a workspace.',
  scheduleInput: 'Leave it out; a scheduled run gets an empty input.',
  warmPoolIdleTTL: 'Leave it out.',
  ephemeralStorage: 'Leave it out.',
  valueFrom: 'Write value; credentials are put on requests by a CredentialInjectionPolicy, never into an environment.',
  sandbox: 'Write template.spec with the same fields.',
  volumes: 'Leave it out; host paths are given by whoever starts the worker.',
  volumeMounts: 'Leave it out; host paths are given by whoever starts the worker.',
}
