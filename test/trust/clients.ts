/**
 * The clients that must trust a gateway's CA without being told: each asks once for its own path. One list, for the
 * tests here and for docs/clients.md.
 */
import { existsSync } from 'node:fs'

export const HOST = 'api.trust.example'

export type Client = {
  readonly name: string
  /** Without it, this machine does not have the client. */
  readonly needs: string
  /** `TOOLS` is replaced by a directory that everybody can read: `client` (Go), `Client.java`, `python/`, `node24`. */
  readonly argv: readonly [string, ...string[]]
}

const python = (name: string, code: string): Client => ({
  name,
  needs: '/usr/bin/python3',
  argv: ['/usr/bin/python3', '-c', code],
})
const url = (name: string) => `https://${HOST}/${name}`
const fetching = (name: string) => `fetch('${url(name)}').then(r => r.text())`

/** Debian's, or one that was installed by hand. */
export const GO = ['/usr/local/go/bin/go', '/usr/bin/go'].find(existsSync) ?? 'go'

const ALL: readonly Client[] = [
  { name: 'curl', needs: '/usr/bin/curl', argv: ['curl', '-sS', url('curl')] },
  { name: 'wget', needs: '/usr/bin/wget', argv: ['wget', '-q', '-t', '1', '-O', '/dev/null', url('wget')] },
  { name: 'git', needs: '/usr/bin/git', argv: ['git', 'ls-remote', url('git')] },
  {
    name: 'openssl',
    needs: '/usr/bin/openssl',
    argv: [
      'sh',
      '-c',
      `printf 'GET /openssl HTTP/1.0\\r\\nHost: ${HOST}\\r\\n\\r\\n' |
       openssl s_client -quiet -verify_return_error -verify_hostname ${HOST} -servername ${HOST} -connect ${HOST}:443`,
    ],
  },
  python('urllib', `import urllib.request as u; u.urlopen('${url('urllib')}').read()`),
  python('requests', `import requests; requests.get('${url('requests')}')`),
  python('httpx', `import httpx; httpx.get('${url('httpx')}')`),
  {
    name: 'pip',
    needs: '/usr/bin/python3',
    argv: [
      ...[
        '/usr/bin/python3',
        '-m',
        'pip',
        '--isolated',
        'download',
        '--retries',
        '0',
        '--no-deps',
        '--dest',
        '/run/home',
      ],
      ...['--index-url', `https://${HOST}/pip`, 'clrk-test'],
    ] as [string, ...string[]],
  },
  { name: 'node24', needs: process.execPath, argv: ['TOOLS/node24', '-e', fetching('node24')] },
  { name: 'node20', needs: '/usr/bin/node', argv: ['/usr/bin/node', '-e', fetching('node20')] },
  {
    name: 'npm',
    needs: '/usr/bin/npm',
    argv: ['npm', 'view', 'clrk-test', '--registry', `https://${HOST}/npm`, '--fetch-retries', '0'],
  },
  { name: 'go', needs: GO, argv: ['TOOLS/client', url('go')] },
  ...['java-17-openjdk-amd64', 'temurin-25-jdk-amd64'].map((jdk): Client => {
    const java = `/usr/lib/jvm/${jdk}/bin/java`
    return { name: jdk, needs: java, argv: [java, 'TOOLS/Client.java', url(jdk)] }
  }),
]

/** Those that this machine has. */
export const CLIENTS = ALL.filter(({ needs }) => existsSync(needs))

export const GO_CLIENT = `package main
import ("net/http"; "os")
func main() {
	if _, err := http.Get(os.Args[1]); err != nil { println(err.Error()); os.Exit(1) }
}`

export const JAVA_CLIENT = `
import java.net.URI;
import java.net.http.*;
class Client {
  public static void main(String[] arguments) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
    System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
  }
}`
