#!/bin/sh
# Installs the clients and servers of the compatibility tests that are in no Debian package, below node_modules/.cache;
# called by src/setup.sh. Each part has a stamp: what it was made of. Parts are made side by side.
set -eu
cd "$(dirname -- "$0")"
cache=$(cd ../../node_modules && pwd)/.cache/clrk/compat
mkdir -p "$cache"
PATH=$PATH:/root/.cargo/bin:/usr/local/go/bin

npm_packages() {
  mkdir -p "$cache/npm"
  cp packages/package.json packages/package-lock.json "$cache/npm"
  npm ci --prefix "$cache/npm" --ignore-scripts --no-audit --no-fund --loglevel=error
}

python() {
  rm -rf "$cache/python"
  /usr/bin/python3 -m venv "$cache/python"
  "$cache/python/bin/pip" --quiet --disable-pip-version-check install -r packages/requirements.txt
}

rust() { cargo build --quiet --locked --manifest-path rust/Cargo.toml --target-dir "$cache/rust"; }

h2spec() {
  cd h2spec
  GOTOOLCHAIN=local GOFLAGS=-mod=readonly go build -o "$cache/h2spec/h2spec" github.com/summerwind/h2spec/cmd/h2spec
}

go_client() { CGO_ENABLED=0 GOTOOLCHAIN=local GOPROXY=off go build -o "$cache/go/go-client" go/main.go; }

java() { javac --release 17 -d "$cache/java" java/Client.java; }

# Debian's wget is built with GnuTLS: its own source, with OpenSSL. Its lists are apart from the machine's.
wget() {
  rm -rf "$cache/wget"
  mkdir -p "$cache/wget/lists/partial" "$cache/wget/sources"
  cd "$cache/wget"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -e "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" >"sources/${file##*/}"
  done
  sed -n 's/^deb /deb-src /p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null >sources/all.list || :
  apt_get update
  apt_get source --download-only wget
  dpkg-source -x wget_*.dsc source >/dev/null
  cd source
  ./configure -q --with-ssl=openssl --disable-nls --disable-iri --disable-pcre --disable-pcre2 --without-libpsl \
    --without-zlib --without-libuuid --without-metalink CFLAGS=-O1
  make -s -C lib
  make -s -C src
  cp src/wget ../wget
  cd ..
  rm -rf source lists sources wget_*
}
apt_get() {
  apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Dir::State::Lists="$PWD/lists" \
    -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$PWD/sources" "$@"
}

# part NAME FUNCTION FILES…: runs the function where the files changed. A failure ends it (-e holds in no `if`).
part() {
  name=$1 function=$2
  shift 2
  stamp=$(sha256sum "$@")
  [ "$(cat "$cache/$name.sum" 2>/dev/null || :)" != "$stamp" ] || return 0
  echo "setup: $name for the compatibility tests"
  "$function" </dev/null >"$cache/$name.log" 2>&1
  echo "$stamp" >"$cache/$name.sum"
}

parts=''
start() { part "$@" & parts="$parts $!:$1"; }
start npm npm_packages packages/package-lock.json
start wget wget /usr/bin/wget
# Debian's own cargo is too old for current crates: where there is no newer one, this client is not tested.
if command -v cargo >/dev/null; then start rust rust rust/Cargo.lock rust/src/main.rs; fi
start python python packages/requirements.txt
start h2spec h2spec h2spec/go.mod h2spec/go.sum
start go go_client go/main.go
start java java java/Client.java
failed=0
for part in $parts; do
  wait "${part%%:*}" && continue
  cat "$cache/${part#*:}.log" >&2
  failed=1
done
exit $failed
