/** What every command of the command line is. */
export type Command = {
  /** What `clrk COMMAND --help` prints; its first line is the usage. */
  readonly help: string
  /** Runs it with the arguments after its name; resolves to the exit status. Rejects with a ClrkError. */
  readonly run: (argv: readonly string[]) => Promise<number>
}
