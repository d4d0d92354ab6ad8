/** What clrk itself says to the agent, as bytes. */
import type { RequestHead } from './head.ts'
import type { Answer } from './hooks.ts'

/** The whole response; without its body for HEAD. `close`: announces that the connection ends with it. */
export function renderAnswer(answer: Answer, head: RequestHead | null, close: boolean): Buffer {
  let text = `HTTP/1.1 ${answer.status} ${answer.reason}\r\n`
  for (const [name, value] of answer.headers) text += `${name}: ${value}\r\n`
  text += `content-length: ${Buffer.byteLength(answer.body)}\r\n`
  if (close) text += 'connection: close\r\n'
  else if (head?.version === '1.0') text += 'connection: keep-alive\r\n'
  return Buffer.from(`${text}\r\n${head?.method === 'HEAD' ? '' : answer.body}`)
}
