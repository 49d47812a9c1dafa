# Thin: every target is one command. `make help` lists them.
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
RUN_STAMP := $(VENV)/.run-ready
DEV_STAMP := $(VENV)/.dev-ready

.PHONY: help demo demo-github test test-fast test-crash test-cluster lint format chart bench lock wheel clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

$(RUN_STAMP): requirements/run.lock pyproject.toml tools/setup.sh
	@sh tools/setup.sh $(VENV) requirements/run.lock
	@touch $@

$(DEV_STAMP): requirements/dev.lock pyproject.toml tools/setup.sh
	@sh tools/setup.sh $(VENV) requirements/dev.lock
	@touch $@ $(RUN_STAMP)

demo: $(RUN_STAMP) ## Show the main job end to end: three tasks, three agents, a review and a push that send work back
	@$(BIN)/coderun demo

demo-github: $(RUN_STAMP) ## Show it on a fake GitHub: lost webhooks, ended tokens, rate limits, a killed controller, and all tasks merge
	@$(BIN)/python -m tests.demo_github

test: $(DEV_STAMP) ## Run every tier of tests this machine can carry, and list those it could not
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python tests/tools/fetch_claude.py >/dev/null || echo "going on without the real Claude Code"
	@$(BIN)/python -m tests.cluster.harness build || echo "going on with what there is"
	@ended=0; \
	$(PYTEST) -n auto --dist worksteal --ignore tests/cluster tests || ended=$$?; \
	$(MAKE) --no-print-directory test-cluster || ended=$$?; \
	exit $$ended

test-fast: $(DEV_STAMP) ## Run the tests without the slow ones, in under three minutes
	$(PYTEST) -n auto --dist worksteal -m "not slow" tests

test-crash: $(DEV_STAMP) ## Run the crash walks alone
	$(PYTEST) -n auto --dist worksteal -m slow tests/acceptance

test-cluster: $(DEV_STAMP) ## Run the tests on a real Kubernetes, which is built first (minutes, once a machine)
	@$(BIN)/python -m tests.cluster.harness build || echo "going on with what there is"
	$(PYTEST) -n auto --dist loadgroup tests/cluster

lint: $(DEV_STAMP) ## Check style, types and who imports whom
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: $(DEV_STAMP) ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

chart: $(DEV_STAMP) ## Write what the chart carries of the code: custom resource definitions, schema of the values
	@$(BIN)/python -m tests.deploy.chart_files

bench: $(DEV_STAMP) ## Measure, and print a table (docs/benchmarks.md keeps the results)
	@$(BIN)/python -m benchmarks

lock: $(DEV_STAMP) ## Write requirements/*.lock anew from pyproject.toml
	@sh tools/lock.sh $(BIN)/python

wheel: $(DEV_STAMP) ## Build the wheel into dist/
	@$(BIN)/python -m build --wheel --outdir dist .

clean: ## Remove what the other targets made in this folder
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
