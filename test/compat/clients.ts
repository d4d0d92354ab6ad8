/**
 * The clients of docs/clients.md: how each is run, what it offers by ALPN, and which parts of the trust store suffice.
 * which-roots.test.ts holds every word of it, trust.test.ts that each works in a sandbox; table.ts prints it.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { BUN, DENO, GO_CLIENT, JAVA_CLASSES, NODE20, NPM, PACKAGES, PYTHON, RUST, WGET } from './tools.ts'

export const HOST = 'echo.example.com'
/** `commandOf` puts the client's name for PATH. */
const URL = `https://${HOST}/PATH`

/** `bundle`: the system's bundle file; `hash`: `<subject hash>.0` beside it; `keystore`: Java's; else a variable. */
export type Part = string

export type Client = {
  readonly name: string
  /** Without it, this machine does not have the client. */
  readonly needs: string
  /** Asks for URL, or something below it. */
  readonly argv: readonly [string, ...string[]]
  readonly env?: Readonly<Record<string, string>>
  /** By ALPN, in its order; `none` without ALPN, `–` where that is never seen. */
  readonly offers: string
  /** Each is enough by itself: a part, or several together. Empty: nothing is. */
  readonly trusts: readonly (readonly Part[])[]
  /** Is it in the image of debian-image.ts? Default yes. */
  readonly image?: boolean
}

/** What is asked for, so that it is known by whom: no name is the beginning of another's. */
export function pathOf({ name }: Client): string {
  return `/${name.replaceAll(/[^A-Za-z0-9]+/g, '-')}.`
}

export function commandOf(client: Client): readonly string[] {
  return client.argv.map(argument => argument.replaceAll('/PATH', pathOf(client)))
}

const PYTHON3 = join(PYTHON, 'python')
const fetching = `fetch('${URL}').then(r => r.text())`

function python(name: string, code: string, offers: string, trusts: Client['trusts']): Client {
  return { name, needs: PYTHON3, argv: [PYTHON3, '-c', code], offers, trusts }
}

/** `REQUIRE` in `code` is a `require` that finds the packages. */
function node(name: string, code: string, offers: string, program = process.execPath): Client {
  const require = `require('node:module').createRequire('${PACKAGES}/')`
  const argv = [program, '-e', code.replace('REQUIRE', require)] as const
  return { name, needs: program, argv, offers, trusts: [['NODE_EXTRA_CA_CERTS']] }
}

const ANY = [['bundle'], ['hash'], ['SSL_CERT_FILE']]
export const ALL: readonly Client[] = [
  {
    name: 'curl',
    needs: '/usr/bin/curl',
    argv: ['curl', '-sS', URL],
    offers: 'h2,http/1.1',
    trusts: [...ANY, ['CURL_CA_BUNDLE']],
  },
  {
    name: 'wget (GnuTLS)',
    needs: '/usr/bin/wget',
    argv: ['wget', '-qO-', '-t', '1', URL],
    offers: 'none',
    trusts: [['bundle']],
  },
  {
    name: 'wget (OpenSSL)',
    needs: WGET,
    argv: [WGET, '-qO-', '-t', '1', URL],
    offers: 'none',
    trusts: ANY,
  },
  {
    name: 'git',
    needs: '/usr/bin/git',
    argv: ['git', 'ls-remote', URL],
    offers: 'h2,http/1.1',
    trusts: [['bundle'], ['hash'], ['GIT_SSL_CAINFO']],
  },
  {
    name: 'openssl s_client',
    needs: '/usr/bin/openssl',
    argv: [
      'sh',
      '-c',
      `printf 'GET /PATH HTTP/1.1\\r\\nHost: ${HOST}\\r\\nConnection: close\\r\\n\\r\\n' |
        openssl s_client -quiet -verify_return_error -servername ${HOST} -connect ${HOST}:443`,
    ],
    offers: 'none',
    trusts: ANY,
  },
  {
    name: 'apt-get',
    needs: '/usr/bin/apt-get',
    argv: [
      'sh',
      '-c',
      `mkdir -p lists/partial; echo 'deb ${URL} x y' >sources; apt-get -o APT::Sandbox::User=root -o Dir::State="$PWD" -o Dir::Cache="$PWD" -o Dir::Etc::sourcelist="$PWD/sources" -o Dir::Etc::sourceparts=- update`,
    ],
    offers: 'none',
    trusts: [['bundle']],
  },
  python('Python urllib', `import urllib.request as u; u.urlopen('${URL}').read()`, 'http/1.1', ANY),
  python('Python requests', `import requests; requests.get('${URL}')`, 'http/1.1', [
    ['REQUESTS_CA_BUNDLE'],
    ['CURL_CA_BUNDLE'],
  ]),
  python('Python httpx', `import httpx; httpx.get('${URL}')`, 'http/1.1', [['SSL_CERT_FILE']]),
  python('Python httpx with HTTP/2', `import httpx; httpx.Client(http2=True).get('${URL}')`, 'http/1.1,h2', [
    ['SSL_CERT_FILE'],
  ]),
  python(
    'Python aiohttp',
    `import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession() as session: await session.get('${URL}')
asyncio.run(main())`,
    'http/1.1',
    ANY,
  ),
  python(
    'Python anthropic',
    `import anthropic; anthropic.Anthropic(api_key='x', base_url='${URL}', max_retries=0).models.list()`,
    'http/1.1',
    ANY,
  ),
  python(
    'Python openai',
    `import openai; openai.OpenAI(api_key='x', base_url='${URL}', max_retries=0).models.list()`,
    'http/1.1',
    ANY,
  ),
  python(
    'Python boto3',
    `import boto3, botocore.config
boto3.client('bedrock', region_name='us-east-1', endpoint_url='${URL}', aws_access_key_id='x', aws_secret_access_key='x', config=botocore.config.Config(retries=dict(total_max_attempts=1))).list_foundation_models()`,
    'http/1.1',
    [['AWS_CA_BUNDLE'], ['REQUESTS_CA_BUNDLE']],
  ),
  python(
    'Python grpcio',
    `import grpc
channel = grpc.secure_channel('${HOST}:443', grpc.ssl_channel_credentials())
channel.unary_unary('/PATH')(b'', timeout=5)`,
    'h2',
    [['GRPC_DEFAULT_SSL_ROOTS_FILE_PATH']],
  ),
  {
    name: 'pip',
    needs: PYTHON3,
    argv: [PYTHON3, '-m', 'pip', 'download', '--retries', '0', '--no-deps', '--index-url', URL, 'x'],
    env: { PIP_CONFIG_FILE: '/dev/null' },
    offers: 'http/1.1',
    trusts: [...ANY, ['PIP_CERT'], ['REQUESTS_CA_BUNDLE'], ['CURL_CA_BUNDLE']],
  },
  {
    name: 'uv',
    needs: join(PYTHON, 'uv'),
    argv: [join(PYTHON, 'uv'), 'pip', 'install', '--python', PYTHON3, '--target', './x', '--index-url', URL, 'x'],
    env: { UV_HTTP_RETRIES: '0' },
    offers: 'h2,http/1.1',
    trusts: [['SSL_CERT_FILE'], ['UV_SYSTEM_CERTS', 'bundle'], ['UV_NATIVE_TLS', 'bundle']],
  },
  node('Node 24 fetch', fetching, 'http/1.1'),
  node('Node 20 fetch', fetching, 'http/1.1', NODE20),
  node('Node 24 https', `require('node:https').get('${URL}', r => r.resume())`, 'none'),
  node(
    'anthropic for TypeScript',
    `const A = REQUIRE('@anthropic-ai/sdk'); new A({ apiKey: 'x', baseURL: '${URL}', maxRetries: 0 }).models.list()`,
    'http/1.1',
  ),
  node(
    'openai for TypeScript',
    `const A = REQUIRE('openai'); new A({ apiKey: 'x', baseURL: '${URL}', maxRetries: 0 }).models.list()`,
    'http/1.1',
  ),
  {
    ...node(
      '@grpc/grpc-js',
      `const { Client, credentials } = REQUIRE('@grpc/grpc-js'); const c = new Client('${HOST}', credentials.createSsl()); c.makeUnaryRequest('/PATH', b => b, b => b, Buffer.from(''), { deadline: Date.now() + 5000 }, () => c.close())`,
      'h2',
    ),
    trusts: [['NODE_EXTRA_CA_CERTS'], ['GRPC_DEFAULT_SSL_ROOTS_FILE_PATH']],
  },
  {
    name: 'npm',
    needs: NPM,
    argv: [process.execPath, NPM, 'view', 'x', '--registry', URL, '--fetch-retries', '0'],
    env: { npm_config_globalconfig: '/dev/null' },
    offers: 'none',
    trusts: [['NODE_EXTRA_CA_CERTS'], ['npm_config_cafile']],
  },
  {
    name: 'Bun fetch',
    needs: BUN,
    argv: [BUN, '-e', `await ${fetching}`],
    offers: 'http/1.1',
    trusts: [['hash'], ['NODE_EXTRA_CA_CERTS'], ['SSL_CERT_FILE']],
  },
  {
    name: 'bun add',
    needs: BUN,
    argv: ['sh', '-c', `echo '{}' >package.json; '${BUN}' add x --registry ${URL}`],
    offers: 'http/1.1',
    trusts: [['hash'], ['NODE_EXTRA_CA_CERTS'], ['SSL_CERT_FILE']],
  },
  {
    name: 'Deno fetch',
    needs: DENO,
    argv: [DENO, 'eval', `await ${fetching}`],
    offers: 'h2,http/1.1',
    trusts: [['DENO_CERT'], ['NODE_EXTRA_CA_CERTS'], ['DENO_TLS_CA_STORE', 'bundle']],
  },
  {
    name: 'Go net/http',
    needs: GO_CLIENT,
    argv: [GO_CLIENT, 'default', URL],
    offers: 'h2,http/1.1',
    trusts: ANY,
  },
  ...['java-17-openjdk', 'temurin-25-jdk'].map((jdk): Client => {
    const java = `/usr/lib/jvm/${jdk}-${process.arch === 'x64' ? 'amd64' : 'arm64'}/bin/java`
    return {
      name: `Java HttpClient (${jdk})`,
      needs: java,
      argv: [java, '-cp', JAVA_CLASSES, 'Client', URL],
      offers: 'h2,http/1.1',
      trusts: [['keystore']],
      image: !jdk.startsWith('temurin'),
    }
  }),
  {
    name: 'PHP curl',
    needs: '/usr/bin/php',
    argv: ['php', '-r', `$c = curl_init('${URL}'); curl_exec($c) || exit(curl_error($c));`],
    offers: 'h2,http/1.1',
    trusts: [['bundle'], ['hash']],
  },
  {
    name: 'PHP streams',
    needs: '/usr/bin/php',
    argv: ['php', '-r', `file_get_contents('${URL}');`],
    offers: 'none',
    trusts: ANY,
  },
  {
    name: 'Ruby net/http',
    needs: '/usr/bin/ruby',
    argv: ['ruby', '-rnet/http', '-e', `Net::HTTP.get(URI('${URL}'))`],
    offers: 'none',
    trusts: ANY,
  },
  {
    name: 'Rust reqwest, native-tls',
    needs: RUST,
    argv: [RUST, 'native-tls', URL],
    offers: 'none',
    trusts: ANY,
  },
  {
    name: 'Rust reqwest, rustls-native-certs',
    needs: RUST,
    argv: [RUST, 'rustls-native', URL],
    offers: 'h2,http/1.1',
    trusts: ANY,
  },
  {
    name: 'Rust reqwest, webpki-roots',
    needs: RUST,
    argv: [RUST, 'rustls-webpki', URL],
    offers: '–',
    trusts: [],
  },
]

/** Those that this machine has. */
export const CLIENTS = ALL.filter(({ needs }) => existsSync(needs))
