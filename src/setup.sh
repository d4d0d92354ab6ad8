#!/bin/sh
# Installs what is missing, and only that: setup.sh run|test|bench|pack. Quick and silent when nothing is.
#
# Each mode has its table: Debian package, what shows that it is there (a program, or a file), what needs it.
set -eu
cd "$(dirname -- "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

run='
nftables        nft                                       the ruleset of every sandbox
iproute2        ip                                        addresses and routes in it
bubblewrap      bwrap                                     the local runtime
util-linux      unshare                                   the worker and its shards: mount namespaces, no_new_privs
libseccomp2     /usr/lib/*/libseccomp.so.2                the system call filter
ca-certificates /etc/ssl/certs/ca-certificates.crt        the roots that upstream certificates are verified against'
test='
gcc             gcc                                       static programs whose first instruction is connect()
make            make                                      an unmodified client, built otherwise than Debian does
libc6-dev       /usr/include/stdio.h                      the same
openssl         openssl                                   certificates of stand-in providers, made by another hand
curl            curl                                      an unmodified client
git             git                                       an unmodified client
python3         /usr/bin/python3                          an unmodified client, and a second opinion on parsers
python3-requests /usr/lib/python3/dist-packages/requests  an unmodified client
python3-venv    /usr/lib/python3*/ensurepip               an unmodified client: pip in an environment of its own
wget            wget                                      an unmodified client
openjdk-17-jdk-headless /usr/lib/jvm/*/bin/javac          an unmodified client, and keytool
golang          go                                        an unmodified client
php-cli         php                                       an unmodified client
php-curl        /usr/lib/php/*/curl.so                    the same
ruby            ruby                                      an unmodified client
dpkg-dev        dpkg-scanpackages                         a mirror for an unmodified client: apt-get
apt-utils       apt-ftparchive                            the same
docker.io       dockerd                                   a private engine for the tests of images
podman          podman                                    the other engine
busybox-static  busybox                                   the images themselves
procps          ps                                        leak checks
nginx           nginx                                     origin and peer of the benchmark, which has a test
libssl-dev      /usr/include/openssl/ssl.h                its load generator and its other origin'
bench='
libnginx-mod-stream /usr/lib/nginx/modules/ngx_stream_module.so a peer: the plain splice
haproxy         haproxy                                   a peer
squid-openssl   /usr/lib/squid/security_file_certgen      a peer
nghttp2-client  h2load                                    load in HTTP/2'

case ${1:-} in
run) packages=$run dependencies=--omit=dev ;;
test) packages=$run$test dependencies=--include=dev ;;
bench) packages=$run$test$bench dependencies=--include=dev ;;
pack) packages='' dependencies=--include=dev ;;
*) echo 'usage: setup.sh run|test|bench|pack' >&2; exit 2 ;;
esac

here() {
  case $1 in
  /*) set -- $1; [ -e "$1" ] ;; # unquoted: a pattern becomes the files that match it
  *) command -v "$1" >/dev/null ;;
  esac
}

missing=$(echo "$packages" | while read -r package sign _; do
  [ -z "$package" ] || here "$sign" || printf '%s ' "$package"
done)
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "setup: missing: $missing; run as root: apt-get install $missing" >&2; exit 1
  fi
  if ! command -v apt-get >/dev/null; then
    echo "setup: missing: $missing; there is no apt-get, so install them with this system's package manager" >&2; exit 1
  fi
  echo "setup: apt-get install $missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -o Acquire::Retries=3 update </dev/null
  # Packages of servers start them: here each is started by whoever uses it. An answer of 101 forbids it (policy-rc.d).
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
  fi
  # shellcheck disable=SC2086 # a list of names
  apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 install -y --no-install-recommends $missing </dev/null >/dev/null
fi

# The stamp says what node_modules holds: npm removes it together with node_modules, so a broken install has none.
stamp=node_modules/.clrk-setup
lock=$(sha256sum package-lock.json)
has=$(cat "$stamp" 2>/dev/null || :)
if [ "$has" != "--include=dev $lock" ] && [ "$has" != "$dependencies $lock" ]; then
  echo 'setup: npm ci'
  npm ci --ignore-scripts "$dependencies" --no-audit --no-fund --loglevel=error </dev/null
  echo "$dependencies $lock" >"$stamp"
fi

# Peers of the benchmark that are in no Debian package, or too old there.
if [ "$1" = bench ]; then sh bench/setup.sh; fi
# Clients of the compatibility tests that are in no Debian package, or too old there.
case $1 in test | bench) sh test/compat/setup.sh ;; esac
