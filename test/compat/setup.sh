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
