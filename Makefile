# Every target below works from a fresh clone: the environment is made on first use, in .venv, from
# requirements-dev.lock, and made anew when that file or pyproject.toml changes. Nothing needs root.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Tests and benchmarks start a process a second; each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.installed
PIP := $(PY) -m pip --disable-pip-version-check --no-input
# Interpreters to try, first one that runs and is new enough wins. Override: make test PYTHON=/path
PYTHON ?= python3.11 python3.12 python3.13 python3
UV := uv==0.13.9
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
  --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

COMPILED := build/compiled
# Of what is compiled, and of what runs on it.
COMPILED_TESTS := tests/proxy tests/audit tests/telemetry tests/http tests/hostile/test_floods.py \
  $(foreach one,merkle proof tiles,tests/core/log/test_$(one).py) \
  $(foreach one,gate head lease paths snapshot follower,tests/core/test_$(one).py)

.PHONY: help demo test compiled test-compiled check lint types layers format coverage simulate \
  simulate-long model late chaos evidence interop expressions fuzz fuzz-differential bench lock venv clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## peers, authority, sidecar and upstream on this machine; see the gate work (ARGS=...)
	@$(VENV)/bin/epochgate demo $(ARGS)

# They wait for sockets and clocks, and start many processes: one file per core at a time.
test: $(READY) ## run the tests (ARGS="tests/core -k lease")
	@$(PY) -m pytest $(or $(ARGS),--numprocesses auto --dist loadfile)

check: lint types layers coverage ## everything that must hold before a change is merged

lint: $(READY) ## ruff: rules and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

types: $(READY) ## mypy --strict
	@$(PY) -m mypy

layers: $(READY) ## import-linter: arrows point down only
	@$(VENV)/bin/lint-imports

format: $(READY) ## fix what ruff can fix, then format
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

compiled: $(COMPILED)/.built ## build with the hot path compiled, and its tests beside it (needs a C compiler)

test-compiled: $(COMPILED)/.built ## run the tests of the data plane against that build
	@cd $(COMPILED) && $(CURDIR)/$(PY) -m pytest $(or $(ARGS),--numprocesses auto --dist loadfile $(COMPILED_TESTS))

coverage: $(READY) ## run the tests and report the lines and branches they miss
	@rm -f .coverage .coverage.*
	@$(PY) -m coverage run -m pytest $(ARGS)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report

simulate: $(READY) ## run the protocol in simulation; SEED=n replays one seed (OPTIONS="calm liars=2")
	@$(PY) -m tests.simulation $(SEED) $(OPTIONS)

simulate-long: $(READY) ## the same, many times, on all cores (COUNT=20000 OPTIONS="peers=5")
	@$(PY) -m tests.simulation --count $(or $(COUNT),20000) --jobs 0 $(OPTIONS)

model: $(READY) ## visit every state of the protocol's models (needs spin; NAME=lease or NAME=lease/pause)
	@$(PY) -m tests.model $(NAME) $(ARGS)

late: $(READY) ## stop sidecars over and over; what becomes of late writes (ARGS="--stops 5000")
	@$(PY) -m tests.late $(ARGS)

chaos: $(READY) ## real peers, authorities and sidecars under faults; the history is checked (ARGS="--runs 1 --seed 7")
	@$(PY) -m tests.chaos $(ARGS)

evidence: $(READY) ## damage, kill and starve the audit log; what is lost or missed (ARGS="tamper --every 7")
	@$(PY) -m tests.evidence $(ARGS)

interop: $(READY) ## let foreign implementations read what the audit log wrote (needs go, builds them)
	@$(PY) -m tests.evidence interop $(ARGS)

expressions: $(READY) ## compare our expressions with CEL on random ones (COUNT=20000)
	@$(PY) -m tests.expressions $(or $(COUNT),20000)

fuzz: $(VENV)/.fuzzer ## fuzz the decoders, guided by coverage (TARGET=request SECONDS=60 KEEP=1)
	@$(PY) -m tests.fuzz --seconds $(or $(SECONDS),60) $(if $(KEEP),--keep) $(TARGET)

fuzz-differential: $(READY) ## mutated requests through the proxy, read by other servers (SECONDS=60 SEED=1)
	@$(PY) -m tests.fuzz.differential --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

bench: $(COMPILED)/.built ## run one benchmark: NAME=decide
	@$(PY) -m benchmarks $(NAME)

# Keeps the versions already pinned, unless UPGRADE=1. uv resolves for all platforms at once and is
# needed for nothing else, hence not in the lock.
lock: $(READY) ## pin the dependencies with hashes (UPGRADE=1 for the newest)
	@$(PIP) install --quiet '$(UV)'
	@$(COMPILE) pyproject.toml --output-file requirements.lock
	@$(COMPILE) pyproject.toml --extra demo --group dev --output-file requirements-dev.lock
	@$(COMPILE) --group fuzz --output-file requirements-fuzz.lock
	@grep -c '==' requirements.lock requirements-dev.lock requirements-fuzz.lock

venv: $(READY) ## make the environment and nothing else

clean: ## remove the environment, caches and build results
	@rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache \
	  .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@find sidecar -name '*.so' -delete
	@rm -f *__mypyc.*.so

# Two steps, so that an edit of pyproject.toml does not check every wheel again.
$(VENV)/.locked: requirements-dev.lock
	@for python in $(PYTHON); do \
	  if "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
	    >/dev/null 2>&1; then found="$$python"; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "make: no usable Python found (tried: $(PYTHON))." >&2; \
	  echo "Epochgate needs Python 3.11 or newer with the venv and ensurepip modules." >&2; \
	  echo "Install it (Debian, Ubuntu: python3 and python3-venv) or name one:" >&2; \
	  echo "  make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	echo "making $(VENV) with $$found ($$("$$found" -c 'import platform; print(platform.python_version())'))"; \
	"$$found" -m venv $(VENV)
	@echo "installing the packages of requirements-dev.lock, hashes checked"
	@$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.fuzzer: requirements-fuzz.lock $(READY)
	@echo "installing the packages of requirements-fuzz.lock, hashes checked"
	@$(PIP) install --quiet --require-hashes -r requirements-fuzz.lock
	@touch $@

# From a copy, because the build leaves its libraries beside the sources, where they would be taken
# for them. The wheel is unpacked, not installed: an editable install would be found first.
$(COMPILED)/.built: $(READY) $(shell find sidecar tests -name '*.py') pyproject.toml
	@echo "compiling the hot path"
	@rm -rf $(COMPILED) build/wheel build/source
	@mkdir -p build/source
	@cp -r sidecar pyproject.toml README.md LICENSE build/source
	@HATCH_BUILD_HOOK_ENABLE_MYPYC=true $(PIP) wheel --quiet --no-deps --no-build-isolation \
	  --wheel-dir build/wheel build/source
	@$(PY) -m zipfile -e build/wheel/*.whl $(COMPILED)
	@cp -r tests benchmarks policies deploy pyproject.toml README.md $(COMPILED)
	@touch $@

$(READY): $(VENV)/.locked pyproject.toml
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
