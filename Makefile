# Skerry: a container cloud that fits in one file. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export CGO_ENABLED ?= 0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/skerryhq/skerry/appliance.version=$(VERSION)
TOOL    := go tool -modfile=$(CURDIR)/packaging/tools/go.mod
CONSOLE := ui/dist/index.html
WELCOME := packaging/welcome/dist/welcome.tar

.PHONY: help deps deps-test generate engine console welcome build run clean-run test test-go test-ui chaos lint bench package docs

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

deps:
	@packaging/deps.sh build

deps-test:
	@packaging/deps.sh build test

generate: ## make the code that comes from openapi.yaml
	@$(MAKE) -s appliance/api/.generated

appliance/api/.generated: appliance/api/openapi.yaml $(wildcard appliance/api/*oapi*.yaml appliance/api/client/*oapi*.yaml) packaging/tools/go.mod
	go generate ./appliance/api/...
	@touch $@

engine:
	@CGO_ENABLED=1 packaging/engine/build.sh bin/engine

ui/node_modules/.package-lock.json: ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(CONSOLE): ui/node_modules/.package-lock.json appliance/api/openapi.yaml ui/index.html $(shell find ui/src ui/public ui/scripts -type f -not -path '*/__generated__/*' 2>/dev/null) $(wildcard ui/*.ts ui/*.json)
	cd ui && npm run --silent generate && npm run --silent build
	@touch $@

console: $(CONSOLE)

$(WELCOME): $(wildcard cmd/welcome/*.go cmd/welcome/*.html packaging/welcome/*.go packaging/welcome/build/*.go)
	go run ./packaging/welcome/build -o $@

welcome: $(WELCOME)

build: deps generate engine console welcome ## build bin/skerry and bin/engine
	go build -trimpath -tags console -ldflags '$(LDFLAGS)' -o bin/skerry ./cmd/skerry
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/engine/skerry-nodeproc ./cmd/nodeproc

docs: generate ## write the pages of docs/ that come from the code
	go test -count=1 ./cmd/skerry ./appliance/api/reference ./appliance/compose -run 'Docs|MatrixIsCurrent' -update

package: build ## build the Debian package into dist/
	@packaging/deb/build.sh bin dist

run: build ## start a one-node cloud here, with the welcome app; Ctrl-C ends it
	@packaging/run.sh

clean-run: ## remove what make run keeps
	@if curl -fs --unix-socket $${SKERRY_RUN_DIR:-/run/skerry}/skerry.sock http://skerry/healthz >/dev/null 2>&1; then echo "skerry: a node is running; end it with Ctrl-C where make run runs, then try again" >&2; exit 1; fi
	@if [ -x bin/skerry ] && [ -d .skerry ]; then bin/skerry reset --data --data-dir $(CURDIR)/.skerry/data; fi
	rm -rf .skerry

test: deps-test build test-go test-ui ## install what the tests need, run them all

test-go:
	@packaging/test.sh

test-ui:
	cd ui && npm run check

chaos: deps-test build ## try clusters at random: N runs with the built binary, SIM in virtual time, from SEED
	go test -count=1 -timeout 6h -v ./appliance/chaos -run 'TestSimulated|TestReal' -real $(or $(N),40) -sim $(or $(SIM),500) -seed $(or $(SEED),1)

archipelago: deps-test build ## three hosts, everything that can happen to them, and what clients see of it (the README's table)
	@go test -count=1 -v ./appliance/e2e -run TestArchipelago | grep -oE '\|.*\||^(---|FAIL|ok).*'

lint: generate ## check style and vet
	$(TOOL) golangci-lint config verify
	$(TOOL) golangci-lint run ./...
	go vet ./...

bench: deps build ## measure against Docker and etcd; one line name=value unit each
	@packaging/bench.sh
