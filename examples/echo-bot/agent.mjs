// An agent as anybody would write it: the provider's own SDK, a key from the environment, no word of a proxy.
import { text } from 'node:stream/consumers'
import Anthropic from '@anthropic-ai/sdk'

const event = JSON.parse(await text(process.stdin)) // the CloudEvent that started this task
const question = event.data?.message ?? `Hello from ${event.source}`
const request = { model: 'claude-haiku-5-5', max_tokens: 256, messages: [{ role: 'user', content: question }] }
console.log(`my key: ${process.env.ANTHROPIC_API_KEY}`)

const anthropic = new Anthropic()
const answer = await anthropic.messages.create(request)
console.log(`answer: ${answer.content.map(block => block.text ?? '').join('')}`)
console.log(`usage: ${answer.usage.input_tokens} tokens in, ${answer.usage.output_tokens} out`)

const stream = anthropic.messages.stream(request)
const pieces = []
for await (const part of stream) {
  if (part.type === 'content_block_delta' && part.delta.type === 'text_delta') pieces.push(part.delta.text)
}
const { usage } = await stream.finalMessage()
console.log(`streamed: ${pieces.join('')} (${pieces.length} pieces)`)
console.log(`usage: ${usage.input_tokens} tokens in, ${usage.output_tokens} out`)
