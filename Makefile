# make demo and make test are the whole set-up. Needed beforehand: Python 3.11+ with venv, and make.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
SECONDS ?= 20

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

.PHONY: setup
setup: $(VENV)/.installed $(VENV)/.cdk ## Install everything, pinned, into .venv (the other targets do it by themselves)

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "device-agent needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "setting up: Python packages into $(VENV) (once, about 840 MB)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.cdk: $(VENV)/.installed localcloud/package-lock.json
	@echo "setting up: the CDK command line (once)"
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --prefix localcloud --silent --no-audit --no-fund
	@touch $@

.PHONY: demo
demo: setup ## The whole pipeline on live readings of this machine; SECONDS=0 keeps running
	@$(BIN)/python -m localcloud.demo --seconds $(SECONDS)

.PHONY: test
test: setup ## All offline tests
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: check
check: $(VENV)/.installed ## Linters and strict typing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

.PHONY: format
format: $(VENV)/.installed ## Format the code and mend what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: lock
lock: $(VENV)/.installed ## Resolve the newest allowed versions into requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade --output-file requirements.lock

.PHONY: clean
clean: ## Remove everything that was made
	@rm -rf $(VENV) .cache build dist cdk.out localcloud/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
