# `make` lists the targets. Everything that needs Python gets it from .venv, built on first use.
#
# On Linux without a GPU, say where the small CPU-only torch lies, or pip fetches some gigabytes of CUDA:
#     PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make venv

PYTHON ?= python3
TESTFLAGS ?=
PRESET ?= laptop
# One more than there are cores: tests that wait for a browser leave theirs to others.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )))

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SITE := $(VENV)/.site

.DEFAULT_GOAL := help
.PHONY: help demo test lab lint seeds pictures site venv iabn clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP)  ## train fine-tuning, MiB and PLOP on the embedded emoji data, print the table
	$(BIN)/python -m plopkit demo

test: $(STAMP)  ## the tests, several files at once; TESTFLAGS="-k pod -x" goes to pytest
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(TESTFLAGS)

lab: $(STAMP)  ## open the notebooks in JupyterLab
	$(BIN)/python -m jupyterlab notebooks

lint: $(STAMP)  ## ruff, mypy, and the order of the layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy plopkit
	$(BIN)/lint-imports

seeds: $(STAMP)  ## the demo's table over three seeds
	$(BIN)/python benchmarks/three_seeds.py --csv data/measured/emoji_15-5_three_seeds.csv

pictures: $(STAMP)  ## draw README's pictures in docs/ from the demo's runs
	$(BIN)/python docs/pictures.py

site: $(SITE)  ## run every lesson and lay the pages out in build/site (PRESET=smoke: in a few minutes, untrained)
	$(BIN)/python docs/make_site.py --preset $(PRESET)

venv: $(STAMP)  ## build .venv with everything above (PYTHON=python3.12 makes it with another Python)

iabn: $(STAMP)  ## build inplace-abn into .venv (a C++ compiler and about two minutes)
	@$(BIN)/python -c 'import inplace_abn' 2>/dev/null && echo 'inplace-abn is there' || { \
	    set -e; \
	    $(BIN)/python -m pip install -c constraints.txt ninja setuptools setuptools-scm wheel; \
	    PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install -c constraints.txt \
	        --no-build-isolation --no-cache-dir --no-deps --force-reinstall inplace-abn; \
	}

clean:  ## remove caches and built packages; leaves .venv, runs/ and data/ alone
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find plopkit tests benchmarks notebooks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} + 2>/dev/null || true

# torch goes first and exactly: pip would take the newest torch that a range allows, even where the pinned one lies at
# hand. `--no-build-isolation` above is inplace-abn's wish (its setup imports torch), and no cache, for a wheel of it
# fits only the torch it was built with.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "plopkit needs Python 3.11 or newer; '$(PYTHON)' is not. Name one: make venv PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

$(SITE): $(STAMP)
	$(BIN)/python -m pip install -c constraints.txt -e '.[site]'
	@touch $@
