/** The programs on a caller's PATH work inside wherever they are installed, and nothing else of the home is shown. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { hostFiles } from '../../src/runtimes/host-files.ts'
import { toolsOnPath } from '../../src/runtimes/tools-on-path.ts'
import { run, SCRATCH, sh } from './sandboxes.ts'

const NODE = realpathSync(process.execPath)

/** A home with these files: `-> x` is a link, `!x` an executable script, anything else is text. Mode 0700, as /root is. */
function makeHome(name: string, files: Readonly<Record<string, string>>): string {
  const home = join(SCRATCH, name)
  for (const [path, content] of Object.entries(files)) {
    const full = join(home, path)
    mkdirSync(dirname(full), { recursive: true })
    if (content.startsWith('-> ')) symlinkSync(content.slice(3).replace('~', home), full)
    else if (content.startsWith('!')) writeFileSync(full, content.slice(1).replaceAll('~', home), { mode: 0o755 })
    else writeFileSync(full, content)
  }
  chmodSync(home, 0o700)
  return home
}

const ECHO = '!#!/bin/sh\necho ok\n'

type Case = {
  readonly files: Readonly<Record<string, string>>
  /** PATH entries below the home. */
  readonly path: readonly string[]
  /** What is shown, below the home. */
  readonly shown: readonly string[]
  /** A command inside that prints `ok`. */
  readonly command: string
}

const CASES: Readonly<Record<string, Case>> = {
  nvm: {
    files: {
      '.nvm/versions/node/v20.1.0/bin/node': ECHO,
      '.nvm/versions/node/v20.1.0/bin/tool': '-> ../lib/node_modules/tool/cli.js',
      '.nvm/versions/node/v20.1.0/lib/node_modules/tool/cli.js': '!#!/usr/bin/env node\n',
      '.nvm/versions/node/v18.0.0/bin/node': ECHO,
      '.nvm/alias/default': 'v20',
    },
    path: ['.nvm/versions/node/v20.1.0/bin'],
    shown: ['.nvm/versions/node/v20.1.0'],
    command: 'tool',
  },
  'pyenv shims': {
    files: {
      '.pyenv/libexec/pyenv': ECHO,
      '.pyenv/bin/pyenv': '-> ../libexec/pyenv',
      '.pyenv/shims/python': '!#!/bin/sh\nexec ~/.pyenv/libexec/pyenv exec python\n',
      '.pyenv/versions/3.11/bin/python': ECHO,
      '.pyenv/version': '3.11\n',
      '.pyenv/.git/config': 'token',
    },
    path: ['.pyenv/shims', '.pyenv/bin'],
    shown: ['bin', 'libexec', 'shims', 'version', 'versions'].map(name => `.pyenv/${name}`),
    command: 'python',
  },
  'cargo and rustup': {
    files: {
      '.cargo/bin/rustup': ECHO,
      '.cargo/bin/cargo': '-> rustup',
      '.cargo/credentials.toml': 'sk-canary',
      '.cargo/registry/x': '',
      '.rustup/settings.toml': '',
      '.rustup/toolchains/stable/bin/cargo': ECHO,
    },
    path: ['.cargo/bin'],
    shown: ['.cargo/bin', '.rustup/settings.toml', '.rustup/toolchains'],
    command: 'cargo && test ! -e ~/.cargo/credentials.toml',
  },
  'a program unpacked below ~/.local/share': {
    files: {
      '.local/bin/agent': '-> ~/.local/share/agent/versions/1.2/agent',
      '.local/share/agent/versions/1.2/agent': '!#!/bin/sh\n. ~/.local/share/agent/versions/1.2/rest\n',
      '.local/share/agent/versions/1.2/rest': 'echo ok',
      '.local/share/keyrings/login.keyring': 'sk-canary',
      '.local/share/other/data': 'x',
    },
    path: ['.local/bin'],
    shown: ['.local/bin', '.local/share/agent/versions/1.2'],
    command: 'agent && test ! -e ~/.local/share/keyrings && test ! -e ~/.local/share/other',
  },
  'a script of a virtual environment whose python is linked through a version link (pipx, uv)': {
    files: {
      '.local/bin/tool': '-> ~/.local/share/uv/tools/tool/bin/tool',
      '.local/share/uv/tools/tool/bin/tool': '!#!~/.local/share/uv/tools/tool/bin/python3\n',
      '.local/share/uv/tools/tool/bin/python3': '-> ~/.local/share/uv/python/3.12/bin/python3',
      '.local/share/uv/tools/tool/pyvenv.cfg': '',
      '.local/share/uv/python/3.12': '-> 3.12.7',
      '.local/share/uv/python/3.12.7/bin/python3': '-> python3.12',
      '.local/share/uv/python/3.12.7/bin/python3.12': '-> /bin/echo',
      '.local/share/uv/python/3.12.7/lib/x': '',
    },
    path: ['.local/bin'],
    shown: ['.local/bin', '.local/share/uv/python/3.12', '.local/share/uv/python/3.12.7', '.local/share/uv/tools/tool'],
    command: 'tool | grep -q bin/tool && echo ok',
  },
  'pip install --user': {
    files: { '.local/bin/tool': ECHO, '.local/lib/python3.11/site-packages/m.py': '', '.local/lib/secret/x': '' },
    path: ['.local/bin'],
    shown: ['.local/bin', '.local/lib/python3.11/site-packages'],
    command: 'tool',
  },
  'npm with a prefix in the home': {
    files: {
      '.npm-global/bin/tool': '-> ../lib/node_modules/tool/cli',
      '.npm-global/lib/node_modules/tool/cli': ECHO,
      '.npmrc': 'sk-canary',
    },
    path: ['.npm-global/bin'],
    shown: ['.npm-global/bin', '.npm-global/lib/node_modules'],
    command: 'tool && test ! -e ~/.npmrc',
  },
  bun: {
    files: {
      '.bun/bin/bun': ECHO,
      '.bun/bin/tool': '-> ../install/global/node_modules/tool/cli',
      '.bun/install/global/node_modules/tool/cli': ECHO,
      '.bun/install/cache/x': '',
    },
    path: ['.bun/bin'],
    shown: ['.bun/bin', '.bun/install/global/node_modules'],
    command: 'tool',
  },
  deno: {
    files: { '.deno/bin/deno': ECHO, '.deno/env': '' },
    path: ['.deno/bin'],
    shown: ['.deno/bin'],
    command: 'deno',
  },
  'go install': {
    files: { 'go/bin/tool': ECHO, 'go/pkg/mod/x': '' },
    path: ['go/bin'],
    shown: ['go/bin'],
    command: 'tool',
  },
  volta: {
    files: { '.volta/bin/volta': ECHO, '.volta/bin/node': '-> volta', '.volta/tools/image/x': '', '.volta/log/x': '' },
    path: ['.volta/bin'],
    shown: ['.volta/bin', '.volta/tools'],
    command: 'node',
  },
  fnm: {
    files: {
      '.local/share/fnm/node-versions/v20/installation/bin/node': ECHO,
      '.local/share/fnm/node-versions/v20/installation/lib/x': '',
      '.local/state/fnm_multishells/1_2': '-> ~/.local/share/fnm/node-versions/v20/installation',
    },
    path: ['.local/state/fnm_multishells/1_2/bin'],
    shown: ['.local/share/fnm/node-versions/v20/installation'],
    command: 'node',
  },
  asdf: {
    files: {
      '.asdf/shims/node': '!#!/bin/sh\nexec ~/.asdf/installs/nodejs/20/bin/node\n',
      '.asdf/installs/nodejs/20/bin/node': ECHO,
      '.asdf/plugins/nodejs/x': '',
      '.asdf/tmp/x': '',
    },
    path: ['.asdf/shims'],
    shown: ['.asdf/installs', '.asdf/plugins', '.asdf/shims'],
    command: 'node',
  },
  "a directory of one's own scripts, with a credential among them": {
    files: { 'bin/tool': ECHO, 'bin/.env': 'sk-canary', 'bin/deploy.pem': 'sk-canary', 'bin/cacert.txt': 'public' },
    path: ['bin'],
    shown: ['bin'],
    command: 'tool && test ! -s ~/bin/.env && test ! -s ~/bin/deploy.pem && test -s ~/bin/cacert.txt',
  },
  'links to credentials are not followed': {
    files: {
      'bin/tool': ECHO,
      'bin/key': '-> ~/.ssh/id_rsa',
      'bin/login': '-> ~/.claude/login',
      'bin/notes': '-> ~/notes.txt',
      '.ssh/id_rsa': '!sk-canary',
      '.claude/login': '!sk-canary',
      'notes.txt': 'private',
    },
    path: ['bin', '.ssh', '.claude'],
    shown: ['bin'],
    command: 'tool',
  },
}

for (const [name, { files, path, shown, command }] of Object.entries(CASES)) {
  test(`a tool works inside, and only it is shown: ${name}`, async t => {
    const home = makeHome(name.replace(/\W/g, '-'), files)
    const plan = toolsOnPath(hostFiles, {
      path: [...path.map(entry => join(home, entry)), '/usr/bin', '/bin'].join(':'),
      home,
      workspace: null,
    })
    assert.deepEqual(
      plan.readOnly.map(it => it.slice(home.length + 1)),
      shown,
    )

    const { stdout, stderr, exit } = await run(t, sh(command), {
      home,
      workingDirectory: home,
      environment: { PATH: plan.path, HOME: home },
      readOnly: plan.readOnly,
    })
    assert.deepEqual({ stdout, exit }, { stdout: 'ok\n', exit: { code: 0, signal: null } }, stderr)
    const canaries = await run(t, sh('grep -rs sk-canary ~; true'), {
      home,
      workingDirectory: home,
      readOnly: plan.readOnly,
    })
    assert.equal(canaries.stdout, '')
  })
}

test('entries that are relative, empty, missing, the home, or above it are dropped', () => {
  const home = makeHome('odd', { 'bin/x': ECHO, '.config/bin/x': ECHO })
  const path = [
    '.',
    '',
    'bin',
    home,
    dirname(home),
    '/',
    `${home}/none`,
    `${home}/.config`,
    `${home}/bin/`,
    '/usr/bin',
    '/usr/bin',
  ]
  assert.deepEqual(toolsOnPath(hostFiles, { path: path.join(':'), home, workspace: null }), {
    readOnly: [join(home, 'bin')],
    path: `${home}/bin:/usr/bin`,
  })
})

test('a link that an agent may have planted in its workspace shows nothing but an installed version', () => {
  const home = makeHome('planted', {
    'work/bin/private': '-> ~/projects/run',
    'work/bin/python': '-> ~/.local/share/uv/python/3.12/bin/python3',
    'projects/run': ECHO,
    'work/bin/linked': '-> ~/shortcut',
    shortcut: '-> ~/projects/run',
    '.local/share/uv/python/3.12': '-> 3.12.7',
    '.local/share/uv/python/3.12.7/bin/python3': ECHO,
    '.local/share/uv/python/3.12.7/lib/x': '',
  })
  const workspace = join(home, 'work')
  assert.deepEqual(toolsOnPath(hostFiles, { path: join(workspace, 'bin'), home, workspace }), {
    readOnly: ['3.12', '3.12.7'].map(version => join(home, '.local/share/uv/python', version)),
    path: join(workspace, 'bin'),
  })
})

test("the tools of this machine's own PATH work inside, for a user that cannot enter their home", async t => {
  const home = process.env.HOME ?? '/root'
  const plan = toolsOnPath(hostFiles, { path: `${process.env.PATH}:${dirname(NODE)}`, home, workspace: null })
  const tools = {
    python3: '--version',
    cargo: '--version',
    rustc: '--version',
    go: 'version',
    node: '--version',
    git: '--version',
  }
  const present = Object.entries(tools).filter(([name]) =>
    plan.path.split(':').some(directory => existsSync(join(directory, name))),
  )
  assert.ok(present.length >= 2)
  for (const [name, argument] of present) {
    const { stdout, stderr, exit } = await run(t, sh(`${name} ${argument}`), {
      home,
      workingDirectory: home,
      environment: { PATH: plan.path, HOME: home },
      readOnly: plan.readOnly,
    })
    assert.deepEqual(exit, { code: 0, signal: null }, `${name}: ${stderr}`)
    assert.match(stdout, /\d+\.\d+/)
  }
  assert.ok(readFileSync(NODE).length > 0)
})
