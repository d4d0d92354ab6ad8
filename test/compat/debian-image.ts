/** An image of Debian with the clients, at the paths where this machine has them: made of its own packages' files. */
import assert from 'node:assert/strict'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Engine } from '../world/engine.ts'
import type { World } from '../world/world.ts'
import { GO_CLIENT, JAVA_CLASSES, PACKAGES, PYTHON, RUST, WGET } from './tools.ts'

/** Imports it as `name`. Of the npm packages it leaves out servers and whole agents. */
export async function importDebian(world: World, { docker }: Engine, name: string): Promise<void> {
  const script = join(world.directory, 'list.py')
  writeFileSync(script, LIST_FILES)
  const own = [process.execPath, PACKAGES, dirname(PYTHON), GO_CLIENT, JAVA_CLASSES, RUST, WGET].filter(existsSync)
  const file = join(world.directory, 'image.tar')
  const command = ['sh', '-c', `python3 ${script} "$@" | ${TAR} --file ${file}`, 'sh', ...own]
  const { code, stderr } = await world.host(command, { timeoutMs: 120_000 })
  assert.equal(code, 0, stderr)
  const [repo = '', tag = ''] = name.split(':')
  let answer = ''
  for await (const chunk of await docker.importImage(file, { repo, tag })) answer += chunk
  assert.doesNotMatch(answer, /"error"/)
  rmSync(file)
}

const TAR = 'tar --create --directory / --no-recursion --null --files-from - --ignore-failed-read'

/** Prints what the packages and all that they depend on own, what their scripts have made, and argv, ended by NUL. */
const LIST_FILES = `
import os, re, subprocess, sys
wanted = ["curl", "wget", "git", "openssl", "python3", "python3-distutils", "apt", "bash", "coreutils", "dash", "libnss-files",
    "base-files", "php-cli", "php-curl", "ruby", "openjdk-17-jre-headless", "ca-certificates", "ca-certificates-java"]
form = "\${Package}\\t\${db:Status-Abbrev}\\t\${Pre-Depends}, \${Depends}\\t\${Provides}\\n"
names = lambda field: [re.sub(r"[ :(].*", "", name.strip()) for name in re.split("[,|]", field)]
depends, provider = {}, {}
for line in subprocess.check_output(["dpkg-query", "-W", "-f", form], text=True).splitlines():
    package, status, needs, provides = line.split("\\t")
    if status.startswith("ii"):
        depends[package] = names(needs)
        provider.update((name, package) for name in [*names(provides), package])
packages = set()
while wanted:
    package = provider.get(wanted.pop())
    if package is not None and package not in packages:
        packages.add(package)
        wanted += depends[package]
paths = set(subprocess.check_output(["dpkg-query", "-L", *packages], text=True).splitlines())
made = ["/usr/bin/php", "/usr/bin/php.default", "/bin", "/lib", "/lib64", "/sbin", "/etc/alternatives", "/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/php", "/etc/ssl/certs"]
for top in [*made, *sys.argv[1:]]:
    paths.add(top)
    for directory, directories, files in os.walk(top if not os.path.islink(top) else "/nowhere"):
        directories[:] = [name for name in directories if not re.match("claude-code-|codex-|verdaccio", name)]
        paths.update(os.path.join(directory, name) for name in [*directories, *files])
# By their real places: packages name /bin/sh, which is behind the link /bin.
real = {os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) for path in paths if os.path.lexists(path)}
for path in list(real):
    while (path := os.path.dirname(path)) != "/": real.add(path)
kept = sorted(path.lstrip("/") for path in real if not re.match("/usr/share/(doc|man|locale)/", path))
sys.stdout.write("".join(path + "\\0" for path in kept if path))
`
