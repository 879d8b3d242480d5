# medmm. `make demo` and `make test` set up all that they need; nothing is installed twice.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help install demo test quick lint bench clean

help:  ## say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(READY)  ## the environment alone, in .venv or VENV=dir

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "medmm needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[test]'
	touch $@

demo: $(READY)  ## a cohort, a training, scores and the way to the MLflow UI, in demo/
	rm -rf demo
	$(BIN)/medmm demo --out demo
	@echo "(for the commands above, first: source $(BIN)/activate)"

test: $(READY)  ## all tests, a process a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

quick: $(READY)  ## the tests that take seconds
	$(BIN)/python -m pytest -m 'not slow'

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## every benchmark, each beside its rival in one run
	$(BIN)/python -m benchmarks

clean:  ## remove the environment and what the demo made
	rm -rf $(VENV) demo build *.egg-info
