.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes

.PHONY: help setup demo damage test quick lint bench lock clean

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

.venv/run: ops/sandbox/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@echo "Setting up .venv (once) …"
	@$(PYTHON) -m venv .venv || { echo "python3 -m venv failed; on Debian: apt install python3-venv"; exit 1; }
	@$(PIP) -r ops/sandbox/requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q ops
	@touch $@

.venv/dev: .venv/run requirements-dev.lock
	@echo "Installing what the tests need (once) …"
	@$(PIP) -r requirements-dev.lock
	@touch $@

setup: .venv/run  ## Install into .venv what the deploys and the sandbox need

demo: .venv/run  ## Three releases, the last one broken with a breaking migration; and back, with the database
	@$(BIN)/python -m ops.sandbox.demo rollback

damage: .venv/run  ## Take a backup, prove it, damage it, see that the damage is found
	@$(BIN)/python -m ops.sandbox.demo damage

test: .venv/dev  ## Run all tests
	@$(BIN)/python -m pytest -n 5 --dist worksteal

quick: .venv/dev  ## Run the tests without those that take long
	@$(BIN)/python -m pytest -n 5 --dist worksteal -m "not slow"

lint: .venv/dev  ## Check style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: .venv/dev  ## Measure against pg_dump, pg_restore and the runbooks' shell line; every step at 1.3 GB, a refresh as well; 200 checks
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.steps
	@$(BIN)/python -m bench.checks
	@$(BIN)/python -m bench.refresh

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

lock: .venv/dev  ## Write the lock files anew from pyproject.toml
	@$(LOCK) pyproject.toml --group build -o requirements.lock
	@$(LOCK) pyproject.toml --extra sandbox --group build -c requirements.lock -o ops/sandbox/requirements.lock
	@$(LOCK) pyproject.toml --extra sandbox --group build --group dev -c requirements.lock -o requirements-dev.lock
	@$(LOCK) --group runner -c requirements.lock -o ops/worker/requirements.lock

clean:  ## Remove .venv and .sandbox
	@[ ! -d .sandbox ] || [ ! -x $(BIN)/python ] || $(BIN)/python -m ops.sandbox down
	@rm -rf .venv .sandbox
