#!/usr/bin/env bash
# Installs what building (and with "test" or "bench": testing and measuring)
# needs, with the distribution's own package tool, and says what it does.
# Go and Node are only checked: the versions that distributions ship are often
# too old, and replacing a person's toolchain is not ours to do.
set -euo pipefail

GO_MIN=1.26.6 NODE_MIN=20
want=()
need() { # need COMMAND-OR-FILE PACKAGE
	case "$1" in
	/*) [ -e "$1" ] || want+=("$2") ;;
	*) command -v "$1" >/dev/null 2>&1 || want+=("$2") ;;
	esac
}
older() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" != "$2" ]; }
die() { printf 'skerry: %s\n' "$1" >&2; exit 1; }

for purpose in "${@:-build}"; do
	case "$purpose" in
	build)
		need gcc gcc
		need /usr/include/stdio.h libc6-dev
		need /usr/include/seccomp.h libseccomp-dev
		need pkg-config pkg-config
		need iptables iptables
		need ipset ipset
		need mkfs.ext4 e2fsprogs
		need mount mount
		need curl curl
		need /etc/ssl/certs/ca-certificates.crt ca-certificates
		;;
	test)
		need ip iproute2
		need conntrack conntrack
		need nft nftables
		need chromium chromium
		need /usr/share/doc/fonts-noto-cjk fonts-noto-cjk
		need /usr/bin/busybox busybox-static
		need dpkg-deb dpkg
		need zstd zstd
		need redis-cli redis-tools
		need psql postgresql-client
		need skopeo skopeo
		need docker-registry docker-registry
		need mmdebstrap mmdebstrap
		need nc netcat-openbsd
		;;
	bench) need ip iproute2; need /usr/bin/busybox busybox-static; need skopeo skopeo; need curl curl ;;
	*) die "deps.sh knows build, test and bench, not '$purpose'" ;;
	esac
done
# The dynamically linked busybox has no use inside an empty image.
if [[ " $* " == *" test "* ]] && [ -e /usr/bin/busybox ] && ldd /usr/bin/busybox >/dev/null 2>&1; then want+=(busybox-static); fi

if [ "${#want[@]}" -gt 0 ]; then
	[ "$(id -u)" = 0 ] || die "these packages are missing: ${want[*]}; install them, or run this as root"
	command -v apt-get >/dev/null || die "these packages are missing: ${want[*]}; install them with your distribution's tool"
	echo "installing: ${want[*]}"
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${want[@]}"; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		die "apt-get could not install: ${want[*]} (its last words are above)"
	fi
	rm -f "$log"
fi

command -v go >/dev/null || die "Go $GO_MIN or newer is needed: unpack go$GO_MIN.linux-$(dpkg --print-architecture 2>/dev/null || uname -m).tar.gz from go.dev/dl into /usr/local and add /usr/local/go/bin to PATH"
have=$(go env GOVERSION | sed 's/^go//')
older "$have" "$GO_MIN" && die "Go $have is too old, $GO_MIN or newer is needed: unpack it from go.dev/dl into /usr/local and put /usr/local/go/bin first in PATH"
command -v npm >/dev/null || die "Node.js $NODE_MIN or newer with npm is needed to build the console: install it from nodejs.org or with your distribution's package nodejs and npm"
have=$(node --version | sed 's/^v//')
older "$have" "$NODE_MIN" && die "Node.js $have is too old, $NODE_MIN or newer is needed: install it from nodejs.org"
exit 0
