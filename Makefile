# Needs python3.11 with its venv module, and nothing else. `make` lists the targets.

PYTHON ?= python3.11
UV ?= uv
BIN := .venv/bin
STAMP := .venv/.installed
SYNAPSE := .venv-synapse

.DEFAULT_GOAL := help
.PHONY: help setup synapse demo test test-all check format bench lock clean

help:  ## list these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(STAMP)  ## install everything into .venv

# The lock is complete, so pip need not resolve (--no-deps); `pip check` proves it. What is never imported need not be
# compiled (--no-compile), which is half of the time.
$(STAMP): requirements.lock pyproject.toml
	@echo "Installing into .venv; the first time takes a minute or two."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/pip check
	@touch $@

# Servers for the tests only, in an environment of their own: their dependencies are not Watchbell's. They are
# Synapse, and SecantusDB, which speaks MongoDB's protocol and is under the GPL: nothing of Watchbell imports it.
synapse: $(SYNAPSE)/.installed  ## install the Matrix homeserver and the MongoDB server that tests start

$(SYNAPSE)/.installed: requirements-synapse.lock
	@echo "Installing Synapse and SecantusDB into $(SYNAPSE); the first time takes a minute."
	$(PYTHON) -m venv $(SYNAPSE)
	$(SYNAPSE)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes \
		-r requirements-synapse.lock
	$(SYNAPSE)/bin/pip check
	@touch $@

demo: setup  ## try Watchbell in the browser, with simulated services
	$(BIN)/watchbell demo $(ARGS)

test: setup  ## run all tests; choose with ARGS="-k escalation"
	$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

test-all: setup  ## the same with every scenario in encrypted rooms, which takes a few minutes more
	WATCHBELL_ALL=1 $(BIN)/pytest -n 2 --dist worksteal $(ARGS)

check: setup  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup  ## format, and repair what ruff can
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: setup  ## measure; benchmarks/README.md explains the figures
	$(BIN)/python -m benchmarks $(ARGS)

# Keeps the versions that still fit; ARGS=--upgrade takes the newest. No index address enters the file.
lock:  ## write the files of locked requirements anew (needs uv)
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" --quiet -o requirements.lock $(ARGS)
	printf 'matrix-synapse\nsecantusdb\n' | $(UV) pip compile - --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" --quiet \
		-o requirements-synapse.lock $(ARGS)

clean:  ## remove what make made
	rm -rf .venv $(SYNAPSE) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
