#!/bin/sh
# Builds the registry clients that come as Go modules into OUT: crane, regctl and
# orasgo, in the versions pinned in go.mod beside this script. Nothing is built
# when OUT is current.
#
# usage: packaging/clients/build.sh OUT
set -eu
if [ $# -ne 1 ] || [ -z "$1" ]; then
	echo "usage: $0 OUT (the folder that receives the programs)" >&2
	exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
exec 9>"$out/.lock"
flock 9
stamp=$( { cat go.mod go.sum build.sh orasgo/*.go; go env GOVERSION GOARCH; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi
rm -f "$out/.stamp"
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$out/" \
	github.com/google/go-containerregistry/cmd/crane github.com/regclient/regclient/cmd/regctl ./orasgo
echo "$stamp" >"$out/.stamp"
