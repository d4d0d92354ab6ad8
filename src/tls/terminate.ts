/**
 * The agent's side of a terminated connection: a context per gateway and name, cached, minted once however many
 * connections ask at the same time. The CA key is the worker's; the shard has one leaf key of its own.
 */
import { constants, generateKeyPairSync, X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import { LIMITS } from '../limits.ts'

export type LeafKey = {
  /** SPKI DER, what the worker certifies. */
  readonly publicKey: Buffer
  readonly privateKeyPem: string
}

export function createLeafKey(): LeafKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

export type ContextCache = {
  /** Is a context for this name ready (so that no mint is needed)? */
  readonly has: (gateway: string, name: string) => boolean
  /** Rejects when the worker would not sign. */
  readonly get: (gateway: string, name: string) => Promise<SecureContext>
  /** After a change of the gateway's CA. */
  readonly forget: (gateway: string) => void
}

type Entry = { readonly context: SecureContext; readonly renewAt: number }

/** `sign` asks the worker for a certificate (PEM) of `name` under the CA of `gateway`. */
export function createContextCache(
  key: LeafKey,
  sign: (gateway: string, name: string) => Promise<string>,
): ContextCache {
  const entries = new Map<string, Entry>() // insertion order is age: the first is the least recently used
  const minting = new Map<string, Promise<SecureContext>>()

  function fresh(id: string): Entry | null {
    const entry = entries.get(id)
    if (entry === undefined || entry.renewAt < Date.now()) return null
    entries.delete(id)
    entries.set(id, entry)
    return entry
  }

  async function mint(id: string, gateway: string, name: string): Promise<SecureContext> {
    try {
      const certificate = await sign(gateway, name)
      const context = createSecureContext({
        cert: certificate,
        key: key.privateKeyPem,
        minVersion: 'TLSv1.2',
        // Node allows it, and counts it only where tls.Server made the socket.
        secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      })
      const { validTo } = new X509Certificate(certificate)
      entries.set(id, { context, renewAt: Math.min(Date.parse(validTo), Date.now() + LIMITS.leafValidityMs / 2) })
      if (entries.size > LIMITS.leafCacheEntries) {
        const [oldest] = entries.keys()
        if (oldest !== undefined) entries.delete(oldest)
      }
      return context
    } finally {
      minting.delete(id)
    }
  }

  return {
    has: (gateway, name) => fresh(`${gateway} ${name}`) !== null,
    get: async (gateway, name) => {
      const id = `${gateway} ${name}`
      const entry = fresh(id)
      if (entry !== null) return entry.context
      const waiting = minting.get(id)
      if (waiting !== undefined) return waiting
      const minted = mint(id, gateway, name)
      minting.set(id, minted)
      return minted
    },
    forget: gateway => {
      for (const id of entries.keys()) if (id.startsWith(`${gateway} `)) entries.delete(id)
    },
  }
}

/**
 * What is spoken with a client that offers `alpn`: HTTP/1.1 where it can, at half the cost in Node; HTTP/2 where it
 * offers nothing else (gRPC, the AWS SDK).
 */
export function chosenProtocol(alpn: readonly string[]): 'http/1.1' | 'h2' {
  return alpn.includes('h2') && !alpn.includes('http/1.1') ? 'h2' : 'http/1.1'
}

/**
 * TLS as a server over `socket`, whose bytes read so far are `first` (the ClientHello); `protocol` is what ALPN settles.
 * Rejects when the handshake fails or takes longer than LIMITS.handshakeMs; the socket is destroyed then. TLS 1.2 and
 * up, no early data.
 */
export function terminateTls(
  socket: Socket,
  first: Buffer,
  context: SecureContext,
  protocol: 'http/1.1' | 'h2' = 'http/1.1',
): Promise<TLSSocket> {
  socket.unshift(first) // TLSSocket feeds what the socket has buffered into the handshake
  const secured = new TLSSocket(socket, {
    isServer: true,
    secureContext: context,
    ALPNProtocols: protocol === 'h2' ? ['h2'] : ['http/1.1', 'http/1.0'], // the parser reads both: curl --http1.0
    requestCert: false,
  })
  return new Promise((resolve, reject) => {
    const settle = (error: Error | null) => {
      clearTimeout(timer)
      secured.off('secure', succeed).off('error', settle).off('close', closed)
      secured.on('error', () => {})
      if (error === null) return resolve(secured)
      secured.destroy()
      socket.destroy()
      reject(error)
    }
    const succeed = () => {
      Reflect.set(secured, 'secureConnecting', false) // only tls.Server does it, and node:http2 would wait for it
      settle(null)
    }
    const closed = () => settle(new Error('the connection was closed during the handshake'))
    const timer = setTimeout(() => settle(new Error('the handshake took too long')), LIMITS.handshakeMs)
    secured.on('secure', succeed).on('error', settle).on('close', closed)
  })
}
