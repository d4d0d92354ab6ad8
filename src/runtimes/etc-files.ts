/** The files of /etc that differ inside: who the agent is, what its host is called, where names are asked. Pure. */
import type { EtcName } from './host-layout.ts'

export type Identity = {
  readonly uid: number
  readonly gid: number
  readonly home: string
  readonly hostname: string
}

/** The text inside, or null where the host's own stays. `host`: the host's text, or null where it has none. */
export function etcText(name: EtcName, host: string | null, { uid, gid, home, hostname }: Identity): string | null {
  switch (name) {
    case 'resolv.conf':
      return `nameserver ${NAMESERVER}\n`
    case 'hosts':
      return hostsText(hostname)
    case 'hostname':
      return `${hostname}\n`
    case 'nsswitch.conf':
      return host === null ? null : withHosts(host)
    case 'passwd':
      return `agent:x:${uid}:${gid}:agent:${home}:/bin/sh\n${without(host, 'agent', uid)}`
    case 'group':
      return `agent:x:${gid}:\n${without(host, 'agent', gid)}`
  }
}

/** hosts(5) of a sandbox: itself, and nothing that the host's own file knows. */
export function hostsText(hostname: string): string {
  return `127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.0.1 ${hostname}\n`
}

/** The lines of a passwd(5) or group(5) file but those of that name or id: the first one that matches would win. */
function without(text: string | null, name: string, id: number): string {
  const lines = (text ?? '').split('\n').filter(line => {
    const [lineName, , lineId] = line.split(':')
    return line !== '' && lineName !== name && lineId !== String(id)
  })
  return lines.map(line => `${line}\n`).join('')
}

function withHosts(text: string): string {
  const others = text.split('\n').filter(line => !/^\s*hosts\s*:/.test(line))
  return `${others.join('\n').trimEnd()}\nhosts: files dns\n`
}

/** Any address would do: port 53 is redirected to the sandbox's responder wherever it is sent. */
const NAMESERVER = '198.18.0.53'
