# make demo and make test are the whole set-up. Needed beforehand: Python 3.11+ with venv, and make.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
SECONDS ?= 20
# Tests wait more than they compute: one more than there are processors. WORKERS=0 for the debugger, or a few tests.
WORKERS ?= $(shell echo $$(($$(nproc) + 1)))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

.PHONY: setup
setup: $(VENV)/.installed $(VENV)/.cdk $(VENV)/.drain ## Install everything, pinned, into .venv (the other targets do it by themselves)

$(VENV)/.installed: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "there is no '$(PYTHON)' here. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "device-agent needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "setting up: Python packages into $(VENV) (once, about 920 MB)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { echo "no virtual environment could be made; on Debian and Ubuntu: apt install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.cdk: $(VENV)/.installed localcloud/package-lock.json
	@echo "setting up: the CDK command line (once)"
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --prefix localcloud --loglevel=error --no-audit --no-fund --no-update-notifier >/dev/null  # errors still show
	@touch $@

# The intake's inner loop in C; goes on without a compiler, and says so. Zig from PyPI stands in for a missing one.
$(VENV)/.drain: $(VENV)/.installed device_agent/intake/native/drain.c tools/drain.py
	@for name in $${CC:-cc} cc gcc clang; do command -v $${name%% *} >/dev/null && exit 0; done; \
	echo "setting up: no C compiler here, so zig from PyPI (once, about 90 MB)"; \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements-zig.lock || true
	@$(BIN)/python -m tools.drain
	@touch $@

.PHONY: demo
demo: setup ## The whole pipeline on live readings of this machine; SECONDS=0 keeps running
	@$(BIN)/python -m localcloud.demo --seconds $(SECONDS)

.PHONY: pattern
pattern: setup ## A messaging pattern from the programs to the lake: NAME=survey; without a name, the list of them
	@$(BIN)/python -m localcloud.pattern $(NAME)

.PHONY: test test-repeat
test: setup ## All offline tests
	@$(PYTEST) $(ARGS)
test-repeat: setup ## The same N=10 times in a row; ends at the first failure
	@for turn in $$(seq $(or $(N),10)); do \
		echo "turn $$turn of $(or $(N),10), at $$(date +%H:%M:%S)"; $(PYTEST) -q $(ARGS) || exit 1; \
	done; echo "$(or $(N),10) turns, no failure"

# The versions that Debian 12 packages, which is what 32-bit ARM boards run.
$(VENV)/oldest/.installed: requirements-oldest.lock $(VENV)/.installed
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/oldest
	@$(BIN)/uv pip install --quiet --python $(VENV)/oldest/bin/python --require-hashes --requirement requirements-oldest.lock
	@touch $@

.PHONY: test-oldest
test-oldest: $(VENV)/oldest/.installed $(VENV)/.drain ## The device's tests on the versions that Debian 12 packages
	@$(VENV)/oldest/bin/python -m pytest -p no:cacheprovider tests/agent tests/config tests/wire tests/intake tests/spool tests/uplink tests/contract tests/faults $(ARGS)

.PHONY: bench bench-quick
bench: $(VENV)/.installed $(VENV)/.drain ## Every promised figure, measured here; some minutes, wants an idle machine
	@$(BIN)/python -m bench $(ARGS)
bench-quick: $(VENV)/.installed $(VENV)/.drain ## The same in about two minutes, coarser
	@$(BIN)/python -m bench --quick $(ARGS)

.PHONY: torture torture-sources soak fuzz
torture: $(VENV)/.installed $(VENV)/.drain ## A thousand kills at full rate
	@$(BIN)/python -m tests.lab.torture $(ARGS)
torture-sources: $(VENV)/.installed $(VENV)/.drain ## Kills of agent and brokers for every kind of input, and 100,000 messages through each broker; needs root
	@$(BIN)/python -m tests.lab.sourcekills $(ARGS)
soak: $(VENV)/.installed $(VENV)/.drain ## Load with outages for MINUTES=30: memory, threads, files and disk stay flat
	@$(BIN)/python -m tests.lab.soak --minutes $(or $(MINUTES),30) $(ARGS)
fuzz: $(VENV)/.installed $(VENV)/.drain ## Look for what breaks: rubbish for everything that reads, then random examples for the property tests
	@$(BIN)/python -m tests.lab.fuzz $(or $(ARGS),all --seconds 300)
	@$(if $(ARGS),,$(BIN)/python -m pytest -q -m hypothesis --hypothesis-profile=search)

.PHONY: check
check: $(VENV)/.installed ## Linters and strict typing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

.PHONY: format
format: $(VENV)/.installed ## Format the code and mend what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# Zig compiles for other processors; its version decides the bytes, so it is pinned with its digests.
$(VENV)/.zig: $(VENV)/.installed requirements-zig.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements-zig.lock
	@touch $@

.PHONY: wheels
wheels: $(VENV)/.zig ## Build the wheels for boards into dist/: x86-64, 64-bit and 32-bit ARM, and one for any machine
	@$(BIN)/python -m tools.wheels

.PHONY: test-wheel
test-wheel: $(VENV)/.zig ## The wheel of this processor: built twice, installed by itself, and tested
	@$(BIN)/python -m tests.lab.wheel

.PHONY: test-arm
test-arm: $(VENV)/.zig ## The intake's loop in C on emulated ARM, 32 and 64 bits (needs qemu-user)
	@$(BIN)/python -m tests.lab.arm

.PHONY: reference
reference: $(VENV)/.installed ## Write docs/reference and packaging/agent.toml anew from the code
	@$(BIN)/python -m device_agent.cli.reference

.PHONY: lock
lock: $(VENV)/.installed ## Resolve the newest allowed versions into requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade --output-file requirements.lock
	@$(BIN)/uv pip compile requirements-oldest.in --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade --output-file requirements-oldest.lock
	@$(BIN)/uv pip compile requirements-zig.in --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade --output-file requirements-zig.lock

.PHONY: clean
clean: ## Remove everything that was made
	@rm -rf $(VENV) device_agent/intake/native/drain.so .cache build dist cdk.out localcloud/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
