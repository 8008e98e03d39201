# Everything a reader needs; `make` alone lists it.  A virtual environment is made in .venv (VENV=...) on first use.
PYTHON ?= python3
VENV ?= .venv
PY = $(VENV)/bin/python
NOTEBOOKS = $(or $(ONLY),$(wildcard notebooks/*.ipynb))
TESTS = $(or $(ONLY),tests)

# Tests run in JOBS processes of one thread each, in half the time that two threads of one process take.
JOBS ?= 2
test-unit test-notebooks: export OMP_NUM_THREADS ?= 1
# Threads that spin while they wait would take the core that pytest or a kernel needs.
export OMP_WAIT_POLICY ?= passive
# Offline and silent; what is compared must not depend on threads (`make portability`).
NOTEBOOK_ENV = HF_HUB_OFFLINE=1 TQDM_DISABLE=1 PYTHONHASHSEED=0
NBVAL = --nbval --nbval-current-env --nbval-cell-timeout 300
KEEP = --keep-output --keep-count --keep-id --extra-keys 'metadata.widgets cell.metadata.execution'
EXECUTE = --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False --ExecutePreprocessor.timeout=600 --Exporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor

.PHONY: help setup demo test test-unit test-notebooks lint lab notebooks portability address clean

help:
	@echo "make demo            set up, paint a prompt with and without search into demo/"
	@echo "make lab             set up, open the course in JupyterLab"
	@echo "make test            set up, run every check: lint, test-unit, test-notebooks"
	@echo "make lint            ruff alone"
	@echo "make test-unit       the unit tests alone (ONLY=tests/test_search.py for one file)"
	@echo "make test-notebooks  the notebooks run again, their text compared (ONLY=notebooks/02_....ipynb for one)"
	@echo "make notebooks       run the notebooks and write their outputs, normalised (ONLY=notebooks/02_....ipynb for one)"
	@echo "make portability     the notebooks over threads and instruction sets"
	@echo "make address URL=    write the repository's address everywhere"
	@echo "make clean           remove .venv and what the others made"

setup: $(VENV)/stamp

$(VENV)/stamp: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "vartut needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -c constraints.txt -e ".[dev,flux]"
	touch $@

demo: setup
	$(VENV)/bin/vartut demo --out demo/

lab: setup
	$(VENV)/bin/jupyter lab notebooks

lint: setup
	$(PY) -m ruff check .

test-unit: setup
	$(PY) -m pytest -n $(JOBS) --dist loadfile $(TESTS)

test-notebooks: setup
	$(NOTEBOOK_ENV) $(PY) -m pytest -q -n $(JOBS) --dist loadfile $(NBVAL) $(NOTEBOOKS)

test: lint test-unit test-notebooks

notebooks: setup
	$(PY) tests/notebook_sources.py $(NOTEBOOKS)
	$(NOTEBOOK_ENV) $(VENV)/bin/jupyter nbconvert $(EXECUTE) $(NOTEBOOKS)
	$(VENV)/bin/nbstripout $(KEEP) $(NOTEBOOKS)

# Text that is compared must survive another processor: one and two threads, with AVX-512 (where there is any) and without.
portability: setup
	for threads in 1 2; do \
	    OMP_NUM_THREADS=$$threads $(MAKE) test-notebooks || exit 1; \
	    OMP_NUM_THREADS=$$threads ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(MAKE) test-notebooks || exit 1; \
	done

address: setup
	$(PY) tests/notebook_sources.py --address "$(URL)"

clean:
	rm -rf .venv demo build dist
