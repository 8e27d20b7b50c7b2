# The two commands: `make quickstart` and `make test`. Both make .venv themselves, from the pinned lock.
PYTHON ?= python3
BIN := .venv/bin
# Two or more processes of one thread each; a file's tests stay together, since they share what is costly to build.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations=25

# What the page is built from; its tests and what npm brings are not among it.
PAGE := src/rapidnet/serving/page
WEB := $(shell find web -type f -not -path 'web/node_modules*' -not -path 'web/test/*')
NODE := ../$(BIN)/node

.PHONY: quickstart demo test slow-test lint page timm-suite tables lock clean

quickstart: .venv/ready
	$(BIN)/rapidnet quickstart

# The quickstart's network on your phone: the page, a server, a QR code.
demo: .venv/ready page
	$(BIN)/rapidnet demo

test: .venv/ready page
	$(PYTEST) -m "not slow"

slow-test: .venv/ready page
	$(PYTEST) -m slow

lint: .venv/ready web/node_modules/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd web && $(NODE) node_modules/typescript/bin/tsc --noEmit
	cd web && $(NODE) node_modules/.bin/biome ci --error-on-warnings .

# The page for browsers, which rapidnet serve offers. Node and npm come with the requirements.
page: $(PAGE)/index.html

$(PAGE)/index.html: web/node_modules/.ready $(WEB)
	cd web && $(NODE) node_modules/vite/bin/vite.js build --logLevel warn
	@touch $@

web/node_modules/.ready: web/package-lock.json web/.npmrc .venv/ready
	cd web && ../$(BIN)/npm ci --loglevel error
	@touch $@

# timm's own tests of models, unmodified from its source distribution, on our four networks.
timm-suite: .venv/ready
	$(BIN)/python tests/timm_suite/run.py

# Write the tables of README and docs from the rows in results/.
tables: .venv/ready
	$(BIN)/python scripts/render_tables.py

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("rapidnet needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; run make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# Needs uv; the lock names no addresses, so it installs from whatever index pip is set to.
lock:
	uv pip compile --universal --no-emit-index-url --generate-hashes --python-version 3.11 --all-extras --upgrade pyproject.toml -o requirements.lock

clean:
	rm -rf .venv runs web/node_modules $(PAGE)
