/**
 * The names that the stand-in internet knows, and what answers there.
 *
 * Real names stand on addresses that look like theirs: a world has no uplink, so nothing here ever reaches them.
 * `nothing`: the name resolves, no server of ours stands at its addresses (an arrival there is one for the sink).
 * `service`: a server that a test starts itself (World.spawnInternet), on `port` of every address, without TLS: on 443
 * the stand-in ends TLS for it, with `alpn`.
 */
export type Role = 'provider' | 'openai' | 'echo' | 'git' | 'expired' | 'wrong-name' | 'collector' | 'nothing'

type Addresses = { readonly v4: readonly string[]; readonly v6: readonly string[] }
export type Service = Addresses & { readonly role: 'service'; readonly port: number; readonly alpn: 'h2' | 'http/1.1' }
export type StandIn = (Addresses & { readonly role: Role }) | Service

/** The name server of a world's host, on the other side of its only link. */
export const NAME_SERVER = '198.35.26.1'

/** The host's own addresses on that link: public ones, so that nothing but being the host's own closes them (T131). */
export const HOST_ADDRESSES = { v4: '198.35.26.2', v6: '2620:0:862::2' } as const

/** An address that no name leads to: where an attacker's server would be. */
export const ATTACKER = { v4: '198.41.0.4', v6: '2620:fe::9' } as const

export const NAMES: Readonly<Record<string, StandIn>> = {
  'api.anthropic.com': { role: 'provider', v4: ['160.79.104.10'], v6: ['2607:6bc0::10'] },
  'api.openai.com': { role: 'openai', v4: ['162.159.140.245'], v6: ['2606:4700:7::f5'] },
  'echo.example.com': { role: 'echo', v4: ['93.184.215.14'], v6: ['2606:2800:21f::14'] },
  'other.example.com': { role: 'echo', v4: ['93.184.215.15'], v6: ['2606:2800:21f::15'] },
  'github.com': { role: 'git', v4: ['140.82.121.4'], v6: ['2606:50c0:8000::153'] },
  'expired.example.com': { role: 'expired', v4: ['93.184.215.16'], v6: [] },
  'wrong-name.example.com': { role: 'wrong-name', v4: ['93.184.215.17'], v6: [] },
  'collector.example.com': { role: 'collector', v4: ['93.184.215.18'], v6: [] },
  'gitlab.com': service(7001, ['172.65.251.78'], ['2606:4700:90::f22e']),
  'registry.npmjs.org': service(7002, ['104.16.0.35'], ['2606:4700::6810:23']),
  'pypi.org': service(7003, ['151.101.0.223'], ['2a04:4e42::223']),
  'deb.debian.org': service(7004, ['151.101.2.132'], ['2a04:4e42::644']),
  'files.example.com': service(7005, ['93.184.215.19'], ['2606:2800:21f::19']),
  'grpc.example.com': service(7006, ['93.184.215.20'], ['2606:2800:21f::20'], 'h2'),
  'loopback.example.com': { role: 'nothing', v4: ['127.0.0.1'], v6: ['::1'] },
  'private.example.com': { role: 'nothing', v4: ['10.1.2.3'], v6: ['fd12::3'] },
  'metadata.example.com': { role: 'nothing', v4: ['169.254.169.254'], v6: ['fd00:ec2::254'] },
  'mapped.example.com': { role: 'nothing', v4: [], v6: ['::ffff:169.254.169.254'] },
  'translated.example.com': { role: 'nothing', v4: [], v6: ['64:ff9b::a9fe:a9fe'] },
  'worker-host.example.com': { role: 'nothing', v4: [HOST_ADDRESSES.v4], v6: [HOST_ADDRESSES.v6] },
}

/** Everything in NAMES with a server of its own. */
export function services(): readonly Service[] {
  return Object.values(NAMES).filter(standIn => standIn.role === 'service')
}

/** Every address where a stand-in answers on 80 and 443. */
export function servedAddresses(): readonly string[] {
  return Object.values(NAMES)
    .filter(({ role }) => role !== 'nothing')
    .flatMap(({ v4, v6 }) => [...v4, ...v6])
}

/** The first address of `name`; throws for one without. */
export function addressOf(name: string, family: 4 | 6 = 4): string {
  const address = family === 4 ? NAMES[name]?.v4[0] : NAMES[name]?.v6[0]
  if (address === undefined) throw new Error(`${name} has no IPv${family} address in this world`)
  return address
}

function service(
  port: number,
  v4: readonly string[],
  v6: readonly string[],
  alpn: Service['alpn'] = 'http/1.1',
): Service {
  return { role: 'service', port, v4, v6, alpn }
}
