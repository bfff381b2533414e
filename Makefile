# SPDX-License-Identifier: Apache-2.0
# `make demo` and `make test` each do everything on a fresh machine: Debian, Python 3.11 with venv, gcc, make, a package index.
#
#   PYTHON=python3.12       the interpreter that the environment is made with
#   IMG=photo.png           the image of `make demo` (default: a photograph that scikit-image ships)
#   PIP_FLAGS='...'         more options for pip, such as an extra index with CPU builds of torch
#   PYTEST_FLAGS='...'      more options for pytest, such as -k cli
#   WORKERS=1               processes that share the tests (default: one a core)

PYTHON ?= python3
VENV ?= .venv
IMG ?=
PIP_FLAGS ?=
PYTEST_FLAGS ?=
SECONDS ?= 600
MINUTES ?= 10
CPU ?= aarch64
WORKERS ?= auto

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt $(PIP_FLAGS)
# What the environment is made from: when one of these changes, the compiled module is built and packages are looked for again.
native := pyproject.toml constraints.txt CMakeLists.txt $(shell find native -name '*.[ch]pp')
sources := bbcodec models tests benchmarks

.PHONY: help demo test unit lint format coverage sanitize emulate fuzz load bench wheel clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo [IMG=photo.png]  compress a photograph, decompress it, verify it, compare the sizes'
	@echo 'make test                  environment, extras, lint, types, all tests'
	@echo 'make unit                  the tests alone, in the environment of make test'
	@echo 'make lint | format         ruff and mypy | let ruff rewrite'
	@echo 'make fuzz [SECONDS=600]    hostile inputs on every surface; what is found goes to finds/'
	@echo 'make sanitize              the native module under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make emulate CPU=aarch64   golden files on another CPU (aarch64, s390x), under qemu'
	@echo 'make coverage              lines that the tests reach, of Python and of C++'
	@echo 'make load [MINUTES=10]     four processes at once: memory stays flat, bytes stay the same'
	@echo 'make bench                 bits per dim, bytes and seconds beside PNG, WebP and JPEG XL'
	@echo 'make wheel                 a wheel in dist/'
	@echo 'make clean                 remove environment, builds and caches'

# Groups of dependencies need pip 25.1, newer than the one that Python 3.11 brings.
$(bin)/python:
	$(PYTHON) -m venv $(VENV)
	$(bin)/python -m pip --disable-pip-version-check install --quiet --upgrade 'pip>=25.1'

# Editable: the Python files are used where they are, the compiled module is built into the environment.
$(VENV)/.demo: $(bin)/python $(native)
	$(pip) --editable '.[demo]'
	@touch $@

$(VENV)/.bench: $(bin)/python $(native)
	$(pip) --editable '.[demo,bench]'
	@touch $(VENV)/.demo $@

$(VENV)/.test: $(bin)/python $(native)
	$(pip) --group test --editable '.[train,jit,remote,dask,zarr,science,bench,demo]'
	@touch $(VENV)/.demo $(VENV)/.bench $@

$(VENV)/.coverage: $(VENV)/.test
	$(pip) --group coverage
	@touch $@

# Where craystack cannot be had, its frozen vectors are tested.
$(VENV)/.craystack: $(VENV)/.test tests/requirements-craystack.txt
	@GIT_TERMINAL_PROMPT=0 timeout 120 $(pip) --src $(VENV)/src --requirement tests/requirements-craystack.txt >/dev/null 2>&1 \
		|| echo 'craystack cannot be fetched: the comparison with it is skipped, its frozen vectors are tested'
	@touch $@

demo: $(VENV)/.demo
	$(bin)/python benchmarks/demo.py $(if $(IMG),'$(IMG)')

test: lint unit

unit: $(VENV)/.craystack
	$(bin)/python -m pytest --numprocesses $(WORKERS) $(PYTEST_FLAGS)

lint: $(VENV)/.test
	$(bin)/ruff check $(sources)
	$(bin)/ruff format --check $(sources)
	$(bin)/mypy

format: $(VENV)/.test
	$(bin)/ruff check --fix $(sources)
	$(bin)/ruff format $(sources)

fuzz: $(VENV)/.test
	$(bin)/python tests/fuzz/run.py --seconds $(SECONDS) --jobs $$(nproc)

sanitize: $(VENV)/.test
	PYTHON=$(bin)/python native/sanitize.sh

coverage: $(VENV)/.coverage
	PYTHON=$(bin)/python WORKERS=$(WORKERS) native/coverage.sh

emulate: $(VENV)/.test
	PYTHON=$(bin)/python native/emulate.sh $(CPU)

load: $(VENV)/.demo
	$(bin)/python benchmarks/load.py --processes 4 --minutes $(MINUTES)

bench: $(VENV)/.bench
	$(bin)/bbcodec compare $(or $(IMG),$$($(bin)/python benchmarks/demo.py --where))

wheel: $(bin)/python
	$(bin)/python -m pip --disable-pip-version-check wheel --quiet $(PIP_FLAGS) --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist wheelhouse .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find $(sources) -name __pycache__ -type d -prune -exec rm -rf {} +
