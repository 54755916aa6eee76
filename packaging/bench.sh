#!/bin/sh
# Runs the benchmark from the repository's root; arguments go to it, see
# `packaging/bench.sh -h`.
set -eu
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
go build -o "$out/bench" ./packaging/bench
"$out/bench" "$@"
