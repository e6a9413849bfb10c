# Two commands matter: `make run` and `make test`. Both find a Python, make .venv and install what the lock names.
# Works with GNU make 3.81 and a POSIX shell. Settings: PYTHON=/path/to/python  VENV=.venv  ARGS="..."

VENV ?= .venv
PYTHON ?=
ARGS ?=
BIN = $(VENV)/bin
LOCK_FLAGS = --universal --generate-hashes --no-annotate --no-header --python-version 3.12 --python $(BIN)/python -q $(if $(UPGRADE),--upgrade)
export VENV PYTHON

.DEFAULT_GOAL := help
# Two targets must not install into the same environment at once.
.NOTPARALLEL:
.PHONY: help run test lint format bench docs ui lock licences clean product dev

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: product ## a simulated district, the platform and its control room (ARGS go to `gridloom run`)
	@$(BIN)/python tools/build_ui.py --lenient
	@$(BIN)/gridloom run $(ARGS)

test: dev ui ## every test, on two processes, a module at a time (ARGS go to pytest)
	@$(BIN)/python -m pytest -n 2 --dist loadscope $(ARGS)

lint: dev ## format, lint, arrows between packages, types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

format: dev ## rewrite the sources in the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet . || true

bench: dev ## every figure that the README states (ARGS=--smoke for a short run)
	@$(BIN)/python tools/run_benchmarks.py $(ARGS)

docs: dev ## the documentation, into site/
	@$(BIN)/python tools/reference_pages.py
	@$(BIN)/zensical build --clean --strict

ui: product ## build the front end, when its sources changed
	@$(BIN)/python tools/build_ui.py

licences: dev ## the licence of everything that the locks name
	@$(BIN)/python tools/licence_gate.py requirements.lock requirements-dev.lock $(wildcard web/package-lock.json)

lock: ## write the lock files anew from pyproject.toml (UPGRADE=1 takes newer versions)
	@UV=`sh tools/bootstrap.sh uv` && \
	$$UV pip compile $(LOCK_FLAGS) --group build -o requirements.lock pyproject.toml && \
	$$UV pip compile $(LOCK_FLAGS) --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml && \
	$$UV pip compile $(LOCK_FLAGS) --group web -o requirements-web.lock

clean: ## remove what was built (the environment and downloads too)
	rm -rf $(VENV) build dist site web/node_modules src/gridloom/control_room/static
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

dev: ## the environment with everything for tests, lint and docs
	@sh tools/bootstrap.sh dev

product:
	@sh tools/bootstrap.sh product
