/**
 * The clients of docs/clients.md: how each is run, what it offers by ALPN, and which parts of the trust store suffice.
 * which-roots.test.ts holds every word of it; table.ts prints it.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { BUN, DENO, PACKAGES, PYTHON, RUST } from './tools.ts'

export const HOST = 'api.roots.example'
const URL = `https://${HOST}/`

/** `bundle`: the system's bundle file; `hash`: `<subject hash>.0` beside it; `keystore`: Java's; else a variable. */
export type Part = string

export type Client = {
  readonly name: string
  /** Without it, this machine does not have the client. */
  readonly needs: string
  readonly version: readonly [string, ...string[]]
  /** Connects to HOST. */
  readonly argv: readonly [string, ...string[]]
  readonly env?: Readonly<Record<string, string>>
  /** By ALPN, in its order; `none` without ALPN. */
  readonly offers: string
  /** Each is enough by itself: a part, or several together. Empty: nothing is. */
  readonly trusts: readonly (readonly Part[])[]
}

const PYTHON3 = join(PYTHON, 'python')
const NODE = process.execPath
const fetching = `fetch('${URL}').then(r => r.text())`

function python(name: string, code: string, offers: string, trusts: Client['trusts'], distribution?: string): Client {
  const version =
    distribution === undefined
      ? 'import sys; print(sys.version.split()[0])'
      : `import importlib.metadata as m; print(m.version('${distribution}'))`
  return { name, needs: PYTHON3, version: [PYTHON3, '-c', version], argv: [PYTHON3, '-c', code], offers, trusts }
}

function node(name: string, code: string, offers: string, module?: string): Client {
  const require = `require('node:module').createRequire('${PACKAGES}/')`
  const version = module === undefined ? 'process.version' : `${require}('${PACKAGES}/${module}/package.json').version`
  return {
    name,
    needs: NODE,
    version: [NODE, '-p', version],
    argv: [NODE, '-e', code.replace('REQUIRE', require)],
    offers,
    trusts: [['NODE_EXTRA_CA_CERTS']],
  }
}
const ANY = [['bundle'], ['hash'], ['SSL_CERT_FILE']]
const ALL: readonly Client[] = [
  {
    name: 'curl',
    needs: '/usr/bin/curl',
    version: ['curl', '--version'],
    argv: ['curl', '-sS', URL],
    offers: 'h2,http/1.1',
    trusts: [...ANY, ['CURL_CA_BUNDLE']],
  },
  {
    name: 'wget (GnuTLS)',
    needs: '/usr/bin/wget',
    version: ['wget', '--version'],
    argv: ['wget', '-qO-', '-t', '1', URL],
    offers: 'none',
    trusts: [['bundle']],
  },
  {
    name: 'git',
    needs: '/usr/bin/git',
    version: ['git', '--version'],
    argv: ['git', 'ls-remote', URL],
    offers: 'h2,http/1.1',
    trusts: [['bundle'], ['hash'], ['GIT_SSL_CAINFO']],
  },
  {
    name: 'openssl s_client',
    needs: '/usr/bin/openssl',
    version: ['openssl', 'version'],
    argv: ['sh', '-c', `echo | openssl s_client -quiet -verify_return_error -servername ${HOST} -connect ${HOST}:443`],
    offers: 'none',
    trusts: ANY,
  },
  {
    name: 'apt-get',
    needs: '/usr/bin/apt-get',
    version: ['apt-get', '--version'],
    argv: [
      'sh',
      '-c',
      `mkdir -p lists/partial; echo 'deb ${URL} x y' >sources; apt-get -o APT::Sandbox::User=root -o Dir::State="$PWD" -o Dir::Cache="$PWD" -o Dir::Etc::sourcelist="$PWD/sources" -o Dir::Etc::sourceparts=- update`,
    ],
    offers: 'http/1.1',
    trusts: [['bundle']],
  },
  python('Python urllib', `import urllib.request as u; u.urlopen('${URL}').read()`, 'http/1.1', ANY),
  python(
    'Python requests',
    `import requests; requests.get('${URL}')`,
    'http/1.1',
    [['REQUESTS_CA_BUNDLE'], ['CURL_CA_BUNDLE']],
    'requests',
  ),
  python('Python httpx', `import httpx; httpx.get('${URL}')`, 'http/1.1', [['SSL_CERT_FILE']], 'httpx'),
  python(
    'Python httpx with HTTP/2',
    `import httpx; httpx.Client(http2=True).get('${URL}')`,
    'http/1.1,h2',
    [['SSL_CERT_FILE']],
    'httpx',
  ),
  python(
    'Python aiohttp',
    `import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession() as session: await session.get('${URL}')
asyncio.run(main())`,
    'http/1.1',
    ANY,
    'aiohttp',
  ),
  python(
    'Python anthropic',
    `import anthropic; anthropic.Anthropic(api_key='x', base_url='${URL}', max_retries=0).models.list()`,
    'http/1.1',
    ANY,
    'anthropic',
  ),
  python(
    'Python openai',
    `import openai; openai.OpenAI(api_key='x', base_url='${URL}', max_retries=0).models.list()`,
    'http/1.1',
    ANY,
    'openai',
  ),
  python(
    'Python boto3',
    `import boto3, botocore.config
boto3.client('bedrock', region_name='us-east-1', endpoint_url='${URL}', aws_access_key_id='x', aws_secret_access_key='x', config=botocore.config.Config(retries=dict(total_max_attempts=1))).list_foundation_models()`,
    'http/1.1',
    [['AWS_CA_BUNDLE'], ['REQUESTS_CA_BUNDLE']],
    'boto3',
  ),
  python(
    'Python grpcio',
    `import grpc
grpc.channel_ready_future(grpc.secure_channel('${HOST}:443', grpc.ssl_channel_credentials())).result(timeout=3)`,
    'h2',
    [['GRPC_DEFAULT_SSL_ROOTS_FILE_PATH']],
    'grpcio',
  ),
  {
    name: 'pip',
    needs: PYTHON3,
    version: [PYTHON3, '-m', 'pip', '--version'],
    argv: [PYTHON3, '-m', 'pip', 'download', '--retries', '0', '--no-deps', '--index-url', URL, 'x'],
    env: { PIP_CONFIG_FILE: '/dev/null' },
    offers: 'http/1.1',
    trusts: [['PIP_CERT']],
  },
  {
    name: 'uv',
    needs: join(PYTHON, 'uv'),
    version: [join(PYTHON, 'uv'), '--version'],
    argv: [
      join(PYTHON, 'uv'),
      'pip',
      'install',
      '--python',
      PYTHON3,
      '--target',
      '/run/home/x',
      '--index-url',
      URL,
      'x',
    ],
    env: { UV_HTTP_RETRIES: '0' },
    offers: 'h2,http/1.1',
    trusts: [['SSL_CERT_FILE']],
  },
  node('Node fetch', fetching, 'http/1.1'),
  node('Node https', `require('node:https').get('${URL}', r => r.resume())`, 'http/1.1'),
  node(
    'anthropic for TypeScript',
    `const A = REQUIRE('@anthropic-ai/sdk'); new A({ apiKey: 'x', baseURL: '${URL}', maxRetries: 0 }).models.list()`,
    'http/1.1',
    '@anthropic-ai/sdk',
  ),
  node(
    'openai for TypeScript',
    `const A = REQUIRE('openai'); new A({ apiKey: 'x', baseURL: '${URL}', maxRetries: 0 }).models.list()`,
    'http/1.1',
    'openai',
  ),
  node(
    '@grpc/grpc-js',
    `const { Client, credentials } = REQUIRE('@grpc/grpc-js'); const c = new Client('${HOST}', credentials.createSsl()); c.waitForReady(Date.now() + 2000, () => c.close())`,
    'h2',
    '@grpc/grpc-js',
  ),
  {
    name: 'npm',
    needs: '/usr/bin/npm',
    version: ['npm', '--version'],
    argv: ['npm', 'view', 'x', '--registry', URL, '--fetch-retries', '0'],
    env: { npm_config_globalconfig: '/dev/null' },
    offers: 'none',
    trusts: [['NODE_EXTRA_CA_CERTS'], ['npm_config_cafile']],
  },
  {
    name: 'Bun fetch',
    needs: BUN,
    version: [BUN, '--version'],
    argv: [BUN, '-e', `await ${fetching}`],
    offers: 'http/1.1',
    trusts: ANY,
  },
  {
    name: 'bun add',
    needs: BUN,
    version: [BUN, '--version'],
    argv: ['sh', '-c', `echo '{}' >package.json; '${BUN}' add x --registry ${URL}`],
    offers: 'http/1.1',
    trusts: ANY,
  },
  {
    name: 'Deno fetch',
    needs: DENO,
    version: [DENO, '--version'],
    argv: [DENO, 'eval', `await ${fetching}`],
    offers: 'h2,http/1.1',
    trusts: [['DENO_CERT']],
  },
  {
    name: 'Go net/http',
    needs: '/run/none',
    version: ['go', 'version'],
    argv: ['true'],
    offers: 'h2,http/1.1',
    trusts: ANY,
  },
  {
    name: 'PHP curl',
    needs: '/usr/bin/php',
    version: ['php', '-r', 'echo PHP_VERSION;'],
    argv: ['php', '-r', `$c = curl_init('${URL}'); curl_exec($c) || exit(curl_error($c));`],
    offers: 'h2,http/1.1',
    trusts: ANY,
  },
  {
    name: 'PHP streams',
    needs: '/usr/bin/php',
    version: ['php', '-r', 'echo PHP_VERSION;'],
    argv: ['php', '-r', `file_get_contents('${URL}');`],
    offers: 'none',
    trusts: ANY,
  },
  {
    name: 'Ruby net/http',
    needs: '/usr/bin/ruby',
    version: ['ruby', '--version'],
    argv: ['ruby', '-rnet/http', '-e', `Net::HTTP.get(URI('${URL}'))`],
    offers: 'none',
    trusts: ANY,
  },
  {
    name: 'Rust reqwest, native-tls',
    needs: RUST,
    version: ['echo', '0.12.28'],
    argv: [RUST, 'native-tls', URL],
    offers: 'none',
    trusts: ANY,
  },
  {
    name: 'Rust reqwest, rustls-native-certs',
    needs: RUST,
    version: ['echo', '0.12.28'],
    argv: [RUST, 'rustls-native', URL],
    offers: 'h2,http/1.1',
    trusts: ANY,
  },
  {
    name: 'Rust reqwest, webpki-roots',
    needs: RUST,
    version: ['echo', '0.12.28'],
    argv: [RUST, 'rustls-webpki', URL],
    offers: 'h2,http/1.1',
    trusts: [],
  },
]
export const CLIENTS = ALL.filter(({ needs }) => existsSync(needs))
