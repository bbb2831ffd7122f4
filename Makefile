# Every target does its own set-up: it makes .venv, installs what the lock files name, checked by hash, and remembers that by
# a stamp whose name holds the digest of those files. Needed on the machine: Python 3.11 or newer, pip, make.
#
#   make PYTHON=/path/to/python3.12 …   uses another Python
#   UV_DEFAULT_INDEX, PIP_INDEX_URL     a package mirror of yours (uv reads the first, pip the second)

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

PY := .venv/bin/python
UV := .venv/bin/uv
REQ := requirements
INSTALL = $(UV) pip install --quiet --require-hashes --no-build

# The folder is a part of the key: an environment doesn't survive being moved.
key = $(firstword $(shell { echo "$(CURDIR)"; cat $(1); } 2>/dev/null | cksum))
READY := .venv/.ollm-uv-$(call key,$(REQ)/uv.txt)
RUNTIME := .venv/.ollm-runtime-$(call key,$(REQ)/uv.txt $(REQ)/runtime.txt $(REQ)/build.txt pyproject.toml)
DEV := .venv/.ollm-dev-$(call key,$(REQ)/uv.txt $(REQ)/dev.txt)
FUZZ := .venv/.ollm-fuzz-$(call key,$(REQ)/uv.txt $(REQ)/fuzz.txt)
NODE := tests/js/node_modules/.ollm-$(call key,tests/js/package-lock.json $(REQ)/node.txt)
BENCH := .venv-bench/.ollm-$(call key,$(REQ)/uv.txt $(REQ)/bench.txt)
BENCH_OLLM := .venv-bench-ollm/.ollm-$(call key,$(REQ)/uv.txt $(REQ)/runtime.txt $(REQ)/build.txt pyproject.toml)
CONFORMANCE := .venv-conformance/.ollm-$(call key,$(REQ)/uv.txt $(REQ)/conformance.txt $(REQ)/dev.txt tests/conformance/package-lock.json)
TUTORIAL := .venv-tutorial/.ollm-$(call key,$(REQ)/uv.txt $(REQ)/tutorial.txt)

.PHONY: help setup demo test test-fast test-full test-slow servers coverage check fmt lock bench bench-gate bench-slow soak bench-attest bench-ledger bench-controls fuzz mutants engine tutorial
.PHONY: detectors evidence captures conformance conformance-tools docs test-exhaustive
.PHONY: check-format check-lint check-types check-imports check-sizes check-tests check-text check-docs

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(DEV) $(NODE)  ## the environment for developing, without doing anything with it

demo: $(DEV)  ## a verified chat, end to end, printed step by step; no account, no hardware
	@$(PY) -m ollm demo

test: $(DEV) $(NODE)  ## all tests but the slow ones (Python, SQLite, node)
	$(PY) -m pytest -m "not slow and not exhaustive"

SERVERS := $(addprefix --ignore tests/,gateway net serving sim system)

test-fast: $(DEV)  ## in well under a minute: all that needs no server, with fewer made-up examples
	OLLM_EXAMPLES=quick $(PY) -m pytest -q -m "not slow and not exhaustive and not process" $(SERVERS)

test-full: test test-slow  ## everything: the tests of make test, then the slow ones

# The tests start these servers for themselves; Debian's start-up is told not to.
servers:  ## PostgreSQL and a counter server (Valkey or Redis) for the slow tests: root gets Debian's, others are told
	@missing=""; \
	command -v valkey-server >/dev/null || command -v redis-server >/dev/null || missing="redis-server"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="$$missing postgresql"; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing $$missing"; \
		apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
		echo "not installed: $$missing. The tests that need them are skipped (Debian: apt-get install $$missing)" >&2; \
	fi

test-slow: $(DEV) $(NODE) servers  ## the slow tests alone
	$(PY) -m pytest -m slow

test-exhaustive: $(DEV)  ## every byte of signed evidence changed three ways, 50,000 damaged inputs for each parser: half an hour
	$(PY) -m pytest -m exhaustive --timeout 1800

coverage: $(DEV) $(NODE)  ## branch coverage; fails where a pure package is not covered whole
	$(PY) -m coverage run -m pytest -m "not slow and not exhaustive" -q
	$(PY) -m tools.check_coverage

check: check-format check-lint check-types check-imports check-sizes check-tests check-text check-docs  ## everything that needs no run of the code; make -k check goes on after a failure

check-format: $(DEV)
	$(PY) -m ruff format --check . >/dev/null 2>&1 || { $(PY) -m ruff format --check . 2>&1 | grep -E "^ *-->|would be"; exit 1; }

check-lint: $(DEV)
	$(PY) -m ruff check --output-format concise .

check-types: $(DEV)
	$(PY) -m mypy

check-imports: $(DEV)
	$(PY) -c 'from importlinter.cli import lint_imports_command as lint; lint(prog_name="lint-imports")' --no-logo

check-sizes check-tests check-text check-docs: $(DEV)
	$(PY) -m tools.$(subst -,_,$@)

fmt: $(DEV)  ## format and mend what ruff can mend
	$(PY) -m ruff check --fix --quiet . || true
	$(PY) -m ruff format .

bench: $(BENCH) $(BENCH_OLLM)  ## speed beside Envoy and LiteLLM, and what is added to each token, in one run each
	.venv-bench-ollm/bin/python -m bench.run
	.venv-bench-ollm/bin/python -m bench.latency

bench-controls: $(BENCH) $(BENCH_OLLM)  ## what limits, budgets and rules cost, in microseconds of a request
	.venv-bench-ollm/bin/python -m bench.controls

bench-gate: $(BENCH) $(BENCH_OLLM)  ## the same five times, interleaved; ends 0 only where the ratios hold
	.venv-bench-ollm/bin/python -m bench.gate

bench-slow: $(BENCH_OLLM)  ## a healthy client beside 2,000 slow connections of each kind; ends 0 only where its p99 less than doubles
	.venv-bench-ollm/bin/python -m bench.slow

soak: $(BENCH_OLLM)  ## half an hour of streams, a fifth of them left; ends 0 only where memory stays flat; MINUTES=3 for less
	.venv-bench-ollm/bin/python -m bench.soak $(if $(MINUTES),--minutes $(MINUTES))

bench-ledger: $(DEV) servers  ## requests, reports and retention at 10,000,000 rows, on SQLite and PostgreSQL; LEDGER="--rows 100000 --store sqlite" for less
	$(PY) -m bench.ledger $(LEDGER)

bench-attest: $(DEV)  ## how long each kind of evidence takes to verify, beside the bare cryptography in it
	$(PY) -m bench.attest

FUZZ_RUNS ?= 5000
fuzz: $(DEV) $(FUZZ)  ## parsers and appraisal against made-up and damaged input, other input each time; FUZZ_RUNS=1000000 for more
	FUZZ_RUNS=$(FUZZ_RUNS) $(PY) -m fuzz.guided
	OLLM_EXAMPLES=fuzz $(PY) -m pytest -q --timeout=0 tests/attest tests/seal tests/wire tests/receipts tests/values tests/traffic

mutants: $(DEV)  ## small defects put into attest/ on purpose: the tests must catch 85 %
	$(PY) -m tools.mutants

evidence: $(DEV)  ## every recorded case of real evidence gets its verdict (OLLM_EVIDENCE_DIR names their folder); WRITE=1 writes the page
	@$(PY) -m tools.evidence $(if $(WRITE),--write)

captures: $(DEV)  ## every recorded verification of a live provider ends as docs/providers/ says, and changed it is refused (OLLM_EVIDENCE_DIR has captures/)
	@$(PY) -m tools.captures

conformance-tools: $(DEV) $(CONFORMANCE)

# The document is the one that llm-comply brings; OPENAI_OPENAPI names another.
conformance: conformance-tools  ## suites that others wrote, against a real gateway: llm-comply, openai-python's own tests
	@$(PY) -m tools.conformance --source "$$(echo .venv-conformance/openai-*/)" --steady tests/conformance/node_modules/.bin/steady \
		--python .venv-conformance/bin/python --document "$$(echo .venv-conformance/lib/python3*/site-packages/llm_comply/specs/openai_chat.json)"

detectors: $(DEV)  ## precision and recall of what finds cards, accounts, numbers of persons and secrets in texts, on made-up ones
	@$(PY) -m tools.detectors

docs: $(DEV)  ## write the pages that are made from the source
	$(PY) -m tools.checks_page
	$(PY) -m tools.dialects_page
	$(PY) -m tools.errors_page
	$(PY) -m tools.endpoints_page
	$(PY) -m tools.admin_page

engine: $(TUTORIAL)  ## llama.cpp with a small real model on 127.0.0.1:8080, until Ctrl-C; for docs/tutorial/real-model.md
	@.venv-tutorial/bin/python tools/engine.py

tutorial: $(DEV) $(TUTORIAL)  ## all of docs/tutorial/real-model.md at once; ends 0 when real tokens came through
	@$(PY) -m tools.tutorial

LOCK = $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command "make lock" $(UPGRADE)

lock: $(READY)  ## resolve requirements/*.txt anew where an input changed; UPGRADE=--upgrade takes newer versions
	$(LOCK) -o $(REQ)/uv.txt $(REQ)/uv.in
	$(LOCK) -o $(REQ)/build.txt $(REQ)/build.in
	$(LOCK) -o $(REQ)/runtime.txt pyproject.toml
	$(LOCK) --all-extras -o $(REQ)/dev.txt -c $(REQ)/runtime.txt -c $(REQ)/build.txt pyproject.toml $(REQ)/dev.in
	$(LOCK) -o $(REQ)/fuzz.txt -c $(REQ)/dev.txt $(REQ)/fuzz.in
	$(LOCK) -o $(REQ)/node.txt $(REQ)/node.in
	$(LOCK) -o $(REQ)/bench.txt $(REQ)/bench.in
	$(LOCK) -o $(REQ)/conformance.txt -c $(REQ)/dev.txt $(REQ)/conformance.in
	$(LOCK) -o $(REQ)/tutorial.txt $(REQ)/tutorial.in

# Environments. `venv --without-pip` and `pip --python` do without ensurepip, which Debian packs apart.

$(READY):
	@test -n "$(PYTHON)" || { echo "OLLM needs Python 3.11 or newer on the PATH (or make PYTHON=…)" >&2; exit 1; }
	@echo "making .venv with $(PYTHON)"
	@$(PYTHON) -m venv --without-pip .venv
	@$(PYTHON) -m pip --python $(PY) install --quiet --disable-pip-version-check --require-hashes --requirement $(REQ)/uv.txt
	@rm -f .venv/.ollm-uv-* && touch $@

$(RUNTIME): | $(READY)
	@echo "installing what OLLM needs"
	@$(INSTALL) --python $(PY) --requirement $(REQ)/runtime.txt --requirement $(REQ)/build.txt
	@$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@rm -f .venv/.ollm-runtime-* && touch $@

$(DEV): | $(RUNTIME)
	@echo "installing what its checks and tests need"
	@$(INSTALL) --python $(PY) --requirement $(REQ)/dev.txt
	@rm -f .venv/.ollm-dev-* && touch $@

$(FUZZ): | $(DEV)
	@$(INSTALL) --python $(PY) --requirement $(REQ)/fuzz.txt
	@rm -f .venv/.ollm-fuzz-* && touch $@

# The tests find node in .venv first, then on the PATH.
$(NODE): | $(RUNTIME)
	@PATH="$(CURDIR)/.venv/bin:$$PATH"; export PATH; \
	if ! { command -v npm && node -e 'process.exit(parseInt(process.versions.node) < 22 ? 1 : 0)'; } >/dev/null 2>&1; then \
		echo "installing node"; $(INSTALL) --python $(PY) --requirement $(REQ)/node.txt || exit 1; \
	fi; \
	echo "installing the npm packages of tests/js"; \
	cd tests/js && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null
	@rm -f tests/js/node_modules/.ollm-* && touch $@

.venv-conformance/bin/python: | $(READY)
	@$(UV) venv --quiet --clear --python $(PY) $(@D:/bin=)

# openai's tests are in its source distribution alone, and reading that takes the builder that it names.
$(CONFORMANCE): | .venv-conformance/bin/python $(NODE)
	@echo "installing the suites of others"
	@$(INSTALL) --python .venv-conformance/bin/python --requirement $(REQ)/conformance.txt
	@rm -rf .venv-conformance/openai-* .venv-conformance/sdist && mkdir .venv-conformance/sdist
	@awk '/^[a-z]/ {ours = /^openai==/} ours && !/#/' $(REQ)/dev.txt >.venv-conformance/sdist/openai.txt
	@$(PYTHON) -m pip --python .venv-conformance/bin/python download --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--no-binary :all: --require-hashes --requirement .venv-conformance/sdist/openai.txt --dest .venv-conformance/sdist
	@tar -xzf .venv-conformance/sdist/openai-*.tar.gz -C .venv-conformance
	@PATH="$(CURDIR)/.venv/bin:$$PATH"; export PATH; \
	cd tests/conformance && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null
	@rm -f .venv-conformance/.ollm-* && touch $@

.venv-tutorial/bin/python: | $(READY)
	@$(UV) venv --quiet --clear --python $(PY) $(@D:/bin=)

# OLLM and LiteLLM both run on the fastest Python at hand: builds differ by a quarter. BENCH_PYTHON=… names one more for OLLM.
.venv-bench-ollm/bin/python: MORE = $(BENCH_PYTHON)
.venv-bench/bin/python .venv-bench-ollm/bin/python: | $(READY)
	@$(UV) venv --quiet --clear --python "$$($(PY) tools/fastest_python.py $(MORE) $(PY) $(PYTHON) /usr/bin/python3)" $(@D:/bin=)

$(BENCH_OLLM): | .venv-bench-ollm/bin/python
	@echo "installing OLLM for the bench, on $$(.venv-bench-ollm/bin/python -c 'import sys; print(sys.base_prefix, sys.version.split()[0])')"
	@$(INSTALL) --python .venv-bench-ollm/bin/python --requirement $(REQ)/runtime.txt --requirement $(REQ)/build.txt
	@$(UV) pip install --quiet --python .venv-bench-ollm/bin/python --no-deps --no-build-isolation --editable .
	@rm -f .venv-bench-ollm/.ollm-* && touch $@

$(BENCH): | .venv-bench/bin/python
	@echo "installing the peers of the bench"
	@$(INSTALL) --python .venv-bench/bin/python --requirement $(REQ)/bench.txt
	@rm -f .venv-bench/.ollm-* && touch $@

$(TUTORIAL): | .venv-tutorial/bin/python
	@echo "installing an engine and a model"
	@$(INSTALL) --python .venv-tutorial/bin/python --requirement $(REQ)/tutorial.txt
	@rm -f .venv-tutorial/.ollm-* && touch $@
