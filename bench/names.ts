/** Names and addresses of the benchmark's own small internet. It has no uplink: nothing here ever reaches the real one. */

export const NAMES = {
  /** nginx: a small JSON answer, HTTP/1.1 and HTTP/2. */
  api: 'api.bench.example.com',
  /** origin.c: bodies and event streams. */
  bulk: 'bulk.bench.example.com',
  /** Any name below it is the API, too: a name that nobody has a certificate for yet. */
  freshSuffix: 'fresh.bench.example.com',
} as const

/** Public addresses, as real origins have: what policy says of them is what it says of a provider. */
export const ADDRESSES = { api: '93.184.215.14', bulk: '93.184.215.15' } as const

/** client 198.51.100.2 ═══ 198.51.100.1 host 203.0.113.2 ═══ 203.0.113.1 internet (and ADDRESSES) */
export const LINKS = {
  client: '198.51.100.2',
  hostToClient: '198.51.100.1',
  hostToInternet: '203.0.113.2',
  internet: '203.0.113.1',
} as const

/** Made up for each run: the origins take nothing else. */
export type Credential = { readonly authorization: string }

/** What the load sends where the contender has to put the right one in its place. */
export const PLACEHOLDER = 'Bearer clrk-injected-by-proxy'
