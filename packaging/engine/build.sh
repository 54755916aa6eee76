#!/bin/sh
# Builds the engine that a Skerry host runs into OUT:
#   OUT/containerd  OUT/containerd-shim-runc-v2  OUT/runc
# The versions are those pinned in go.mod beside this script. Nothing is built
# when OUT is current: the stamp is a hash of what the result depends on.
#
# usage: packaging/engine/build.sh OUT
set -eu

if [ $# -ne 1 ] || [ -z "$1" ]; then
	echo "usage: $0 OUT (the folder that receives the engine's binaries)" >&2
	exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"

if ! command -v "${CC:-gcc}" >/dev/null 2>&1; then
	echo "engine build: no C compiler found; runc needs cgo: install gcc" >&2
	exit 1
fi
if ! pkg-config --exists libseccomp 2>/dev/null; then
	echo "engine build: libseccomp's headers were not found; runc needs them: install libseccomp-dev and pkg-config" >&2
	exit 1
fi

# One build at a time for one OUT: make -j and tests may ask together.
exec 9>"$out/.lock"
flock 9

stamp=$( { cat go.mod go.sum build.sh containerd/*.go; go env GOVERSION GOARCH; pkg-config --modversion libseccomp; } | sha256sum | cut -d' ' -f1)
if [ -x "$out/containerd" ] && [ -x "$out/containerd-shim-runc-v2" ] && [ -x "$out/runc" ] &&
	[ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi
rm -f "$out/.stamp"

containerd_version=$(go list -m -f '{{.Version}}' github.com/containerd/containerd/v2)
runc_version=$(go list -m -f '{{.Version}}' github.com/opencontainers/runc)
version_package=github.com/containerd/containerd/v2/version

# A new file replaces the old one by rename, so a running engine keeps its own.
build() { # name package tags ldflags
	echo "engine build: $1" >&2
	go build -trimpath -buildvcs=false -tags "$3" -ldflags "-s -w $4" -o "$out/.$1.new" "$2"
	mv -f "$out/.$1.new" "$out/$1"
}

# runc first: it is the small one and the only one that needs cgo.
CGO_ENABLED=1 build runc github.com/opencontainers/runc \
	"seccomp urfave_cli_no_docs runc_nocriu" "-X main.version=${runc_version#v}"
# Without cgo both are static: they start without the dynamic loader.
CGO_ENABLED=0 build containerd-shim-runc-v2 github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 \
	"osusergo netgo static_build no_grpc urfave_cli_no_docs" "-X $version_package.Version=$containerd_version"
CGO_ENABLED=0 build containerd ./containerd \
	"osusergo netgo static_build no_btrfs no_devmapper no_zfs no_cri no_tracing urfave_cli_no_docs" "-X $version_package.Version=$containerd_version"

echo "$stamp" >"$out/.stamp"
