# The habits of the house. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

help:  ## list what make can do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: .venv/.dev  ## make .venv with everything that developing needs

run: .venv/.run  ## serve the embedded default: database, storage and API in one process
	$(BIN)/mooring serve

test: .venv/.dev  ## run every test, but those with Ceph (as root it first installs the Debian packages they use)
	@BIN=$(BIN) sh tests/run.sh

check: .venv/.dev  ## lint, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mooring monitoring export --check

e2e: .venv/.dev  ## real processes and storage once more, with Ceph too
	@BIN=$(BIN) sh tests/run.sh e2e

monitoring: .venv/.run  ## write deploy/monitoring anew: alert rules, scraping, dashboards
	$(BIN)/mooring monitoring export

bench: .venv/.dev  ## measure against the budgets in bench/README.md
	@BIN=$(BIN) sh bench/run.sh

bench-peers: .venv/.dev  ## measure against other projects that hand out upload URLs
	@BIN=$(BIN) sh bench/run.sh peers

bench-triggers: .venv/.dev  ## compare guide 004's four triggers on the same uploads
	$(BIN)/python bench/triggers.py --write

lock:  ## write the lock files anew from pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --group build pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -c requirements.lock --group build --group dev pyproject.toml -o requirements-dev.lock

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Mooring needs Python 3.11 or newer; say which with: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }  # a half made one would pass for whole the next time

.venv/.run: .venv/bin/python requirements.lock pyproject.toml
	$(PIP_INSTALL) -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.run requirements-dev.lock
	$(PIP_INSTALL) -r requirements-dev.lock
	@touch $@

.PHONY: help setup run test check e2e monitoring bench bench-peers bench-triggers lock
