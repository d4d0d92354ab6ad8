/**
 * The load, from inside a sandbox: its text is given to Node there (`--input-type=module-typescript -e`), so it imports
 * nothing of the repository. `argv`: what to do, how much of it, and against which host.
 *
 * Out: a line `warm` once a smaller load of the same kind is over, then a line of JSON, its findings; it ends when its
 * stdin does, a flood without end as well.
 */
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { Agent, type RequestOptions, request } from 'node:https'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'

const [, what = '', amount = '0', host = ''] = process.argv
const size = Number(amount)
const kept = new Agent({ keepAlive: true })

/** One request, its body `bytes` long; how many bytes came back. Rejects unless it is answered by 200. */
async function exchange(options: RequestOptions, bytes = 0): Promise<number> {
  const asked = request({ host, ...options, headers: bytes > 0 ? { 'content-length': bytes } : {} })
  const answered = once(asked, 'response')
  const sent = send(asked, bytes)
  const [answer] = await answered
  let received = 0
  for await (const chunk of answer) received += chunk.length
  await sent
  if (answer.statusCode !== 200) throw new Error(`${options.path}: ${answer.statusCode}`)
  return received
}

async function send(stream: NodeJS.WritableStream, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= BLOCK.length) {
    if (!stream.write(left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left))) await once(stream, 'drain')
  }
  stream.end()
}

async function download(bytes: number) {
  return { done: await exchange({ path: `/down?${bytes}`, agent: kept }) }
}

async function upload(bytes: number) {
  await exchange({ path: '/up', method: 'PUT', agent: kept }, bytes)
  return { done: bytes }
}

async function connections(count: number) {
  for (let number = 0; number < count; number++) await exchange({ path: '/', agent: false })
  return { done: count }
}

/** Floods stop in every other second of the clock: what else this machine does then weighs on both sides alike. */
function isQuiet(): boolean {
  return Math.floor(Date.now() / 1000) % 2 === 0
}

/** Requests one after the other for so many seconds, most on a kept connection, each tenth on one of its own. */
async function latency(seconds: number) {
  const [quiet, flooded]: [number[], number[]] = [[], []]
  const errors: string[] = []
  const end = performance.now() + seconds * 1000
  for (let number = 0; performance.now() < end; number++) {
    const during = isQuiet() ? quiet : flooded
    const start = performance.now()
    try {
      await exchange({ path: '/', agent: number % 10 === 0 ? false : kept })
      if (number % 10 !== 0) during.push(performance.now() - start)
    } catch (error) {
      errors.push(String(error))
    }
    await sleep(2)
  }
  const at = (times: number[], part: number) => times.toSorted((a, b) => a - b)[Math.floor(times.length * part)] ?? 0
  const of = (times: number[]) => ({ p50: at(times, 0.5), p99: at(times, 0.99) })
  return { requests: quiet.length + flooded.length, errors, quiet: of(quiet), flooded: of(flooded) }
}

/** All at once, as fast as it can: connections that stay, requests, refused ones, names that lead nowhere, server names. */
async function flood(seconds: number) {
  const done = { held: 0, requests: 0, refused: 0, names: 0, serverNames: 0 }
  const end = performance.now() + seconds * 1000
  const resolver = new Resolver()
  const random = () => `${Math.random().toString(36).slice(2)}.example.com`
  const quietly = async (act: () => Promise<unknown>) => {
    try {
      await act()
    } catch {
      await sleep(1) // refused: that is what it is for
    }
  }
  const until = (act: () => Promise<unknown>) =>
    (async () => {
      while (performance.now() < end && !told) await (isQuiet() ? sleep(10) : quietly(act))
    })()
  const held: Socket[] = []
  const hold = async () => {
    if (held.length >= 1_500) return sleep(50)
    const socket = connect(443, host).on('error', () => {})
    await once(socket, 'connect')
    done.held = held.push(socket)
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const ask = async () => {
    await exchange({ path: '/', agent })
    done.requests++
  }
  const refused = async () => {
    done.refused++
    await exchange({ path: '/', agent: false, headers: { host: 'other.example.com' } })
  }
  const name = async () => {
    done.names++
    await resolver.resolve4(random())
  }
  const serverName = async () => {
    done.serverNames++
    const socket = connectTls({ host, port: 443, servername: random(), rejectUnauthorized: false })
    try {
      await once(socket, 'secureConnect')
    } finally {
      socket.destroy()
    }
  }
  const kinds = [hold, ask, ask, ask, refused, name, name, serverName]
  await Promise.all(Array.from({ length: 64 }, (_, at) => until(kinds[at % kinds.length] ?? hold)))
  for (const socket of held) socket.destroy()
  return done
}

const BLOCK = Buffer.alloc(65_536, 'soak')
const LOADS = { download, upload, connections, latency, flood }
// The heap of a shard has its size after some 10,000 connections (then it stays flat, seen up to 40,000).
const WARM = {
  download: Math.ceil(size / 20),
  upload: Math.ceil(size / 20),
  connections: Math.ceil(size / 2),
  latency: 0.5,
  flood: 0.5,
}
const load = LOADS[what as keyof typeof LOADS]
let told = false
const over = once(process.stdin.resume(), 'end').then(() => {
  told = true
})
await load(WARM[what as keyof typeof LOADS])
console.log('warm')
console.log(JSON.stringify(await load(size)))
await over
process.exit(0)
