#!/bin/sh
# Compiles the static programs of images/ for this machine's architecture, for a package that is about to be published.
# A clone compiles them itself when an image is first booted.
set -eu
cd "$(dirname -- "$0")"
case $(uname -m) in x86_64) arch=x64 ;; *) arch=arm64 ;; esac
for name in pause init; do
  gcc -static -Os -s -Wall -Wextra -o "$name/$name-$arch" "$name/$name.c"
done
