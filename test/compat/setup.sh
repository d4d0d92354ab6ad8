#!/bin/sh
# Installs the clients and servers of the compatibility tests that are in no Debian package, below node_modules/.cache;
# called by src/setup.sh. Each part has a stamp: what it was made of.
set -eu
cd "$(dirname -- "$0")"
cache=$(cd ../../node_modules && pwd)/.cache/clrk/compat
mkdir -p "$cache"
PATH=$PATH:/root/.cargo/bin:/usr/local/go/bin

# part NAME FILES…: is it to be made anew?
changed() { part=$1; shift; stamp=$(sha256sum "$@"); [ "$(cat "$cache/$part.sum" 2>/dev/null || :)" != "$stamp" ]; }
made() { echo "$stamp" >"$cache/$part.sum"; }

if changed npm packages/package-lock.json; then
  echo 'setup: npm ci for the compatibility tests'
  mkdir -p "$cache/npm"
  cp packages/package.json packages/package-lock.json "$cache/npm"
  npm ci --prefix "$cache/npm" --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null
  made
fi

if changed python packages/requirements.txt; then
  echo 'setup: pip install for the compatibility tests'
  rm -rf "$cache/python"
  /usr/bin/python3 -m venv "$cache/python"
  "$cache/python/bin/pip" --quiet --disable-pip-version-check install -r packages/requirements.txt </dev/null
  made
fi

# Debian's own cargo is too old for current crates: where there is no newer one, this client is not tested.
if command -v cargo >/dev/null && changed rust rust/Cargo.lock rust/src/main.rs; then
  echo 'setup: cargo build for the compatibility tests'
  cargo build --quiet --locked --manifest-path rust/Cargo.toml --target-dir "$cache/rust" </dev/null
  made
fi

if changed h2spec h2spec/go.mod h2spec/go.sum; then
  echo 'setup: go build of h2spec for the compatibility tests'
  (cd h2spec && GOTOOLCHAIN=local GOFLAGS=-mod=readonly go build -o "$cache/h2spec/h2spec" github.com/summerwind/h2spec/cmd/h2spec)
  made
fi

if changed go go/main.go; then
  mkdir -p "$cache/go"
  CGO_ENABLED=0 GOTOOLCHAIN=local GOPROXY=off go build -o "$cache/go/go-client" go/main.go
  made
fi

if changed java java/Client.java; then
  javac --release 17 -d "$cache/java" java/Client.java
  made
fi

# Debian's wget is built with GnuTLS: its own source, with OpenSSL. Its lists are apart from the machine's.
if changed wget /usr/bin/wget; then
  echo 'setup: wget with OpenSSL for the compatibility tests'
  rm -rf "$cache/wget"
  mkdir -p "$cache/wget/lists/partial" "$cache/wget/sources"
  (
    cd "$cache/wget"
    for file in /etc/apt/sources.list.d/*.sources; do
      [ ! -e "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" >"sources/${file##*/}"
    done
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null >sources/all.list || :
    apt_get() {
      apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Dir::State::Lists="$PWD/lists" \
        -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$PWD/sources" "$@" </dev/null
    }
    apt_get update
    apt_get source --download-only wget
    dpkg-source -x wget_*.dsc source >/dev/null
    cd source
    ./configure -q --with-ssl=openssl --disable-nls --disable-iri --disable-pcre --disable-pcre2 --without-libpsl \
      --without-zlib --without-libuuid --without-metalink CFLAGS=-O1
    make -s -j2 -C lib
    make -s -j2 -C src
    cp src/wget ../wget
    cd ..
    rm -rf source lists sources wget_*
  ) >"$cache/wget.log" 2>&1 || { cat "$cache/wget.log" >&2; exit 1; }
  made
fi
