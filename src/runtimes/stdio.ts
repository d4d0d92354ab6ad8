/** An agent's standard streams: real pipes, or a terminal of its own. */
import { fchownSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { createPipe } from '../kernel/descriptors.ts'
import { openTerminal } from '../kernel/terminal.ts'
import type { RunningSandbox, SandboxSpec } from './runtime.ts'

export type Stdio = {
  readonly ours: Pick<RunningSandbox, 'stdin' | 'stdout' | 'stderr'>
  /** Descriptors 0 to 2 of the agent. The caller closes each of them once after the start. */
  readonly theirs: readonly [number, number, number]
  readonly resize: RunningSandbox['resize']
  /** All that was printed, once the other ends are closed: for a launch that failed. One line, at most 2,000 characters. */
  readonly readComplaint: () => Promise<string>
  /** `keepOutput`: what was printed stays readable to its end, which then closes the rest. */
  readonly close: (keepOutput: boolean) => void
}

/** `owner`: the host uid and gid of the agent, who must be able to open /dev/stdout. */
export function openStdio(kind: SandboxSpec['stdio'], owner: number): Stdio {
  if (kind.kind === 'terminal') {
    const terminal = openTerminal(kind, { uid: owner, gid: owner })
    return {
      ours: { stdin: terminal.input, stdout: terminal.output, stderr: null },
      theirs: [terminal.slave, terminal.slave, terminal.slave],
      resize: terminal.resize,
      readComplaint: () => complaint(terminal.output),
      close: keepOutput => void (keepOutput || terminal.close()),
    }
  }
  const [input, output, errors] = [createPipe(), createPipe(), createPipe()]
  for (const { read } of [input, output, errors]) fchownSync(read, owner, owner)
  const stdin = new Socket({ fd: input.write, readable: false, writable: true })
  const stdout = new Socket({ fd: output.read, readable: true, writable: false })
  const stderr = new Socket({ fd: errors.read, readable: true, writable: false })
  // The agent may close its end first; that is its right, and whoever writes learns it from the callback.
  for (const stream of [stdin, stdout, stderr]) stream.on('error', () => {})
  return {
    ours: { stdin, stdout, stderr },
    theirs: [input.read, output.write, errors.write],
    resize: () => {},
    readComplaint: () => complaint(stderr),
    close: keepOutput => {
      for (const stream of keepOutput ? [stdin] : [stdin, stdout, stderr]) stream.destroy()
    },
  }
}

async function complaint(stream: Readable): Promise<string> {
  let text = ''
  for await (const chunk of stream) if (text.length < 2_000) text += chunk
  return text.replace(/\s+/g, ' ').trim().slice(0, 2_000)
}
