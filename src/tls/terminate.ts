/**
 * The agent's side of a terminated connection: a leaf per gateway and name, cached, minted once however many
 * connections ask at the same time. The CA key is the worker's; the shard has one leaf key of its own.
 */
import { constants, generateKeyPairSync } from 'node:crypto'
import type { Socket } from 'node:net'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import { LIMITS } from '../limits.ts'
import type { SignedLeaf } from '../shard/protocol.ts'

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

export type Leaf = {
  /** For one connection that begins at once: the next call may give the same context another certificate. */
  readonly context: () => SecureContext
}

export type LeafCache = {
  /** Is a leaf for this name ready (so that no mint is needed)? */
  readonly has: (gateway: string, name: string) => boolean
  /** Rejects when the worker would not sign. */
  readonly get: (gateway: string, name: string) => Promise<Leaf>
  /** After a change of the gateway's CA. */
  readonly forget: (gateway: string) => void
}

type Entry = { readonly leaf: Leaf; readonly renewAt: number }

/** `sign` asks the worker for a certificate of `name` under the CA of `gateway`. */
export function createLeafCache(key: LeafKey, sign: (gateway: string, name: string) => Promise<SignedLeaf>): LeafCache {
  const entries = new Map<string, Entry>() // insertion order is age: the first is the least recently used
  const minting = new Map<string, Promise<Leaf>>()
  const contextOf = createContexts(key)

  function fresh(id: string): Entry | null {
    const entry = entries.get(id)
    if (entry === undefined || entry.renewAt < Date.now()) return null
    entries.delete(id)
    entries.set(id, entry)
    return entry
  }

  async function mint(id: string, gateway: string, name: string): Promise<Leaf> {
    try {
      const { certificate, notAfter } = await sign(gateway, name)
      const leaf: Leaf = { context: () => contextOf(certificate) }
      entries.set(id, { leaf, renewAt: Math.min(notAfter, Date.now() + LIMITS.leafValidityMs / 2) })
      if (entries.size > LIMITS.leafCacheEntries) {
        const [oldest] = entries.keys()
        if (oldest !== undefined) entries.delete(oldest)
      }
      return leaf
    } finally {
      minting.delete(id)
    }
  }

  return {
    has: (gateway, name) => fresh(`${gateway} ${name}`) !== null,
    get: async (gateway, name) => {
      const id = `${gateway} ${name}`
      const entry = fresh(id)
      if (entry !== null) return entry.leaf
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
 * Contexts by certificate. Making one costs five times what giving one another certificate does, and 23 kB; OpenSSL
 * copies a context's certificate into each connection as it begins (SSL_new), so those that are open keep theirs.
 */
function createContexts(key: LeafKey): (certificate: string) => SecureContext {
  const contexts = new Map<string, SecureContext>() // the first is the least recently used

  return certificate => {
    const known = contexts.get(certificate)
    if (known !== undefined) {
      contexts.delete(certificate)
      contexts.set(certificate, known)
      return known
    }
    const [oldest] = contexts.size < LIMITS.tlsContexts ? [] : contexts
    if (oldest === undefined) {
      const made = createSecureContext({
        cert: certificate,
        key: key.privateKeyPem,
        minVersion: 'TLSv1.2',
        // Resuming saves the agent nothing, and a ticket costs what it saves us. Node allows renegotiation, and counts it
        // only where tls.Server made the socket.
        secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
      })
      contexts.set(certificate, made)
      return made
    }
    const [former, context] = oldest
    contexts.delete(former) // first: one that takes no certificate is used no more
    context.context.setCert(certificate)
    contexts.set(certificate, context)
    return context
  }
}

/**
 * What is spoken with a client that offers `alpn`: HTTP/1.1 where it can, as most origins are spoken to; HTTP/2 where it
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
    const succeed = () => settle(null)
    const closed = () => settle(new Error('the connection was closed during the handshake'))
    const timer = setTimeout(() => settle(new Error('the handshake took too long')), LIMITS.handshakeMs)
    secured.on('secure', succeed).on('error', settle).on('close', closed)
  })
}
