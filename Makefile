# `make demo` runs the whole pipeline on the rendered world; `make test` runs the tests. Both prepare what they need.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

PIP := pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint docs clean

demo: $(VENV)/installed
	dvc repro
	@echo "Scores: data/demo/metrics.json; look around with: $(VENV)/bin/grace inspect"

test: $(VENV)/installed-test
	pytest -n 2 -m "not slow"

lint: $(VENV)/installed-lint
	ruff format --check .
	ruff check .
	mypy -p grace -p stages -p benchmarks

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "Pages: site/index.html"

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "GRACE needs Python 3.11 or newer; name one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/installed-lint: $(VENV)/installed
	$(PIP) --editable '.[test,lint]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(PIP) --editable '.[docs]'
	touch $@

clean:
	rm -rf raw data site $(VENV)
