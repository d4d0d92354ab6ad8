/** Puts a bare git repository with one commit at `https://github.com/<path>` of a world. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { World } from './world.ts'

export async function addRepository(
  world: World,
  path: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const work = join(world.directory, 'commit', path)
  mkdirSync(work, { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(work, name), text)
  const bare = join(world.directory, 'repositories', path)
  const script = `git init -q -b main . && git add . &&
    git -c user.name=a -c user.email=a@example.com commit -q -m first && git clone -q --bare . "$0"`
  const { code, stderr } = await world.host(['sh', '-c', script, bare], { cwd: work })
  assert.equal(code, 0, stderr)
}
