# `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
export MLFLOW_DISABLE_TELEMETRY ?= true
# The steps of these models are short: a second thread costs more than it brings. Threads that wait must not spin.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help setup run inspect lab exercises edit test lint refresh lock site site-open mlflow bench peers

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed, this is " + sys.version.split()[0] + ": name another with make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[notebooks,site,test]'
	@touch $@

setup: .venv/.installed  ## create .venv and install the pinned versions

run: setup  ## execute the notebooks into build/, print the results, and build the site from them
	$(BIN)/python notebooks/execute.py run

inspect: setup  ## read a file of ratings and say what the series makes of it, without training: make inspect DATA=path
	@$(BIN)/python -m utilities.inspect "$(DATA)"

lab: setup  ## open copies of the notebooks and exercises, yours to change, in JupyterLab: work/, on this machine only
	$(BIN)/python notebooks/lab.py

exercises: setup  ## copy the exercises into work/, where yours stay as you leave them
	$(BIN)/python notebooks/lab.py --only-copy

edit: setup  ## open the notebooks themselves in JupyterLab, on this machine only
	$(BIN)/python notebooks/lab.py --originals

test: setup  ## run the unit tests, then re-execute the notebooks and compare their outputs
	$(BIN)/python -m pytest

lint: setup  ## check the code and the notebooks with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

refresh: setup  ## re-execute the notebooks from a clean state and rewrite their outputs and README's results
	$(BIN)/python notebooks/execute.py refresh

$(BIN)/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep ^uv== constraints.txt)"

lock: $(BIN)/uv  ## write constraints.txt for every Python and system; a pin stays unless you delete its line
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra notebooks --extra site --extra test --no-emit-package setuptools \
		--no-header --no-annotate --no-python-downloads --quiet pyproject.toml --output-file constraints.txt

site: setup  ## build the site of the course from the notebooks as executed: build/site/index.html
	$(BIN)/python site/build.py

build/site/index.html:
	$(MAKE) site

site-open: setup build/site/index.html  ## serve the site on this machine only, and open it
	$(BIN)/python site/serve.py

mlflow: setup  ## open MLflow's table of your runs, on this machine only
	$(BIN)/python -m utilities.store

peers: setup  ## measure other libraries, each in an environment of its own in build/peers/: benchmarks/peers.csv
	$(BIN)/python benchmarks/bench_peers.py

bench: setup  ## run the benchmarks, except the one that needs other libraries
	@set -e; for file in $(filter-out benchmarks/bench_peers.py,$(wildcard benchmarks/bench_*.py)); do echo; echo "== $$file"; $(BIN)/python $$file; done
