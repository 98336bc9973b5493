# Two targets are all a user needs: `make run` and `make test`. `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Gates and installs share one environment: an order that -j may change would break it.
.NOTPARALLEL:

PYTHON ?= python3
ARGS ?=
BENCH ?= startup
COVERAGE_FLOOR ?= 90
# The tests of a file may run in any worker; empty runs them one after another.
WORKERS ?= -n auto --maxprocesses 4 --dist worksteal

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# The first stamp stands for what the program needs, the second for what its tests need too.
INSTALLED := $(VENV)/.ok
TEST_TOOLS := $(VENV)/.ok-test
NODE_MODULES := frontend/node_modules/.ok
UI := src/understudy/web/dist/index.html
# Folders are listed with their files, so that a deleted file is noticed as well.
UI_SOURCES := frontend/package-lock.json \
	$(wildcard frontend/*.html frontend/*.ts frontend/tsconfig*.json) \
	$(shell find frontend/src frontend/overlay frontend/public 2>/dev/null)

# Imports are compiled once, at the installation, or every first start would pay for it.
export UV_COMPILE_BYTECODE := 1
# Tests start many interpreters, and each would compile everything again.
unexport PYTHONDONTWRITEBYTECODE
# uv sees the same packages as pip on this machine.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
ifneq ($(PIP_INDEX_URL),)
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

# In the order they run: what fails fast comes first.
GATES := lint types test-web ui test-python test-browser

define require_python
	@command -v $(PYTHON) >/dev/null || { \
		echo "Python is missing: install Python 3.11 or newer, e.g. apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$$($(PYTHON) --version) is too old: install Python 3.11 or newer, or name one: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python lacks its venv module: apt install python3-venv" >&2; exit 1; }
endef

define require_node
	@command -v node >/dev/null || { \
		echo "Node is missing: install Node 20.19 or newer (nodejs.org)" >&2; exit 1; }
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' || { \
		echo "Node $$(node --version) is too old: install Node 20.19 or newer (nodejs.org)" >&2; exit 1; }
	@command -v npm >/dev/null || { \
		echo "npm is missing: it comes with Node from nodejs.org, or apt install npm" >&2; exit 1; }
endef

##@ The two you need

.PHONY: run
run: $(INSTALLED) $(UI) ## Start Understudy on http://127.0.0.1:8000; ARGS="--port 9000" is passed on
	@exec $(BIN)/understudy serve $(ARGS)

.PHONY: test
test: $(TEST_TOOLS) $(NODE_MODULES) ## Prove it: linters, types, Python, web and browser tests
	@passed=""; \
	for gate in $(GATES); do \
		printf '\n=== %s\n' "$$gate"; \
		if ! $(MAKE) --no-print-directory "$$gate"; then \
			printf '\nmake test: FAILED at %s; passed before it:%s\n' "$$gate" "$${passed:- nothing}" >&2; \
			exit 1; \
		fi; \
		passed="$$passed $$gate"; \
	done; \
	printf '\nmake test: all gates passed:%s\n' "$$passed"

##@ One gate at a time

.PHONY: lint
lint: $(TEST_TOOLS) ## Check style, import rules, Dockerfile and compose file
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	@if [ -x $(BIN)/hadolint ]; then set -x; $(BIN)/hadolint Dockerfile; \
		else echo "hadolint skipped: there is no build of it for this platform"; fi
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

.PHONY: types
types: $(TEST_TOOLS) ## Check types (pyright, strict)
	$(BIN)/pyright

.PHONY: test-python
test-python: $(TEST_TOOLS) ## Run the Python tests under branch coverage
	$(BIN)/pytest -m "not browser" $(WORKERS) --cov --cov-report=
	@$(MAKE) --no-print-directory coverage

.PHONY: coverage
coverage: $(TEST_TOOLS) ## Report the coverage of the last run; fails below COVERAGE_FLOOR
	$(BIN)/coverage report --fail-under=$(COVERAGE_FLOOR)

.PHONY: test-web
test-web: $(NODE_MODULES) ## Lint, type-check and test the web app
	npm --prefix frontend run lint
	npm --prefix frontend run typecheck
	npm --prefix frontend run test

.PHONY: test-browser
test-browser: $(TEST_TOOLS) $(UI) ## Drive a real Chromium; REQUIRE_BROWSER=1 fails where there is none
	$(BIN)/pytest -m browser

.PHONY: screenshots
screenshots: $(TEST_TOOLS) $(UI) ## Renew the pictures of the documents: the monitor, the mood overlay
	REQUIRE_BROWSER=1 UPDATE_SCREENSHOTS=1 $(BIN)/pytest -m browser -k picture
	$(BIN)/python scripts/write_overlay_pictures.py

##@ Working on it

.PHONY: install
install: $(TEST_TOOLS) $(NODE_MODULES) ## Install everything for development
	@echo "ready: $(BIN)/understudy, make test, make ui-dev"

.PHONY: fmt
fmt: $(TEST_TOOLS) ## Format the Python code and apply safe fixes
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: ui
ui: $(UI) ## Build the web app when its sources have changed

.PHONY: ui-dev
ui-dev: $(NODE_MODULES) ## Serve the web app with hot reload, beside a running `make run`
	npm --prefix frontend run dev

.PHONY: bench
bench: $(TEST_TOOLS) $(UI) ## Measure; BENCH=startup names a file of benchmarks/
	$(BIN)/python benchmarks/$(BENCH).py $(ARGS)

.PHONY: learn-demo
learn-demo: $(TEST_TOOLS) ## Show the learning loop with figures and goals; ARGS=--docs renews docs/learning.md
	@$(BIN)/python -m scripts.learn_demo $(ARGS)

.PHONY: constraints
constraints: $(TEST_TOOLS) ## Renew constraints.txt with the newest versions for all platforms
	@kept="$$(grep -B1 '^torch==' constraints.txt)"; new="$$(mktemp)"; trap 'rm -f "$$new"' EXIT; \
	{ sed -n 1p constraints.txt; \
	  $(UV) pip compile --quiet --universal --upgrade --no-header --no-annotate \
		--constraint <(grep '^torch==' constraints.txt) --all-extras --group dev pyproject.toml | grep -v '^torch=='; \
	  echo "$$kept"; } >"$$new"; \
	cat "$$new" >constraints.txt

.PHONY: settings
settings: $(INSTALLED) ## Write .env.example and understudy.example.toml from the settings
	$(BIN)/python scripts/write_settings_examples.py

.PHONY: clean
clean: ## Remove everything that was built or installed; data and settings stay
	rm -rf $(VENV) frontend/node_modules src/understudy/web/dist dist build
	rm -rf .coverage .coverage.* htmlcov .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- what the targets above are made from

$(UV):
	$(require_python)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# The editable installs leave the web app alone: it has a rule of its own below.
$(INSTALLED): pyproject.toml constraints.txt | $(UV)
	UNDERSTUDY_SKIP_UI=1 $(UV) pip install --quiet --python $(BIN)/python -c constraints.txt -e .
	@touch $@

$(TEST_TOOLS): pyproject.toml constraints.txt | $(UV)
	UNDERSTUDY_SKIP_UI=1 $(UV) pip install --quiet --python $(BIN)/python -c constraints.txt -e . \
		--group test --group browser
	@touch $(INSTALLED) $@

$(NODE_MODULES): frontend/package-lock.json
	$(require_node)
	npm --prefix frontend ci --no-audit --no-fund
	@touch $@

$(UI): $(UI_SOURCES) | $(NODE_MODULES)
	$(require_node)
	npm --prefix frontend run build
