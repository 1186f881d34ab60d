# Two commands matter: `make demo` and `make test`. Both set up what they need on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo
BATTLES := src/scorax/data/datasets/llmfao_battles.csv

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-slow lint types contract methods unit notebooks bench clean

# The pip that comes with older Pythons is slow at resolving, so each environment brings it up to date first.
$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scorax needs Python 3.11 or newer; say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	touch $@

$(VENV)/.user: $(VENV)/.made pyproject.toml
	$(BIN)/python -m pip install -q -e '.[all]'
	touch $@

$(VENV)/.dev: $(VENV)/.user
	$(BIN)/python -m pip install -q -e '.[all,dev,docs]'
	touch $@

demo: $(VENV)/.user
	$(BIN)/scorax rank $(BATTLES) --out $(OUT)

test: lint types contract methods unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python

contract: $(VENV)/.dev
	$(BIN)/lint-imports

methods: $(VENV)/.dev
	$(BIN)/python -m docs.methods --check

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=10

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m slow --durations=10

bench: $(VENV)/.dev
	$(BIN)/python -m pip install -q -e '.[bench]'
	$(BIN)/python -m benchmarks

notebooks: $(VENV)/.dev
	$(BIN)/python -m notebooks.execute

clean:
	rm -rf $(VENV) $(OUT) dist .pytest_cache .ruff_cache
