# make without a target says what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
GO ?= go
DURATION ?= 0
DATA_DIR ?= spillway-data
T ?= 10m
UNIT := ./wal/... ./forward/... ./agent/... ./tail/... ./schema/... ./cmd/...

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

.PHONY: build
build: ## bin/spillway (static) and bin/spillway-engine
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/spillway ./cmd/spillway
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/spillway-engine ./cmd/spillway-engine

.PHONY: engine
engine: ## fetch the embedded ClickHouse engine (once, 178 MB)
	@deploy/engine/fetch.sh >/dev/null

.PHONY: run
run: build engine ## see it work; DURATION=30s ends by itself
	bin/spillway demo --data-dir $(DATA_DIR) --duration $(DURATION)

.PHONY: deps
deps: engine otelcol ## what the tests need beyond Go and npm
	@deploy/testdeps.sh

.PHONY: test
test: deps build ## everything, against a real engine
	$(GO) test -timeout 15m $(UNIT)
	$(GO) test -timeout 15m -count=1 ./e2e/...

.PHONY: race
race: engine ## the race detector over the unit packages
	$(GO) test -race -timeout 20m $(UNIT)

.PHONY: lint
lint: ## vet, formatting, staticcheck
	$(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) tool staticcheck ./...

.PHONY: bench
bench: ## benchmarks of the hot path
	$(GO) test -run '^$$' -bench . -benchmem ./wal ./forward/otlp ./forward/loki ./forward/clickhouse ./schema ./tail ./agent/lines

.PHONY: otelcol
otelcol: ## build the OpenTelemetry Collector that ours is compared with (once, 4 minutes of processor time)
	@GO="$(GO)" e2e/otelcol/build.sh >/dev/null

.PHONY: compare
compare: engine ## measure ours against it; ARGS="-only logs", ARGS="-disk -rows 1000000", ARGS=-h
	$(GO) run ./e2e/compare $(ARGS)

.PHONY: torture
torture: engine ## kill -9, full disks and bad networks for T=10m: nothing may be lost or there twice; SEED=n repeats a schedule
	$(GO) run ./e2e/torture -t $(T) $(if $(SEED),-seed $(SEED)) $(ARGS)

.PHONY: golden
golden: ## write the golden files again
	$(GO) test ./schema ./agent/lines -update

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
