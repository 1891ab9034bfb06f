# Every verb of this repository; `make` alone explains them. What they build stays outside the tree.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ringfence
# One target directory for all checkouts, of which `tools/setup.py` drops what is another's; one venv for each.
export CARGO_TARGET_DIR ?= $(CACHE)/target
VENV := $(CACHE)/venv-$(shell printf %s '$(CURDIR)' | sha256sum | cut -c1-12)
export PATH := $(VENV)/bin:$(PATH):$(HOME)/.cargo/bin
# Outside of the tree too, and kept: without it every process compiles Python's own library again.
export PYTHONPYCACHEPREFIX := $(CACHE)/pycache
unexport PYTHONDONTWRITEBYTECODE
export MYPY_CACHE_DIR := $(VENV)/cache/mypy
export RUFF_CACHE_DIR := $(VENV)/cache/ruff

# Colour only on a terminal.
ifneq ($(and $(MAKE_TERMOUT),$(if $(NO_COLOR),,yes)),)
bold := $(shell printf '\033[1m')
plain := $(shell printf '\033[0m')
endif
step = @printf '%s\n' '$(bold)==> $(1)$(plain)'

CODE := python tests tools benches examples fuzz packs
# Commands of others that are built once, for all checkouts.
TOOLS := $(CACHE)/tools
CARGO_DENY := cargo-deny@0.20.2
CARGO_FUZZ := cargo-fuzz@0.13.2
FUZZ_SECONDS ?= 60
# Of those that run tests: they wait about as much as they compute.
PROCESSES ?= $(shell expr 1 + "$$(getconf _NPROCESSORS_ONLN)")
SOAK_RUNS ?= 20000
SOAK_THREADS ?= 8

.PHONY: help
help: ## show this page
	@printf 'usage: make VERB\n\n'
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | \
		while IFS=$$'\t' read -r verb text; do printf '  $(bold)%-9s$(plain) %s\n' "$$verb" "$$text"; done

.PHONY: setup
setup: ## check this machine, make the venv, build the package into it
	@$(PYTHON) tools/setup.py '$(VENV)' $(also)

.PHONY: packs
packs: setup ## build the language packs and install them into the venv (the first time takes minutes, then kept)
	$(call step,packs)
	@python tools/packs.py

.PHONY: demo
demo: packs ## run a stranger's program and script on your file, watch them be refused and limited
	@python examples/01-run/demo.py
	@python examples/02-languages/demo.py
	@python examples/03-agent/demo.py
	@python examples/04-forks/demo.py
	@python examples/05-plugins/demo.py
	@python examples/06-filter/demo.py
	@python examples/07-pricing/demo.py
	@python examples/08-markdown/demo.py
	@python examples/09-one-job/demo.py

# Fetched rather than built: their tests are skipped where they are not installed.
.PHONY: fetched
fetched: setup
	$(call step,packs that others have linked)
	@python tools/packs.py --fetched

.PHONY: test
test: also := --tests
test: packs fetched lint ## all checks: lint, cargo tests, pytest, the snippets in the docs
	$(call step,core: cargo test)
	@cargo test --release --locked --quiet -p ringfence
	$(call step,core: attacks on files without openat2)
	@CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='$(CURDIR)/tests/security/without_openat2.py' \
		cargo test --release --locked --quiet -p ringfence --test files_01 --test files_01_descriptors --test files_attacks
	$(call step,product: pytest)
	@pytest -q --numprocesses '$(PROCESSES)' --dist loadfile -o cache_dir='$(VENV)/cache/pytest' tests

.PHONY: lint
lint: setup ## ruff, mypy, import-linter, rustfmt, clippy
	$(call step,lint: python)
	@ruff check --quiet --output-format concise $(CODE)
	@ruff format --quiet --check $(CODE)
	@mypy --no-error-summary python tests tools packs
	@lint-imports --cache-dir '$(VENV)/cache/imports' > '$(VENV)/imports.txt' || { cat '$(VENV)/imports.txt'; exit 1; }
	$(call step,lint: rust)
	@cargo fmt --all --check
	@python tools/notices.py --check
	@# What maturin told PyO3 about Python: told again, or each of the two builds PyO3 anew.
	@config=$$(find '$(CARGO_TARGET_DIR)/maturin' -name 'pyo3-config-*.txt' 2>/dev/null | head -n 1); \
		env $${config:+PYO3_CONFIG_FILE="$$config" PYO3_BUILD_EXTENSION_MODULE=1} \
		cargo clippy --release --locked --quiet --workspace --all-targets -- --deny warnings
	$(call step,lint: newest patch of wasmtime)
	@python tools/patches.py

.PHONY: bench
bench: packs ## measure speed and growth against wasmtime-py and the wasmtime command
	@$(PYTHON) tools/setup.py '$(VENV)' --beside requirements/bench.txt
	@export PYTHONPATH='$(VENV)/bench'; for file in hello_run worker_run callback plugin languages small_languages cli_start import_time files growth neighbour python_speed; do python benches/$$file.py; done

.PHONY: soak
soak: setup ## run thousands of good and hostile programs on many threads (SOAK_RUNS=, SOAK_THREADS=)
	@python benches/soak.py --runs '$(SOAK_RUNS)' --threads '$(SOAK_THREADS)'

.PHONY: fuzz
fuzz: setup $(TOOLS)/$(CARGO_FUZZ) ## look for inputs that break something (FUZZ_SECONDS=60 for each kind)
	@$(PYTHON) tools/setup.py '$(VENV)' --beside requirements/fuzz.txt
	@PYTHONPATH='$(VENV)/fuzz' python tools/fuzz.py '$(TOOLS)/$(CARGO_FUZZ)/bin/cargo-fuzz' '$(FUZZ_SECONDS)' '$(CACHE)/fuzz'

.PHONY: judge
judge: packs ## run CPython's own tests in the sandbox, beside native CPython (minutes)
	@python tools/cpython_tests.py

.PHONY: deny
deny: $(TOOLS)/$(CARGO_DENY) ## check dependencies: licences, sources, bans, and advisories where they can be had
	@$(PYTHON) tools/deny.py '$(TOOLS)/$(CARGO_DENY)/bin/cargo-deny'

$(TOOLS)/cargo-%:
	$(call step,setup: cargo-$* (takes minutes))
	@cargo install --quiet --locked --root '$@' 'cargo-$*'

.PHONY: docs
docs: setup ## write the generated pages: command line, policy, third-party notices
	@python tools/docs.py
	@python tools/notices.py

.PHONY: lock
lock: ## pin the newest versions of what requirements/*.in name
	@$(PYTHON) tools/lock.py

.PHONY: clean
clean: ## remove this checkout's venv and native module; compiled crates and programs stay
	@rm -rf '$(VENV)' python/ringfence/_core*.so
