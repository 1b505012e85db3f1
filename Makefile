# `make demo` and `make test` need only python3 (3.11 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test soak lint docs docs-check wheel wheel-test clean

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("uncrowd needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $@

demo: setup
ifndef DEMO
	rm -rf demo
endif
	$(BIN)/uncrowd demo $(DEMO)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Two workers take whole files, so that each makes shared fixtures once; more threads would only slow them down.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

# Builds the site from docs/ and from the code. A broken link is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Runs each command of README.md and docs/get_started.md on tiny data.
docs-check: setup
	$(BIN)/python -m tests.docs.run_commands

# Builds the source distribution and the wheel into dist/.
wheel: setup
	rm -rf build dist
	$(BIN)/python -m build

# Installs the wheel alone in a fresh environment, and predicts and scores with it.
wheel-test: wheel
	$(BIN)/python -m tests.wheel.check dist/*.whl

clean:
	rm -rf .venv build demo dist site
