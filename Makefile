# `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
export MLFLOW_DISABLE_TELEMETRY ?= true
# The steps of these models are short: a second thread costs more than it brings. Threads that wait must not spin.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help setup run lab test lint refresh mlflow bench

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed, this is " + sys.version.split()[0] + ": name another with make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[notebooks,test]'
	@touch $@

setup: .venv/.installed  ## create .venv and install the pinned versions

run: setup  ## execute the notebooks into build/ (.ipynb and .html), then print the table of runs
	$(BIN)/python notebooks/execute.py run

lab: setup  ## open the notebooks in JupyterLab, on this machine only
	$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=notebooks

test: setup  ## run the unit tests, then re-execute the notebooks and compare their outputs
	$(BIN)/python -m pytest

lint: setup  ## check the code and the notebooks with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

refresh: setup  ## re-execute the notebooks from a clean state and rewrite their outputs
	$(BIN)/python notebooks/execute.py refresh

mlflow: setup  ## open MLflow's table of your runs, on this machine only
	$(BIN)/python -m utilities.store

bench: setup  ## run the benchmarks, except the one that needs other libraries
	@set -e; for file in $(filter-out benchmarks/bench_peers.py,$(wildcard benchmarks/bench_*.py)); do echo; echo "== $$file"; $(BIN)/python $$file; done
