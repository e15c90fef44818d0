# `make` lists the targets. All of them use the Python in .venv, which is created on first use.
#
# On Linux without a GPU, name the index of the small CPU-only torch, or pip downloads several gigabytes of CUDA libraries:
#     PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make venv

PYTHON ?= python3
TESTFLAGS ?=
BENCHFLAGS ?=
PRESET ?= laptop
SEED ?= 0
# What needs neither a browser nor many processes. Old releases warn of newer ones, so that no warning is an error there.
QUICK := $(addprefix tests/,datasets methods model support viz widgets/test_form.py test_guides.py test_losses.py \
    test_metrics.py test_parameters.py test_pod.py test_pseudo.py test_scenario.py test_settings.py test_thresholds.py \
    test_trainer.py runs/test_experiment.py runs/test_report.py runs/test_results.py runs/test_saving.py)
# One more than the number of cores, because tests that wait for a browser do not use theirs.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )))

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SITE := $(VENV)/.site
LOWEST := .venv-lowest

.DEFAULT_GOAL := help
.PHONY: help demo test lowest torture lab lint bench seeds pictures site api pages venv iabn clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP)  ## train fine-tuning, MiB and PLOP on the built-in emoji data and print the table
	$(BIN)/python -m plopkit demo

test: $(STAMP)  ## run the tests in parallel; TESTFLAGS="-k pod -x" is passed to pytest
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(TESTFLAGS)

lowest:  ## run the quick tests with the lowest versions of all packages, in .venv-lowest (PYTHON=python3.12)
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install -c constraints-lowest.txt "$$(grep '^torch==' constraints-lowest.txt)"
	$(LOWEST)/bin/python -m pip install -c constraints-lowest.txt -e '.[dev]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -o filterwarnings=default --disable-warnings $(TESTFLAGS) $(QUICK)

torture: $(STAMP)  ## damage files, kill runs, cut the power (as root) and read random files, as docs/promises.md says; SEED=1
	$(BIN)/python tests/torture/damages.py --count 250 --seed $(SEED)
	$(BIN)/python tests/torture/kills.py --count 100 --seed $(SEED)
	PLOPKIT_TORTURE=1 $(BIN)/python -m pytest -q tests/runs/test_resume.py -k any_moment
	$(BIN)/python tests/torture/encoders.py
	@if [ "$$(id -u)" = 0 ]; then set -x; $(BIN)/python tests/torture/power_cuts.py --count 20 --seed $(SEED); \
	    else echo 'power cuts are left out: they need root'; fi
	$(BIN)/python tests/torture/fuzz.py --count 50000 --seed $(SEED)

lab: $(STAMP)  ## open the notebooks in JupyterLab
	$(BIN)/python -m jupyterlab notebooks

lint: $(STAMP)  ## run ruff, mypy and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy plopkit
	$(BIN)/lint-imports

bench: $(STAMP)  ## measure speed and memory against plain references; BENCHFLAGS=--quick takes two minutes
	$(BIN)/python -m benchmarks $(or $(BENCHFLAGS),--json data/measured/bench.json)

seeds: $(STAMP)  ## compute the demo's table over three seeds
	$(BIN)/python benchmarks/three_seeds.py --csv data/measured/emoji_15-5_three_seeds.csv

pictures: $(STAMP)  ## draw the README's figures from the demo's runs
	$(BIN)/python docs/pictures.py

site: $(SITE)  ## run all lessons and build the website in build/site (PRESET=smoke: untrained, a few minutes)
	$(BIN)/python docs/make_site.py --preset $(PRESET)

api: $(SITE)  ## build only the API reference, in build/site-api
	$(BIN)/python docs/make_site.py --only api

pages: $(SITE)  ## build the website without running the lessons, in build/site-pages
	$(BIN)/python docs/make_site.py --only pages

venv: $(STAMP)  ## create .venv with everything above (PYTHON=python3.12 chooses the Python)

iabn: $(STAMP)  ## build inplace-abn into .venv (a C++ compiler and about two minutes)
	@$(BIN)/python -c 'import inplace_abn' 2>/dev/null && echo 'inplace-abn is installed' || { \
	    set -e; \
	    $(BIN)/python -m pip install -c constraints.txt ninja setuptools setuptools-scm wheel; \
	    PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install -c constraints.txt \
	        --no-build-isolation --no-cache-dir --no-deps --force-reinstall inplace-abn; \
	}

clean:  ## remove caches and built packages, but not .venv, runs/ and data/
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find plopkit tests benchmarks notebooks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} + 2>/dev/null || true

# torch is installed first, at its pinned version: otherwise pip would take the newest torch that a range allows. Above,
# inplace-abn needs `--no-build-isolation` because its setup imports torch, and `--no-cache-dir` because a wheel of it
# fits only the torch that it was built with.
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
