#!/usr/bin/env bash
# Builds dist/skerry_VERSION_ARCH.deb from what `make build` made. dpkg-deb does
# the packing: it is there wherever a .deb is of use, and the package is a handful
# of files; a packaging framework would be the larger part of this build.
#
# usage: packaging/deb/build.sh [BIN] [OUT]   (folders; default bin and dist)
# DEB_LEVEL=0 packs loosely and at once, for tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${1:-bin} out=${2:-dist} here=packaging/deb
die() { printf 'skerry: %s\n' "$1" >&2; exit 1; }
for f in skerry engine/containerd engine/containerd-shim-runc-v2 engine/runc engine/skerry-nodeproc; do
	[ -x "$bin/$f" ] || die "$bin/$f is missing: run make build first"
done
command -v dpkg-deb >/dev/null || die "dpkg-deb is missing: install the package dpkg"

# A Debian version begins with a digit; between releases it is made of the number
# of commits, so that a later build is a later version.
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
version=${version#v}
case "$version" in
[0-9]*.[0-9]*) version=$(printf %s "$version" | sed 's/-\(rc\|beta\|alpha\)/~\1/; s/-/+/g') ;;
*) version=0.0.0+git$(git rev-list --count HEAD 2>/dev/null || echo 0).$(printf %s "$version" | tr - .) ;;
esac
arch=$(go env GOARCH)
case "$arch" in arm) arch=armhf ;; 386) arch=i386 ;; ppc64le) arch=ppc64el ;; esac

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 0755 "$tree"
put() { install -D -m "$1" "$2" "$tree/$3"; } # put MODE FILE PLACE
put 0755 "$bin/skerry" usr/bin/skerry
for f in containerd containerd-shim-runc-v2 runc skerry-nodeproc; do put 0755 "$bin/engine/$f" "usr/lib/skerry/engine/$f"; done
put 0644 $here/skerry.service lib/systemd/system/skerry.service
put 0644 $here/config.yaml etc/skerry/config.yaml
put 0644 $here/copyright usr/share/doc/skerry/copyright
put 0644 $here/lintian-overrides usr/share/lintian/overrides/skerry
put 0644 $here/README.Debian usr/share/doc/skerry/README.Debian
mkdir -p "$tree/usr/share/man/man1" "$tree/usr/share/bash-completion/completions" "$tree/usr/share/zsh/vendor-completions"
gzip -9n <$here/skerry.1 >"$tree/usr/share/man/man1/skerry.1.gz"
SKERRY_LANG=en "$bin/skerry" completion bash >"$tree/usr/share/bash-completion/completions/skerry"
SKERRY_LANG=en "$bin/skerry" completion zsh >"$tree/usr/share/zsh/vendor-completions/_skerry"
stamp=$(git log -1 --format=%aD 2>/dev/null || date -R)
gzip -9n >"$tree/usr/share/doc/skerry/changelog.gz" <<CHANGES
skerry ($version) unstable; urgency=medium

  * Built from the project's own tree; its history is the list of changes.

 -- The Skerry authors <skerryhq@users.noreply.github.com>  $stamp
CHANGES
find "$tree" -type d -exec chmod 0755 {} +
find "$tree/usr/share" -type f -exec chmod 0644 {} +

# runc is the one program with shared libraries; ask it for what it was linked with.
libc=$(objdump -T "$bin/engine/runc" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n1)
seccomp=$(pkg-config --modversion libseccomp)
mkdir -p "$tree/DEBIAN"
sed -e "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@LIBC@/${libc#GLIBC_}/; s/@SECCOMP@/$seccomp/" \
	-e "s/@SIZE@/$(du -sk --apparent-size "$tree" | cut -f1)/" $here/control >"$tree/DEBIAN/control"
echo /etc/skerry/config.yaml >"$tree/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 0755 $here/$script "$tree/DEBIAN/$script"; done
(cd "$tree" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod 0644 "$tree/DEBIAN/control" "$tree/DEBIAN/conffiles" "$tree/DEBIAN/md5sums"

mkdir -p "$out"
deb=$out/skerry_${version}_$arch.deb
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s) dpkg-deb --root-owner-group -Zxz -z"${DEB_LEVEL:-6}" --build "$tree" "$deb" >/dev/null
echo "$deb"
