/**
 * The catalogue of everything that clrk refuses or fails at: one code, whose fault it is, why, and what mends it.
 *
 * `status` is the HTTP status an agent reads (RFC 9457 problem details), `fault` says who has to act. `why` and `fix`
 * are sentences built from the details; they never contain a secret, because no caller ever puts one into a detail.
 * `docs/errors.md` lists the same codes; test/documents.test.ts holds the two together.
 */

export type Fault = 'agent' | 'operator' | 'provider' | 'clrk'

/** Named values that a sentence may use: host names, ports, resource names, file positions. Never a secret. */
export type ErrorDetails = Readonly<Record<string, string | number>>

type Entry = {
  readonly status: number
  readonly fault: Fault
  readonly title: string
  readonly why: (details: ErrorDetails) => string
  readonly fix: (details: ErrorDetails) => string
}

const CATALOGUE = {
  // --- what an agent may read -------------------------------------------------------------------------------------
  CLRK_NAME_NOT_ALLOWED: {
    status: 403,
    fault: 'operator',
    title: 'this host is not allowed',
    why: d => `EgressGateway ${d.gateway} is deny-all and no route of it names ${d.name}.`,
    fix: d => `Allow it with an EgressL4Route: destinationHostnames: [${d.name}], ports: [{port: ${d.port}}].`,
  },
  CLRK_PORT_NOT_ALLOWED: {
    status: 403,
    fault: 'operator',
    title: 'this port is not allowed',
    why: d => `EgressGateway ${d.gateway} allows ${d.name}, but not on port ${d.port}.`,
    fix: d => `Add the port to an EgressL4Route: destinationHostnames: [${d.name}], ports: [{port: ${d.port}}].`,
  },
  CLRK_ADDRESS_NOT_ALLOWED: {
    status: 403,
    fault: 'operator',
    title: 'this address is not allowed',
    why: d => `No EgressL4Route of EgressGateway ${d.gateway} names ${d.address} on port ${d.port}.`,
    fix: d => `Connect by host name, or add destinationCIDRs: [${d.address}], ports: [{port: ${d.port}}].`,
  },
  CLRK_ADDRESS_SPECIAL: {
    status: 403,
    fault: 'operator',
    title: 'this address is never dialled',
    why: d => `${d.name} leads to ${d.address}, which is ${d.range}.`,
    fix: d =>
      `Private ranges need a destinationCIDRs prefix wholly inside ${d.range}; loopback, link-local and metadata addresses stay closed.`,
  },
  CLRK_SERVER_NAME_MISSING: {
    status: 403,
    fault: 'agent',
    title: 'TLS without a server name',
    why: d => `The connection to ${d.address}:${d.port} carries no host name (SNI), so no rule can allow it.`,
    fix: d => `Connect by host name, or add destinationCIDRs: [${d.address}] to an EgressL4Route.`,
  },
  CLRK_SERVER_NAME_MISMATCH: {
    status: 421,
    fault: 'agent',
    title: 'TLS server name differs from the name that was dialled',
    why: d => `The address stands for ${d.name}, but the ClientHello asks for ${d.serverName}.`,
    fix: () => 'Resolve and connect to one and the same name.',
  },
  CLRK_TLS_NOT_A_HELLO: {
    status: 400,
    fault: 'agent',
    title: 'not a TLS ClientHello',
    why: d => `The first bytes on ${d.name}:${d.port} are not a well-formed ClientHello: ${d.reason}.`,
    fix: () => 'Speak TLS 1.2 or newer on this port.',
  },
  CLRK_TLS_HELLO_TOO_LARGE: {
    status: 400,
    fault: 'agent',
    title: 'TLS ClientHello too large',
    why: d => `The ClientHello is larger than ${d.limit} bytes.`,
    fix: () => 'Send fewer extensions or sessions.',
  },
  CLRK_TLS_ENCRYPTED_HELLO: {
    status: 403,
    fault: 'agent',
    title: 'encrypted ClientHello in passthrough',
    why: d =>
      `The hello for ${d.name} carries ECH, which can hide another name, and this listener does not terminate TLS.`,
    fix: () => 'Turn ECH off in the client, or set tls.mode: Terminate on the listener.',
  },
  CLRK_PROTOCOL_NOT_ALLOWED: {
    status: 403,
    fault: 'operator',
    title: 'this protocol is not allowed here',
    why: d => `Port ${d.port} of ${d.name} takes ${d.expected}, the first bytes are ${d.found}.`,
    fix: d => `Add a listener with protocol: TCP and port: ${d.port} and an EgressL4Route for it.`,
  },
  CLRK_PLAIN_HTTP_NOT_ALLOWED: {
    status: 403,
    fault: 'operator',
    title: 'plain HTTP is not allowed',
    why: d => `No EgressL4Route of EgressGateway ${d.gateway} allows ${d.name} on port ${d.port} in the clear.`,
    fix: d => `Use https://${d.name}/, or add destinationHostnames: [${d.name}], ports: [{port: ${d.port}}].`,
  },
  CLRK_HTTP_MALFORMED: {
    status: 400,
    fault: 'agent',
    title: 'malformed HTTP request',
    why: d => `The request was refused: ${d.reason}.`,
    fix: () => 'Send one well-formed HTTP/1.1 request (RFC 9112).',
  },
  CLRK_HEAD_TOO_LARGE: {
    status: 431,
    fault: 'agent',
    title: 'request head too large',
    why: d => `The request line and headers are larger than ${d.limit} bytes.`,
    fix: () => 'Send fewer or shorter headers.',
  },
  CLRK_METHOD_NOT_ALLOWED: {
    status: 405,
    fault: 'agent',
    title: 'method not allowed',
    why: d => `${d.method} is never forwarded: it would echo a credential or open a tunnel.`,
    fix: () => 'Use another method.',
  },
  CLRK_UPGRADE_NOT_ALLOWED: {
    status: 403,
    fault: 'agent',
    title: 'upgrade not allowed',
    why: d => `An upgrade to ${d.protocol} is not forwarded.`,
    fix: () => 'Use plain HTTP/1.1 requests, a WebSocket, or HTTP/2 by ALPN.',
  },
  CLRK_AUTHORITY_MISMATCH: {
    status: 421,
    fault: 'agent',
    title: 'Host differs from the connection',
    why: d => `This connection belongs to ${d.name}, the request names ${d.authority}.`,
    fix: () => 'Open a connection of its own for each host.',
  },
  CLRK_ENDPOINT_NOT_ALLOWED: {
    status: 403,
    fault: 'operator',
    title: 'this endpoint is not allowed',
    why: d => `No AIProviderRoute of EgressGateway ${d.gateway} names ${d.path} of ${d.name}.`,
    fix: d => `Add it to the route of provider ${d.provider}: endpoints: [${d.path}].`,
  },
  CLRK_MODEL_NOT_ALLOWED: {
    status: 403,
    fault: 'operator',
    title: 'this model is not allowed',
    why: d => `No AIProviderRoute of EgressGateway ${d.gateway} names model ${d.model} on ${d.path}.`,
    fix: d => `Add it to the route of provider ${d.provider}: models: [${d.model}].`,
  },
  CLRK_MODEL_UNREADABLE: {
    status: 400,
    fault: 'agent',
    title: 'the model could not be read',
    why: d => `The route decides by model and the request does not say one: ${d.reason}.`,
    fix: () => 'Send one JSON object with one "model", uncompressed; what has none needs a rule without models.',
  },
  CLRK_BODY_TOO_LARGE: {
    status: 413,
    fault: 'agent',
    title: 'request body too large to decide by model',
    why: d => `A route that names models reads the body first, up to ${d.limit} bytes.`,
    fix: () => 'Send a smaller body, or let the route name no models.',
  },
  CLRK_FOREIGN_CREDENTIAL: {
    status: 403,
    fault: 'agent',
    title: 'the agent sent a credential of its own',
    why: d => `The request to ${d.name} carried ${d.where}, which was removed; the credential of the policy was set.`,
    fix: () => 'Leave the placeholder where a client wants a key.',
  },
  CLRK_SECRET_MISSING: {
    status: 503,
    fault: 'operator',
    title: 'the credential for this route is missing',
    why: d => `Secret ${d.secret} has no usable key ${d.key}; nothing is sent without it.`,
    fix: d => `clrk secret set ${d.secret} --from-env ${d.key}=VARIABLE`,
  },
  CLRK_POLICY_BROKEN: {
    status: 503,
    fault: 'operator',
    title: 'the policy of this gateway is incomplete',
    why: d => `EgressGateway ${d.gateway}: ${d.reason}.`,
    fix: () => 'Mend the resource that it names; until then nothing leaves.',
  },
  CLRK_UPSTREAM_UNRESOLVED: {
    status: 502,
    fault: 'provider',
    title: 'the host name does not resolve',
    why: d => `Looking up ${d.name} failed: ${d.reason}.`,
    fix: () => "Check the name and the worker host's resolver.",
  },
  CLRK_UPSTREAM_UNREACHABLE: {
    status: 502,
    fault: 'provider',
    title: 'the host cannot be reached',
    why: d => `Connecting to ${d.name}:${d.port} failed: ${d.reason}.`,
    fix: () => 'Try again later, or check the route from the worker host.',
  },
  CLRK_UPSTREAM_TLS: {
    status: 502,
    fault: 'provider',
    title: "the host's certificate was refused",
    why: d => `TLS with ${d.name}:${d.port} failed: ${d.reason}.`,
    fix: () => "Mend the host's certificate, or add its CA with upstreamTLS.additionalTrustBundleSecretRef.",
  },
  CLRK_UPSTREAM_PROXY: {
    status: 502,
    fault: 'operator',
    title: 'the upstream proxy failed',
    why: d => `EgressGateway ${d.gateway} sends everything through ${d.proxy}; ${d.step} failed: ${d.reason}.`,
    fix: () => 'Mend upstreamProxy on the EgressGateway, its Secret, or what that proxy lets through.',
  },
  CLRK_UPSTREAM_TIMEOUT: {
    status: 504,
    fault: 'provider',
    title: 'the host did not answer in time',
    why: d => `${d.name} sent nothing for ${d.milliseconds} ms.`,
    fix: () => 'Try again, or raise requestTimeout on the EgressGateway.',
  },
  CLRK_UPSTREAM_MALFORMED: {
    status: 502,
    fault: 'provider',
    title: 'the host answered with malformed HTTP',
    why: d => `The answer of ${d.name} was refused: ${d.reason}.`,
    fix: () => 'Report it to the owner of the host.',
  },
  CLRK_UPSTREAM_ENCODED: {
    status: 502,
    fault: 'provider',
    title: 'the answer could hide the credential',
    why: d => `${d.name} sent what was not asked for, ${d.reason}, in which its credential could not be looked for.`,
    fix: () => 'Ask for another representation; the request itself was sent.',
  },
  CLRK_SECRET_ECHOED: {
    status: 502,
    fault: 'provider',
    title: 'the host sent the credential back',
    why: d =>
      `The answer of ${d.name} held the value of ${d.secret} in its ${d.where}; the agent saw a mask in its place.`,
    fix: () => 'Name only the endpoints in the route that an agent needs.',
  },
  CLRK_LIMIT: {
    status: 429,
    fault: 'agent',
    title: 'a limit of this sandbox is reached',
    why: d => `${d.limit} is at its maximum of ${d.maximum}.`,
    fix: () => 'Close what is not needed, or start another sandbox.',
  },
  CLRK_LEAF_REFUSED: {
    status: 400,
    fault: 'agent',
    title: 'no certificate for this name',
    why: d => `${d.name} is ${d.reason}.`,
    fix: () => 'Connect by one plain host name, in ASCII.',
  },
  CLRK_INTERNAL: {
    status: 500,
    fault: 'clrk',
    title: 'clrk failed',
    why: d => `${d.reason}`,
    fix: () => 'Report it with the lines of the worker log around this moment.',
  },
  // --- what an operator may read ----------------------------------------------------------------------------------
  CLRK_NOT_ROOT: {
    status: 500,
    fault: 'operator',
    title: 'root is needed',
    why: () => 'The worker enters namespaces and mounts trust files, which needs root.',
    fix: () => 'Run the same command with sudo.',
  },
  CLRK_TOOL_MISSING: {
    status: 500,
    fault: 'operator',
    title: 'a program is missing',
    why: d => `${d.tool} is not installed (looked in ${d.path}).`,
    fix: d => `apt-get install ${d.package}`,
  },
  CLRK_RESOURCE_INVALID: {
    status: 500,
    fault: 'operator',
    title: 'a resource is invalid',
    why: d => `${d.file}:${d.line}:${d.column}: ${d.reason}`,
    fix: d => `${d.fix}`,
  },
  CLRK_ARGUMENT_INVALID: {
    status: 500,
    fault: 'operator',
    title: 'an argument is invalid',
    why: d => `${d.argument}: ${d.reason}.`,
    fix: d => `${d.fix}`,
  },
  CLRK_STATE_BUSY: {
    status: 500,
    fault: 'operator',
    title: 'another worker runs with this state',
    why: d => `Process ${d.pid} holds ${d.state}.`,
    fix: () => 'Stop it, or give this one a directory of its own with --state DIR.',
  },
  CLRK_STATE_NEWER: {
    status: 500,
    fault: 'operator',
    title: 'the state belongs to a newer clrk',
    why: d => `${d.state} has version ${d.found}, this clrk knows ${d.known}.`,
    fix: () => 'Upgrade clrk, or give this one a directory of its own with --state DIR.',
  },
  CLRK_STATE_DAMAGED: {
    status: 500,
    fault: 'operator',
    title: 'a file of the state cannot be used',
    why: d => `${d.file}: ${d.reason}.`,
    fix: d => `${d.fix}`,
  },
  CLRK_STATE_UNWRITABLE: {
    status: 500,
    fault: 'operator',
    title: 'the state cannot be written',
    why: d => `${d.file}: ${d.reason}; nothing runs that could not be recorded.`,
    fix: () => 'Make room on that disk, or give the worker another one with --state DIR.',
  },
  CLRK_TRUST_FAILED: {
    status: 500,
    fault: 'operator',
    title: 'the trust store could not be prepared',
    why: d => `${d.path}: ${d.reason}. The sandbox was not started.`,
    fix: d => `${d.fix}`,
  },
  CLRK_WORKER_GONE: {
    status: 500,
    fault: 'clrk',
    title: 'the worker is gone',
    why: d => `The connection to the worker of ${d.state} ended: ${d.reason}.`,
    fix: () => 'Start it again; its log in the state directory says why it ended.',
  },
  CLRK_PLUMBING_FAILED: {
    status: 500,
    fault: 'operator',
    title: 'a network namespace could not be set up',
    why: d => `${d.step} failed: ${d.reason}. The sandbox was not started.`,
    fix: () => 'Check that nftables, iproute2 and the kernel modules nf_tables, nft_redir and nft_fib are there.',
  },
  CLRK_SANDBOX_FAILED: {
    status: 500,
    fault: 'operator',
    title: 'the sandbox could not be started',
    why: d => `${d.step} failed: ${d.reason}.`,
    fix: d => `${d.fix}`,
  },
  CLRK_ENGINE_UNAVAILABLE: {
    status: 500,
    fault: 'operator',
    title: 'the container engine cannot be used',
    why: d => `${d.engine}: ${d.reason}.`,
    fix: d => `${d.fix}`,
  },
  CLRK_IMAGE_UNAVAILABLE: {
    status: 500,
    fault: 'operator',
    title: 'the image cannot be had',
    why: d => `${d.image}: ${d.reason}.`,
    fix: d => `${d.fix}`,
  },
} as const satisfies Record<string, Entry>

export type ErrorCode = keyof typeof CATALOGUE

/** What a denial or failure is, ready to be shown. Plain data: it crosses process boundaries as JSON. */
export type ClrkFault = { readonly code: ErrorCode; readonly details: ErrorDetails }

type Description = Omit<Entry, 'why' | 'fix'> & { readonly code: ErrorCode; readonly why: string; readonly fix: string }

/** The entry of `code`: status, fault, title, and the sentences for `details`. */
export function describe({ code, details }: ClrkFault): Description {
  const { status, fault, title, why, fix }: Entry = CATALOGUE[code]
  return { code, status, fault, title, why: why(details), fix: fix(details) }
}

/** Every code of the catalogue, in its order. */
export const ERROR_CODES = Object.keys(CATALOGUE) as readonly ErrorCode[]

/** An Error that carries a catalogue entry; thrown on control-plane paths, never for an agent's bytes. */
export type ClrkError = Error & { readonly fault: ClrkFault }

export function clrkError(code: ErrorCode, details: ErrorDetails = {}): ClrkError {
  const { title, why, fix } = describe({ code, details })
  return Object.assign(new Error(`${title}: ${why} ${fix}`.trim()), { fault: { code, details } })
}

export function isClrkError(error: unknown): error is ClrkError {
  return error instanceof Error && 'fault' in error
}

/** The message of anything that was thrown, on one line. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').trim()
}
