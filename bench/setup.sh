#!/bin/sh
# Installs the benchmark's peers that come from other registries, below node_modules/.cache; called by src/setup.sh.
set -eu
cd "$(dirname -- "$0")"
cache=$(cd ../node_modules && pwd)/.cache/clrk-bench
mkdir -p "$cache"

if [ ! -x "$cache/mitmproxy/bin/mitmdump" ]; then
  echo 'setup: pip install mitmproxy'
  rm -rf "$cache/mitmproxy"
  python3 -m venv "$cache/mitmproxy" # the newest that this Python takes: the report says which
  "$cache/mitmproxy/bin/pip" --quiet --disable-pip-version-check install mitmproxy </dev/null
fi

if [ "$(cat "$cache/goproxy.sum" 2>/dev/null || :)" != "$(sha256sum goproxy/*)" ]; then
  echo 'setup: go build goproxy'
  PATH=/usr/local/go/bin:$PATH # Debian's own may be too old for it
  (cd goproxy && go build -o "$cache/goproxy" .)
  sha256sum goproxy/* >"$cache/goproxy.sum"
fi
