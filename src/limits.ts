/**
 * Every limit in one place: its unit is in its name, `docs/limits.md` says what happens past it.
 * test/documents.test.ts holds this table and that page together.
 */
export const LIMITS = {
  /** A whole ClientHello, over any number of records (TLS allows 16 MiB; real ones are under 4 KiB). */
  clientHelloBytes: 65_536,
  /** From accept to the end of the ClientHello or of the first HTTP head. */
  clientHelloMs: 5_000,
  /** On a port where a server may speak first, how long the client is waited for. */
  serverSpeaksFirstMs: 150,
  /** From the ClientHello to the end of the handshake with the agent. */
  handshakeMs: 10_000,
  /** Request line or status line plus headers. */
  headBytes: 65_536,
  /** Header fields in one head. */
  headerFields: 256,
  /** A trailer section after a chunked body. */
  trailerBytes: 16_384,
  /** One chunk-size line with its extensions (RFC 9112 §7.1.1). */
  chunkLineBytes: 1_024,
  /** Bytes of chunk extensions in one body. */
  chunkExtensionBytes: 16_384,
  /** A body that is read before a route can be chosen by model, with its framing; and all that wait in one sandbox. */
  modelBodyBytes: 33_554_432,
  modelBodyBytesPerSandbox: 67_108_864,
  /** An agent's keep-alive connection without a request. */
  agentIdleMs: 300_000,
  /** Open HTTP/2 streams of one connection, and of all connections of one sandbox. */
  http2Streams: 100,
  http2StreamsPerSandbox: 1_024,
  /** Entries of one SETTINGS frame. */
  http2SettingsEntries: 32,
  /** Streams that the agents of one sandbox cancel: burst, and per second after it. */
  http2CancelBurst: 200,
  http2CancelPerSecond: 50,
  /** HEADERS and CONTINUATION frames of one head. */
  http2BlockFrames: 32,
  /** Heads and acknowledgements that wait for an agent that does not read. */
  http2UnreadBytes: 262_144,
  /**
   * Frames that cost an agent nothing, of one connection: burst, and per second after it. PING and SETTINGS (gRPC measures
   * its line with PINGs), PRIORITY, DATA without a byte, whatever is refused or comes for a stream that is over.
   */
  http2ControlBurst: 10_000,
  http2ControlPerSecond: 5_000,
  /** A pooled upstream connection without a request. */
  upstreamIdleMs: 55_000,
  /** No byte in either direction while an exchange is open. */
  streamIdleMs: 900_000,
  /** Pooled upstream connections that wait, for one gateway, name and port. */
  upstreamIdlePerKey: 64,
  /** HTTP/2 connections to one upstream of one gateway, and the exchanges that share one of them. */
  http2ConnectionsPerKey: 8,
  http2UpstreamStreams: 100,
  /** Bytes of one stream that an upstream may send before the agent takes them. */
  http2WindowBytes: 262_144,
  /** How long an upstream that did not choose HTTP/2 is spoken to in HTTP/1.1 without asking again. */
  http2AskAgainMs: 600_000,
  /** From the first connect() to the end of the TLS handshake with the upstream, through a proxy or not. */
  upstreamConnectMs: 15_000,
  /** How long one address of a host may be silent before the next one is tried beside it (RFC 8305 §8). */
  upstreamAttemptMs: 250,
  /** Interim (1xx) answers before the final one. */
  interimResponses: 16,
  /** Open connections of one sandbox. */
  connectionsPerSandbox: 2_048,
  /** Names with a virtual address in one sandbox. */
  namesPerSandbox: 4_096,
  /** Bytes of a DNS message over UDP (RFC 1035 §4.2.1 with EDNS, RFC 6891). */
  dnsMessageBytes: 4_096,
  /** Time to live of a virtual address. */
  dnsTtlSeconds: 60,
  /** DNS connections over TCP of one sandbox. */
  dnsConnectionsPerSandbox: 64,
  /** Leaf certificates minted for one sandbox: burst, and per second after it, for allowed and for denied names. */
  leafBurst: 256,
  leafPerSecond: 20,
  leafDeniedBurst: 32,
  leafDeniedPerSecond: 2,
  /** Leaf certificates that a shard caches (about 1 kB each), and TLS contexts for them (about 23 kB each). */
  leafCacheEntries: 1_024,
  tlsContexts: 64,
  /** Validity of a leaf, and how far it is back-dated. */
  leafValidityMs: 86_400_000,
  leafBackdateMs: 300_000,
  /** Telemetry records that wait for export; past it the oldest are dropped and counted. */
  telemetryQueueRecords: 8_192,
  telemetryBatchRecords: 256,
  /** The same in bytes as encoded: of the records that wait, and of those in one export. */
  telemetryQueueBytes: 67_108_864,
  telemetryBatchBytes: 1_048_576,
  telemetryFlushMs: 1_000,
  /** From an export to its answer. */
  telemetryExportMs: 10_000,
  /** One audit file; eight are kept. */
  auditFileBytes: 8_388_608,
  auditFiles: 8,
  /** A shard that died is started again after this, doubled up to the maximum while it keeps dying. */
  shardRestartMs: 50,
  shardRestartMaximumMs: 5_000,
  /** From SIGTERM to SIGKILL when a sandbox is stopped. */
  stopGraceMs: 5_000,
  /** A file that only the worker reads: a CA, a stored Secret (Kubernetes allows 1 MiB; base64 adds a third). */
  privateFileBytes: 2_097_152,
  /** One file of a host's or an image's trust store (a bundle is about 220 kB). */
  trustFileBytes: 16_777_216,
  /** Entries below `/etc/ssl/certs` that are carried over (Debian has 290). */
  trustEntries: 4_096,
  /** All that is read of one image's trust store. */
  trustImageBytes: 134_217_728,
  /** From a question about itself to a container engine's answer. */
  engineAnswerMs: 10_000,
  /** How long an engine that went away may take to come back before its sandboxes count as ended. */
  engineReturnMs: 30_000,
  /** How often an engine is asked for containers that could not be removed. */
  engineLookMs: 1_000,
  /** How long a sandbox that an earlier worker left waits, cut off, for its agent to be asked for. */
  adoptMs: 30_000,
  /** One frame on the worker's control socket. */
  frameBytes: 1_048_576,
  /** The body of one request on it: manifests and secrets. */
  controlBodyBytes: 16_777_216,
  /** Events that wait for one reader of the worker's events; past it they are dropped and counted. */
  watchQueueBytes: 4_194_304,
  /** The worker's log is set aside (one is kept) when a worker starts and it is larger. */
  workerLogBytes: 8_388_608,
  /** One file of resources. */
  resourceFileBytes: 4_194_304,
  /** YAML nodes of one document, each alias counted as what it stands for; and how deep they nest. */
  resourceNodes: 200_000,
  resourceDepth: 64,
  resourceAliases: 1_000,
  /** One endpoint or model glob; matching takes at most this many steps for each character of the text. */
  globCharacters: 512,
} as const
