# SPDX-License-Identifier: Apache-2.0
# `make` lists the targets. Everything stands on `make setup`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format lint types imports bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Make .venv from constraints.txt (does nothing when it is already there)

$(STAMP): constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	    hatchling editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	    --no-build-isolation --editable '.[quantize,hls,sim,eda,explore,dask,reports,qonnx,dev]'
	touch $@

demo: setup ## The main job on the built-in detector: quantize, generate, verify, report
	$(BIN)/nibbleflow demo build/demo --force

# Two processes, a file of tests in one of them; one thread each for the numeric libraries.
test: setup ## All tests
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

check: setup format lint types imports test ## Format, lint, types, import contracts, tests

format: setup ## Format the Python sources
	$(BIN)/ruff format .

lint: setup ## Lint the Python sources
	$(BIN)/ruff check .

types: setup ## Strict types
	$(BIN)/mypy

imports: setup ## Import contracts: floors go down only
	$(BIN)/lint-imports

# 'make bench study' is 'make bench NAME=study': goals behind it name benchmarks.
ifeq (bench,$(firstword $(MAKECMDGOALS)))
NAME ?= $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
$(eval $(filter-out demo,$(NAME)):;@:)
endif

bench: setup ## Slow and real-data checks (make bench yolov5n); results to reports/results
	$(BIN)/python -m reports.bench $(NAME)

clean: ## Remove what was built, not the environment
	rm -rf build sim_build .pytest_cache .mypy_cache .ruff_cache
