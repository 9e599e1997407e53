# recstream: `make help` lists the targets. Needs Python 3.11 to 3.13 and a package index; `make up`
# needs Docker.

FIND_PYTHON = for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && { command -v $$python; break; }; done
ifndef PYTHON
PYTHON := $(shell $(FIND_PYTHON))
endif
BIN = .venv/bin
# Bytecode is kept, whatever the shell says: compiling would be half of the unit tier's time.
export PYTHONDONTWRITEBYTECODE =
ARGS =

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long unit check bench docs up down lock environment environment-dev python

help:
	@echo 'make demo      the whole thing on this machine: broker, two workers, training, canary'
	@echo 'make test      all tests, on the best Kafka that the machine offers'
	@echo 'make test-long the tests that take minutes: outages, ages, soak; run before a release'
	@echo 'make unit      the quick ones, without a broker'
	@echo 'make check     format, lint, types, imports'
	@echo 'make bench     benchmarks, on Apache Kafka; ARGS=NAME, such as serve; ARGS=--help lists them'
	@echo 'make docs      write the reference pages and .env.example again, from the code'
	@echo 'make up, down  the stack in containers: Kafka, workers, Prometheus, Grafana'
	@echo 'make setup     only make .venv, with the development tools'
	@echo 'make lock      write requirements.lock again, from pyproject.toml'
	@echo "ARGS='...' is passed on by demo, test, test-long, unit and bench, as in: make demo ARGS=--exit"

setup: environment-dev

demo: environment
	@$(BIN)/recstream demo $(ARGS)

test: environment-dev
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

test-long: environment-dev
	@$(BIN)/python -m pytest --long -m long $(ARGS)

unit: environment-dev
	@$(BIN)/python -m pytest tests/unit --numprocesses 2 $(ARGS)

check: environment-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: environment
	@$(BIN)/recstream bench $(ARGS)

docs: environment-dev
	$(BIN)/python -m ops.docs.env_example > .env.example
	$(BIN)/python -m ops.docs.reference_pages
	$(BIN)/python -m ops.docs.rule_drawings

up:
	docker compose up --build --detach --wait

down:
	docker compose down

# One lock file for all extras: a constraint with hashes, of which each environment takes its part.
UV = .venv/bin/uv
INSTALL = $(UV) pip install --quiet --python $(BIN)/python --require-hashes --only-binary :all: \
	--constraint requirements.lock --requirement pyproject.toml --extra build --extra embedded --extra s3
ITSELF = $(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
LOCKED = requirements.lock pyproject.toml

# A moved clone, or another Python, needs a new environment.
MADE_FOR = $(CURDIR) $(shell '$(PYTHON)' -V 2>&1)
ifneq ($(MADE_FOR),$(shell cat .venv/made-for 2>/dev/null))
.PHONY: $(UV)
endif

lock: $(UV)
	$(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --all-extras \
		--no-emit-index-url --no-header --no-annotate --output-file requirements.lock pyproject.toml

environment: .venv/filled

environment-dev: .venv/filled-dev

.venv/filled: $(UV) $(LOCKED)
	@test -e .venv/filled-dev || { echo 'recstream: filling .venv (once)'; $(INSTALL) && $(ITSELF); }
	@touch $@

.venv/filled-dev: $(UV) $(LOCKED)
	@echo 'recstream: filling .venv with the development tools (once)'
	@$(INSTALL) --extra dev && $(ITSELF)
	@touch $@ .venv/filled

# pip comes from the Python outside where it has one, and from the environment's own otherwise.
$(UV): ops/setup/uv.txt | python
	@'$(PYTHON)' -m venv --clear --without-pip .venv
	@'$(PYTHON)' -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@if [ -x $(BIN)/pip3 ]; then set -- $(BIN)/python -m pip; else \
	set -- '$(PYTHON)' -m pip --python $(BIN)/python; fi; "$$@" install --quiet \
	--disable-pip-version-check --no-input --require-hashes --only-binary :all: --requirement $<
	@echo '$(MADE_FOR)' > .venv/made-for

python:
	@test -n '$(PYTHON)' || { echo 'recstream needs Python 3.11, 3.12 or 3.13 with its venv module' \
	'(Debian, Ubuntu: apt-get install python3-venv). Not found: python3, python3.13, python3.12,' \
	'python3.11. To use another one: make PYTHON=/path/to/python' >&2; exit 1; }
