#!/usr/bin/env bash
# Runs every Go test: fast ones and those with the real kernel and engine side
# by side, then the real binary by itself, then the race detector on what many
# requests go through at once. Prints what was skipped and why; a run in which everything that
# needs the kernel was skipped has failed.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0

step() { # step NAME COMMAND...: runs it, keeps its words, prints a summary
	local name=$1 begun=$SECONDS
	shift
	echo "== $name"
	if "$@" >"$out/$name" 2>&1; then
		grep -E '^(ok|---|FAIL|PASS)' "$out/$name" | grep -v -- '--- PASS' || true
	else
		failed=1
		grep -vE '^(=== |--- (PASS|SKIP)|    --- (PASS|SKIP)|\?|ok )' "$out/$name" | tail -n 400
	fi
	echo "== $name took $((SECONDS - begun)) s"
}

packages=$(go list ./... | grep -vE '/appliance/(e2e|chaos)$')
step vet go vet ./...
step unit go test -v -count=1 -p 2 -timeout 20m $packages
step e2e go test -v -count=1 -p 1 -timeout 30m ./appliance/e2e ./appliance/chaos
CGO_ENABLED=1 step race go test -race -count=1 -timeout 20m ./raft/... ./appliance/access ./appliance/api/... ./appliance/registry/... ./appliance/mirror/... ./appliance/observe ./appliance/control/... ./appliance/peer ./appliance/quorum ./appliance/recovery ./appliance/worker ./appliance/exchange ./appliance/agent ./appliance/operation ./appliance/noderuntime ./appliance/nodeview ./appliance/deploy ./appliance/scheduler ./appliance/ipalloc ./runtime/logs/... ./cmd/skerry/...

skipped=$(grep -hE -A1 '^ *--- SKIP' "$out/unit" "$out/e2e" | grep -v '^--$' || true)
if [ -n "$skipped" ]; then
	echo "== skipped, with the reasons"
	echo "$skipped"
fi
for place in netfw/iptables netfw/link runtime/ctrd appliance/e2e; do
	ran=$(awk -v place="skerry/$place" '/^--- (PASS|FAIL)/ {n++} /^(ok|FAIL)[ \t]/ {if (index($2, place)) total = n; n = 0} END {print total + 0}' "$out/unit" "$out/e2e")
	if [ "$ran" = 0 ]; then
		echo "no test of $place has run: this machine cannot show that the product works"
		failed=1
	fi
done
# The Go tests' own count, in one line that every reader of logs knows.
passed=$(cat "$out/unit" "$out/e2e" | grep -cE '^--- PASS')
lost=$(cat "$out/unit" "$out/e2e" "$out/race" | grep -cE '^--- FAIL')
missed=$(cat "$out/unit" "$out/e2e" | grep -cE '^--- SKIP')
[ "$failed" = 0 ] || [ "$lost" != 0 ] || lost=1
echo "tests: $passed passed, $lost failed, $missed skipped"
exit "$failed"
