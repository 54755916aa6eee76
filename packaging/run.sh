#!/usr/bin/env bash
# make run: a one-node cloud on this host with the welcome app. Ctrl-C ends the
# node and everything it started; what it stored stays in .skerry/ until
# `make clean-run`.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { printf 'skerry: %s\n' "$1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "make run needs root: it makes network namespaces, mounts and iptables rules"

data=$PWD/.skerry/data run=${SKERRY_RUN_DIR:-/run/skerry} listen=${SKERRY_LISTEN:-0.0.0.0:7443}
export SKERRY_RUN_DIR=$run
mkdir -p "$data" "$run"
log=.skerry/daemon.log

bin/skerry daemon --ephemeral --data-dir "$data" --run-dir "$run" --listen "$listen" >"$log" 2>&1 &
daemon=$!
stop() {
	trap '' INT TERM
	echo
	echo "Ending the node and everything it started ..."
	kill -TERM "$daemon" 2>/dev/null || true
	wait "$daemon" 2>/dev/null || true
	echo "Done. Data is kept in .skerry/; make clean-run removes it."
	exit 0
}
trap stop INT TERM

for _ in $(seq 300); do
	kill -0 "$daemon" 2>/dev/null || { tail -n 5 "$log" >&2; die "the daemon ended; its log is $log"; }
	bin/skerry status --json >/dev/null 2>&1 && break
	bin/skerry init --json >.skerry/init.json 2>.skerry/init.err && break
	grep -q 'no such file\|refused\|not running' .skerry/init.err || break
	sleep 0.1
done
bin/skerry status >/dev/null || { cat .skerry/init.err >&2; stop; }

if ! bin/skerry inspect welcome >/dev/null 2>&1; then
	bin/skerry run -d -n welcome -p :8080 --restart always library/welcome >/dev/null
fi
bin/skerry status --welcome

wait "$daemon" || die "the daemon ended by itself; its log is $log"
