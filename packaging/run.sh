#!/usr/bin/env bash
# make run: a one-node cloud on this host with the welcome app. Ctrl-C ends the
# node and everything it started; what it stored stays in .skerry/ until
# `make clean-run`.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { printf 'skerry: %s\n' "$1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "make run needs root: it makes network namespaces, mounts and packet filter rules"

if curl -fs --unix-socket "${SKERRY_RUN_DIR:-/run/skerry}/skerry.sock" http://skerry/healthz >/dev/null 2>&1; then
	die "a node runs here already: end it first (Ctrl-C where make run runs, or bin/skerry reset)"
fi
data=$PWD/.skerry/data log=$PWD/.skerry/daemon.log
export SKERRY_RUN_DIR=${SKERRY_RUN_DIR:-/run/skerry}
mkdir -p "$data"

begun=$(date +%s%N)
bin/skerry daemon --ephemeral --data-dir "$data" --run-dir "$SKERRY_RUN_DIR" --listen "${SKERRY_LISTEN:-0.0.0.0:7443}" >"$log" 2>&1 &
daemon=$!
stop() {
	trap '' INT TERM
	printf '\nEnding the node and everything it started ...\n'
	kill -TERM "$daemon" 2>/dev/null || true
	wait "$daemon" 2>/dev/null || true
	echo "Done. The data is kept in .skerry/; make clean-run removes it."
	exit "${1:-0}"
}
trap stop INT TERM
fail() { echo "skerry: $1; the daemon's log is .skerry/daemon.log" >&2; tail -n 3 "$log" >&2; stop 1; }

answers() { curl -fs --unix-socket "$SKERRY_RUN_DIR/skerry.sock" "http://skerry$1"; }
for _ in $(seq 300); do
	kill -0 "$daemon" 2>/dev/null || { tail -n 1 "$log" >&2; exit 1; }
	answers /healthz >/dev/null 2>&1 && break
	sleep 0.1
done
answers /healthz >/dev/null || fail "the daemon does not answer"

if ! answers /api/v1/cluster >/dev/null 2>&1; then
	bin/skerry init >.skerry/init.txt || fail "no cluster could be made"
fi
if answers /api/v1/setup | grep -q '"needed":false'; then # the token is spent: do not show it again
	sed -i '/setup token/d; /Open the console/c\Open the console and sign in.' .skerry/init.txt
fi
if ! bin/skerry app inspect welcome >/dev/null 2>&1; then
	# 8080 is what a person expects; if somebody has it, the platform chooses.
	bin/skerry run -d -n welcome -p 8080:80 --restart always library/welcome >/dev/null 2>&1 ||
		bin/skerry run -d -n welcome -p :80 --restart always library/welcome >/dev/null || fail "the welcome app does not start"
fi
port=$(answers '/api/v1/ports?service=welcome' | grep -o '"hostPort":[0-9]*' | head -n 1 | cut -d: -f2)
host=$(hostname -I 2>/dev/null | awk '{print $1}')
for _ in $(seq 100); do
	curl -fs -o /dev/null -m 2 "http://127.0.0.1:$port/" && break
	sleep 0.1
done
took=$((($(date +%s%N) - begun) / 1000000))
join=$(bin/skerry token create 2>&1 >/dev/null | sed -n '2s/^ *//p') || join=

echo
cat .skerry/init.txt
cat <<MSG

welcome app     http://${host:-127.0.0.1}:$port/   (answered ${took} ms after the node was started)
command line    bin/skerry ps, bin/skerry logs -f welcome, bin/skerry --help
${join:+join a host     $join
                (on another host with Skerry, within an hour; bin/skerry token create makes another line)
}Ctrl-C ends the node and everything it started.
MSG

wait "$daemon" || fail "the daemon ended by itself"
