/** The other contenders' configurations, as text. Each sets `authorization` and verifies the origin, splice excepted. */
import type { Certificates } from './certificates.ts'
import { ADDRESSES, NAMES } from './names.ts'

/** What every one of them needs to know. `home`: a directory of its own. */
export type Setting = {
  readonly home: string
  readonly port: number
  readonly authorization: string
  readonly certificates: Certificates
}

/** TCP passed through by SNI: the least that a redirect can cost. */
export function nginxStream({ home, port }: Setting, module: string): string {
  return `load_module ${module};
user root; daemon off; worker_processes 1; worker_rlimit_nofile 19000;
pid ${home}/pid; error_log ${home}/error.log warn;
events { worker_connections 9000; }
stream {
  map $ssl_preread_server_name $to { ${NAMES.bulk} ${ADDRESSES.bulk}:443; default ${ADDRESSES.api}:443; }
  server { listen ${port} backlog=4096; ssl_preread on; tcp_nodelay on; proxy_pass $to; proxy_timeout 600s; }
}
`
}

/** With buffers of 32 and 64 KiB: with the default ones bulk is half as fast. */
export function nginx({ home, port, authorization, certificates }: Setting): string {
  const server = (name: string, address: string) =>
    `upstream ${name} { server ${address}:443; keepalive 128; keepalive_requests 100000000; keepalive_timeout 600s; }`
  return `user root; daemon off; worker_processes 1; worker_rlimit_nofile 19000;
pid ${home}/pid; error_log ${home}/error.log warn;
events { worker_connections 9000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  client_max_body_size 0; client_body_buffer_size 64k;
  client_body_temp_path ${home}/t1; proxy_temp_path ${home}/t2; fastcgi_temp_path ${home}/t3;
  uwsgi_temp_path ${home}/t4; scgi_temp_path ${home}/t5;
  ${server('api', ADDRESSES.api)}
  ${server('bulk', ADDRESSES.bulk)}
  map $host $to { default api; ${NAMES.bulk} bulk; }
  server {
    listen ${port} ssl http2 backlog=4096;
    ssl_certificate ${certificates.proxy}; ssl_certificate_key ${certificates.proxyKey};
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:proxy:10m;
    location / {
      proxy_pass https://$to; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header Authorization "${authorization}";
      proxy_buffering off; proxy_buffer_size 32k; proxy_buffers 8 32k; proxy_busy_buffers_size 64k;
      proxy_request_buffering off; proxy_read_timeout 600s;
      proxy_ssl_server_name on; proxy_ssl_name ${NAMES.api}; proxy_ssl_verify on;
      proxy_ssl_trusted_certificate ${certificates.originRoot};
      proxy_ssl_session_reuse on; proxy_ssl_protocols TLSv1.2 TLSv1.3;
    }
  }
}
`
}

/** A fixed certificate for the two names, minted ones for all others. */
export function haproxy({ port, authorization, certificates }: Setting): string {
  const backend = (name: string, address: string, host: string) => `backend ${name}
  http-reuse always
  server s ${address}:443 ssl verify required ca-file ${certificates.originRoot} sni str(${host}) alpn http/1.1 pool-max-conn 1000
`
  return `global
  nbthread 1
  maxconn 4000
  ssl-server-verify required
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  option http-no-delay
frontend f
  bind :${port} ssl crt ${certificates.proxyBoth} ca-sign-file ${certificates.proxyRootBoth} generate-certificates alpn h2,http/1.1
  http-request set-header authorization "${authorization}"
  use_backend bulk if { req.hdr(host) -i ${NAMES.bulk} }
  default_backend api
${backend('api', ADDRESSES.api, NAMES.api)}${backend('bulk', ADDRESSES.bulk, NAMES.bulk)}`
}

export function squid({ home, port, authorization, certificates }: Setting, helper: string): string {
  return `visible_hostname bench
hosts_file /etc/hosts
dns_nameservers 127.0.0.1
pid_filename ${home}/pid
cache_log ${home}/cache.log
access_log none
cache deny all
cache_mem 16 MB
workers 1
max_filedescriptors 16384
coredump_dir ${home}
http_port ${port + 1}
https_port ${port} intercept ssl-bump tls-cert=${certificates.squidBoth} generate-host-certificates=on dynamic_cert_mem_cache_size=64MB
sslcrtd_program ${helper} -s ${home}/certificates -M 64MB
sslcrtd_children 8 startup=2 idle=1
tls_outgoing_options cafile=${certificates.originRoot}
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
host_verify_strict off
client_dst_passthru on
request_header_access Authorization deny all
request_header_add Authorization "${authorization}" all
http_access allow all
server_persistent_connections on
client_persistent_connections on
read_ahead_gap 64 KB
shutdown_lifetime 1 seconds
`
}

/** An addon in Python. Bodies are streamed, as every other contender does. */
export function mitmproxy({ authorization }: Setting): string {
  return `class SetAuthorization:
    def requestheaders(self, flow):
        flow.request.stream = True
        flow.request.headers["authorization"] = "${authorization}"

    def responseheaders(self, flow):
        flow.response.stream = True


addons = [SetAuthorization()]
`
}

/** Everything on: policy, injection, telemetry with bodies. `custom` looks for a credential in every known place. */
export function clrkManifests(authorization: string, receiver: string): string {
  const resource = (kind: string, name: string, spec: string) =>
    `apiVersion: clrk.apoxy.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec:\n${spec}`
  const hosts = [NAMES.api, NAMES.bulk, `*.${NAMES.freshSuffix}`].map(host => `'${host}'`).join(', ')
  return [
    resource(
      'EgressGateway',
      'bench',
      `  defaultPolicy: deny-all
  listeners: [{ name: tls, protocol: TLS, tls: { mode: Terminate } }]
  otlp: { endpoint: 'http://${receiver}:4318', captureBody: { maxBytes: 65536 } }
`,
    ),
    resource(
      'AIProviderRoute',
      'bench',
      `  parentRefs: [{ group: clrk.apoxy.dev, kind: EgressGateway, name: bench }]
  rules: [{ matches: [{ provider: custom, hostnames: [${hosts}], endpoints: [/json, /upload, /events, '/bytes/*'] }] }]
`,
    ),
    resource(
      'CredentialInjectionPolicy',
      'bench',
      `  parentRefs: [{ group: clrk.apoxy.dev, kind: AIProviderRoute, name: bench }]
  secretRef: { name: bench }
  secretKey: authorization
  target: Header
  headerName: authorization
`,
    ),
    `apiVersion: v1\nkind: Secret\nmetadata: { name: bench }\nstringData: { authorization: '${authorization}' }\n`,
  ].join('---\n')
}
