# Two commands do all the set-up: `make run` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
# Tests wait more than they compute: workers may be more than cores. A file's tests stay together and in their order.
WORKERS ?= 3
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
MEMBERS := $(shell sed -n '/^members = \[/,/^\]/s/^ *"\(.*\)",$$/\1/p' pyproject.toml)
# Members stay out of the locks: their entries would hold paths of one machine.
NO_EMIT := $(foreach m,$(MEMBERS),--no-emit-package hive-$(notdir $(m)))
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
RESOLVE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $(NO_EMIT)
COMPILE := $(RESOLVE) --group build
# What an image holds: a service with what it needs in a cluster, and further extras of it after a dash.
IMAGES := edge routing routing-local console billing guardrails analytics embedded
lock_image = $(RESOLVE) -c requirements/dev.lock $(patsubst %,--extra %,cluster $(wordlist 2,9,$(1))) services/$(firstword $(1))/pyproject.toml -o $(2)

.PHONY: help run test check protos docs bench lock format clean isolated images lock-images lock-frameworks lock-longtail chaos test-cluster bench-cluster bench-scale simulate bench-peers lock-peers

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/run.stamp: requirements/run.lock pyproject.toml $(addsuffix /pyproject.toml,$(MEMBERS))
	@echo "Setting up .venv from requirements/run.lock (hash-checked; about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements/run.lock
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) install --no-deps --no-build-isolation $(foreach m,$(MEMBERS),-e ./$(m))
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements/dev.lock
	@echo "Adding the development tools from requirements/dev.lock"
	@$(PIP) install --require-hashes --no-deps --only-binary :all: -r requirements/dev.lock
	@touch $@

.venv/frameworks.stamp: .venv/dev.stamp tests/frameworks/requirements.lock
	@echo "Making .venv/frameworks from tests/frameworks/requirements.lock: what the tests of frameworks run in"
	@$(BIN)/uv venv -q --allow-existing -p $(BIN)/python .venv/frameworks
	@$(BIN)/uv pip install -q -p .venv/frameworks/bin/python --require-hashes --no-deps --only-binary :all: --compile-bytecode -r tests/frameworks/requirements.lock
	@touch $@

.venv/longtail.stamp: .venv/dev.stamp tests/longtail/requirements.lock
	@echo "Making .venv/longtail from tests/longtail/requirements.lock: what the test of the extra longtail runs in"
	@$(BIN)/uv venv -q --allow-existing -p $(BIN)/python .venv/longtail
	@$(BIN)/uv pip install -q -p .venv/longtail/bin/python --require-hashes --no-deps --only-binary :all: --compile-bytecode -r tests/longtail/requirements.lock
	@touch $@

tests/node/node_modules/.stamp: tests/node/package-lock.json
	@cd tests/node && npm ci --silent --no-audit --no-fund && touch node_modules/.stamp

.venv/peers/litellm.stamp: .venv/dev.stamp benchmarks/peers/requirements.lock
	@echo "Making .venv/peers/litellm from benchmarks/peers/requirements.lock: a peer to compare with"
	@$(BIN)/uv venv -q --allow-existing -p $(BIN)/python .venv/peers/litellm
	@$(BIN)/uv pip install -q -p .venv/peers/litellm/bin/python --require-hashes --no-deps --only-binary :all: --compile-bytecode -r benchmarks/peers/requirements.lock
	@touch $@

benchmarks/peers/node_modules/.stamp: benchmarks/peers/package-lock.json
	@cd benchmarks/peers && npm ci --silent --ignore-scripts --no-audit --no-fund && touch node_modules/.stamp

.venv/peers/bifrost.stamp: .venv/dev.stamp $(wildcard benchmarks/peers/bifrost_door/*)
	@$(BIN)/python -m benchmarks.peers --build
	@touch $@

run: .venv/run.stamp ## set up what is missing and serve on http://127.0.0.1:8080
	@exec $(BIN)/modelhive serve

test: .venv/dev.stamp .venv/frameworks.stamp .venv/longtail.stamp tests/node/node_modules/.stamp ## the whole suite, set-up included
	$(BIN)/python -m pytest $(PARALLEL)

test-cluster: .venv/dev.stamp tests/node/node_modules/.stamp ## the scenarios against a cluster on real Kafka, PostgreSQL and Redis
	$(BIN)/python -m pytest tests/integration --cluster

check: .venv/dev.stamp ## format, lint, types, import contracts, protos, freshness of generated files, counts per request
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/protos.py --check
	$(BIN)/python scripts/docs.py --check
	$(BIN)/python -m benchmarks.counts

format: .venv/dev.stamp ## rewrite the code as `make check` wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: .venv/dev.stamp ## lint the protos and generate libs/contracts from them
	$(BIN)/python scripts/protos.py

bench: .venv/dev.stamp ## measure this gateway beside the budget it has to keep
	$(BIN)/python -m benchmarks.run

chaos: .venv/dev.stamp ## five minutes of traffic while a cluster is broken again and again (ARGS="--seed 7")
	$(BIN)/python -m hive_testing.chaos $(ARGS)

bench-cluster: .venv/dev.stamp ## the same figures through Kafka and gRPC
	$(BIN)/python -m benchmarks.cluster

bench-peers: .venv/dev.stamp .venv/peers/litellm.stamp benchmarks/peers/node_modules/.stamp .venv/peers/bifrost.stamp ## beside LiteLLM, Portkey and Bifrost, about an hour (ARGS="--quick", ARGS="--resume")
	$(BIN)/python -m benchmarks.peers $(ARGS)

bench-scale: .venv/dev.stamp ## how cost grows with streams, keys, tenants, models, prompts, partitions (ARGS="--curve keys")
	$(BIN)/python -m benchmarks.scale $(ARGS)

simulate: .venv/dev.stamp ## a model of a thousand nodes: what breaks first, and what they need
	$(BIN)/python -m benchmarks.simulate $(ARGS)

isolated: .venv/dev.stamp ## install each service alone from its own lock, and start it
	$(BIN)/python -m pytest tests/isolated --install -s

images: ## build the container images (needs Docker)
	$(foreach image,$(IMAGES),docker build -f deploy/Dockerfile -t modelhive/$(image) --build-arg SERVICE=$(word 1,$(subst -, ,$(image))) --build-arg EXTRAS=$(word 2,$(subst -, ,$(image))) . &&) true

docs: .venv/dev.stamp ## generate the reference pages in docs/
	$(BIN)/python scripts/docs.py

lock: .venv/dev.stamp ## resolve the dependencies again (hashes, no addresses)
	$(COMPILE) pyproject.toml -o requirements/run.lock
	$(COMPILE) --group dev -c requirements/run.lock pyproject.toml -o requirements/dev.lock
	$(MAKE) lock-images lock-frameworks lock-longtail lock-peers

lock-frameworks: .venv/dev.stamp # they want versions that our own tree cannot have
	$(RESOLVE) tests/frameworks/requirements.in -o tests/frameworks/requirements.lock

lock-longtail: .venv/dev.stamp # beside what the gateway runs with, and without our tools
	$(RESOLVE) -c requirements/run.lock tests/longtail/requirements.in -o tests/longtail/requirements.lock

lock-peers: .venv/dev.stamp
	$(RESOLVE) benchmarks/peers/requirements.in -o benchmarks/peers/requirements.lock
	cd benchmarks/peers && npm install --package-lock-only --ignore-scripts --silent

lock-images: .venv/dev.stamp # at the versions that the tests run with
	$(foreach image,$(IMAGES),$(call lock_image,$(subst -, ,$(image)),requirements/$(image).lock) &&) true

clean: ## remove the virtual environment and the data folder
	rm -rf .venv .modelhive tests/node/node_modules benchmarks/peers/node_modules
