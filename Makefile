# `make demo` learns a task, `make test` runs every test. The first one makes .venv; later ones need no network.

.DEFAULT_GOAL := help
.PHONY: demo test smoke lint format coverage clean help

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
# constraints.txt is written for Python 3.11 and holds for 3.12; later ones get the newest that pyproject.toml allows.
PINNED = $$($(BIN)/python -c 'import sys; print("--constraint=constraints.txt" * (sys.version_info < (3, 13)))')
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PINNED) --editable

# pyright would ask the network whether a newer one is out.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# A stamp is written last and holds the folder's name. Without one, or when the folder has moved or its Python has gone,
# .venv is created again; when only pyproject.toml or constraints.txt have changed, it is brought up to date.
$(shell [ -x $(BIN)/python ] && [ "$$(cat $(VENV)/.core 2>/dev/null)" = "$(CURDIR)" ] || rm -f $(VENV)/.core)

$(VENV)/.core: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "handful needs Python 3.11 or later, and none was found: install one, or name it with make PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv module (on Debian and Ubuntu the package python3-venv)." >&2; exit 1; }
	@echo "Setting up $(VENV); this takes a minute or two."
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@$(INSTALL) .
	@echo "$(CURDIR)" > $@

$(VENV)/.dev: $(VENV)/.core
	@echo "Adding the tools for tests and checks."
	@$(INSTALL) '.[dev]'
	@touch $@

demo: $(VENV)/.core  ## Learn to swing up a cart-pole; options go in ARGS, as in make demo ARGS="--seed 3"
	@$(BIN)/handful train cartpole-swingup $(ARGS)

test: $(VENV)/.dev  ## Run every test; options go in ARGS, as in make test ARGS="-k cem"
	@$(BIN)/python -m pytest $(ARGS)

smoke: $(VENV)/.dev  ## Run a test or two of each part: two minutes, to try another Python or JAX
	@$(BIN)/python -m pytest -m smoke $(ARGS)

lint: $(VENV)/.dev  ## Check format, rules and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.dev  ## Format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

coverage: $(VENV)/.dev  ## Run every test and show the lines that none of them reaches
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

clean:  ## Remove .venv, caches and builds; runs stay
	rm -rf $(VENV) .venv-newer .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* build dist site
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
