# Everything a developer or an operator types. `make` alone lists it.
# Needed on the machine: Python 3.11 to 3.13, make, and a network for the first run.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# One recipe at a time: they share the virtual environment and the terminal.
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
INSTALL := deploy/install.py
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed

# Services start in many tests: what they import is compiled once, also where the environment forbids it.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
# All tests run side by side; some that were named run in one process, which starts sooner. The rules
# of the architecture are a matter of `make check`.
WORKERS := $(if $(ARGS),,--ignore tests/architecture -n $$(( 2 * $$(getconf _NPROCESSORS_ONLN) )) --dist loadfile --no-loadscope-reorder)
# That none of the tests that were named is of this kind is no fault.
OR_NONE := $(if $(ARGS),|| [ $$? -eq 5 ] && echo "(None of the tests that were named is of this kind.)")

# Variables given on the command line or in the environment reach the programs by themselves.

##@ Run it

.PHONY: demo
demo: $(RUNTIME) ## A whole shop day on this machine (ONCE=1 ends after it; SPEED=…, SEED=…)
	@exec $(BIN)/python -m deploy.demo

.PHONY: up
up: $(RUNTIME) ## The same without the actors (SPLIT=1, GATEWAY_PORT=…, DATABASE_URL=…, KAFKA_BOOTSTRAP_SERVERS=…)
	@exec $(BIN)/python -m deploy.local up

.PHONY: status
status: $(RUNTIME) ## What runs, where, and how much memory it takes
	@$(BIN)/python -m deploy.local status

.PHONY: down
down: $(RUNTIME) ## Stop it, from any terminal
	@$(BIN)/python -m deploy.local down

.PHONY: reset
reset: $(RUNTIME) ## Stop it and wipe everything it stored (.data)
	@$(BIN)/python -m deploy.local reset

##@ Change it

.PHONY: test
test: $(DEVELOPMENT) ## All tests of behaviour, on real Postgres and real Kafka (ARGS='-k name' for some)
	@$(PYTEST) $(WORKERS) -m "not system" --hypothesis-profile=steady $(ARGS) $(OR_NONE)

.PHONY: test-system
test-system: $(DEVELOPMENT) ## Experiments in short: kills, chaos, the demo's day, volume, searching property tests
	@$(PYTEST) -m system --hypothesis-profile=searching $(ARGS) $(OR_NONE)
	@$(PYTEST) $(WORKERS) -m "hypothesis and not system" --hypothesis-profile=searching $(ARGS) $(OR_NONE)

.PHONY: chaos
chaos: $(DEVELOPMENT) ## Every fault again and again, on servers of its own (ROUNDS=…, SEED=…, ONLY=…, AWAY=…)
	@exec $(BIN)/python -m tests.chaos

.PHONY: bench
bench: $(DEVELOPMENT) ## Every speed beside a limit or a peer (LINES='name …', QUICK=1, STRICT=1)
	@exec $(BIN)/python -m tests.bench

.PHONY: check
check: $(DEVELOPMENT) ## Format, lint, types, import laws, architecture tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

.PHONY: routes
routes: $(DEVELOPMENT) ## Write down the routes that services publish through the gateway
	for service in $(basename $(notdir $(wildcard contracts/routes/*.json))); do \
		$(BIN)/python -m services.$$service routes > contracts/routes/$$service.json || exit 1; \
	done

.PHONY: fmt
fmt: $(DEVELOPMENT) ## Put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lock
lock: $(DEVELOPMENT) ## Choose the versions of all packages anew
	$(BIN)/uv pip compile -q pyproject.toml --extra local --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command "make lock" -o deploy/requirements.lock
	$(BIN)/uv pip compile -q pyproject.toml --extra local --group dev --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command "make lock" -c deploy/requirements.lock -o deploy/requirements-dev.lock
	$(BIN)/python -m deploy.local lock-jars

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# What the targets above stand on. A stamp is older than its lock when the lock has changed.

$(RUNTIME): deploy/requirements.lock $(BIN)/python
	@$(BIN)/python $(INSTALL) packages $@ $< "Installing the packages (about 250 MB, only when they have changed) …"

$(DEVELOPMENT): deploy/requirements-dev.lock $(RUNTIME)
	@$(BIN)/python $(INSTALL) packages $@ $< "Installing the development packages …"

# A name on the path may be a stand-in that runs nothing: only one that really runs counts.
$(BIN)/python:
	@for candidate in python3.13 python3.12 python3.11 python3; do \
	  if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then \
	    found=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.11, 3.12 or 3.13 was not found. Install one of them (for example: apt install python3) and run the command again."; \
	  exit 1; \
	fi; \
	if ! $$found -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	  echo "$$found cannot make a virtual environment here. Install its venv module (Debian, Ubuntu: apt install python3-venv) and run the command again."; \
	  exit 1; \
	fi; \
	exec $$found $(INSTALL) environment $(VENV)
