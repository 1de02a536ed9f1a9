# make without a target says what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
GO ?= go
DURATION ?= 0
DATA_DIR ?= spillway-data
T ?= 10m
FROM ?= HEAD
VERSION ?= 0.0.0-dev
UNIT := ./wal/... ./tee/... ./forward/... ./agent/... ./tail/... ./schema/... ./cmd/... ./deploy/...

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

.PHONY: build
build: ## bin/spillway (static) and bin/spillway-engine
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/spillway ./cmd/spillway
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/spillway-engine ./cmd/spillway-engine

.PHONY: packages
packages: ## a deb and an rpm in dist/; VERSION=1.2.3
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o dist/spillway ./cmd/spillway
	@GO="$(GO)" deploy/packages/build.sh dist/spillway $(VERSION) dist

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
	$(GO) test -timeout 20m -count=1 -parallel 3 ./e2e/...
	$(GO) -C e2e/manifests test -timeout 5m -count=1 .

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
	$(GO) test -run '^$$' -bench . -benchmem ./wal ./forward/otlp ./forward/loki ./forward/clickhouse ./schema ./tail ./agent ./agent/lines

.PHONY: otelcol
otelcol: ## build the OpenTelemetry Collector that ours is compared with (once, 4 minutes of processor time)
	@GO="$(GO)" e2e/otelcol/build.sh >/dev/null

.PHONY: compare
compare: engine ## measure ours against it; ARGS="-only logs", ARGS=-tail, ARGS="-disk -rows 1000000", ARGS=-h
	$(GO) run ./e2e/compare $(ARGS)

.PHONY: torture
torture: engine ## kill -9, full disks and bad networks for T=10m: nothing may be lost or there twice; SEED=n repeats a schedule
	$(GO) run ./e2e/torture -t $(T) $(if $(SEED),-seed $(SEED)) $(ARGS)

.PHONY: soak-tail
soak-tail: deps ## rotations of every kind and kill -9 for T=10m: every line of a file is there, once; SEED=n repeats a schedule
	$(GO) test ./e2e -run '^TestSoakOfTailing$$' -count=1 -v -timeout 0 -soak $(T) $(if $(SEED),-seed $(SEED))

.PHONY: upgrade
upgrade: engine ## builds of 2076144 and of FROM give way to this tree under load, and it to FROM's again
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	for commit in 2076144 $(FROM); do \
		mkdir "$$dir/$$commit"; git archive $$commit | tar -x -C "$$dir/$$commit"; \
		CGO_ENABLED=0 $(GO) -C "$$dir/$$commit" build -o "$$dir/spillway-$$commit" ./cmd/spillway; \
	done; \
	$(GO) test -tags upgrade ./e2e -count=1 -v -run 'TestUp.*UnderLoad' -skip Down -earlier "$$dir/spillway-2076144"; \
	$(GO) test -tags upgrade ./e2e -count=1 -v -run 'TestUp.*UnderLoad' -earlier "$$dir/spillway-$(FROM)"

.PHONY: kubernetes
kubernetes: ## build Kubernetes' API server (once, 9 minutes of processor time), and have it judge deploy/kubernetes
	dir=$$(GO="$(GO)" e2e/kubeapiserver/build.sh) && $(GO) -C e2e/manifests test -tags apiserver -count=1 -v -run APIServer . -apiserver "$$dir"

.PHONY: corpus
corpus: ## run the loggers that agent/lines is tested with again; golden comes after it
	@GO="$(GO)" agent/lines/testdata/corpus/generate.sh

.PHONY: golden
golden: ## write the golden files, the dashboards and docs/configuration.md again
	$(GO) test ./schema ./agent/lines ./deploy/grafana ./cmd/spillway -update

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
