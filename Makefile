# A fresh machine needs Python 3.11 (or newer) and make, nothing else.
#
#   make serve         install and start the hub on 127.0.0.1:8080, its data under ./data
#   make demo          install, start a hub of its own, let two providers push people, compare what arrived; DEMO="--keep"
#   make test          install and run every test that needs no more than wheels and minutes
#   make check         lint, types and import contracts
#   make matrix        the rest: servers from elsewhere, every crash point with many seeds; docs/reliability.md has the last result
#   make conformance   write docs/conformance.md from the tests
#   make bench         measure, and write docs/benchmarks.md; BENCH="--quick" for a short run, BENCH="--help" for more
#   make constraints   write constraints.txt from the newest versions that pyproject.toml allows
#   make clean         remove what was built; ./data stays

SHELL := /bin/sh
PYTHON ?= $(shell for python in python3.11 python3 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
BENCH ?=
DEMO ?=
TESTS ?=
# A file of tests stays in one process, which has servers of its own; one file alone needs no second. Three processes on two
# cores, for a test waits a third of its time. In the order of the folders the last files are short; by the number of their
# tests those that take longest would come last.
PARALLEL ?= $(if $(TESTS),,-n 3 --dist loadfile --no-loadscope-reorder)

.PHONY: serve demo test check bench matrix conformance constraints clean

serve: .venv/serve.stamp
	$(BIN)/scimhub serve

demo: .venv/serve.stamp
	$(BIN)/scimhub demo $(DEMO)

test: .venv/test.stamp
	$(BIN)/python -m pytest $(PARALLEL) $(TESTS)

check: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/test.stamp
	$(BIN)/python -m bench $(BENCH)
	$(if $(BENCH),,$(BIN)/python -m bench.delivery)

matrix: .venv/test.stamp
	$(BIN)/python -m pytest -m 'long or ci' $(TESTS)

conformance: .venv/test.stamp
	$(BIN)/python -m tests.conformance

constraints:
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet -e '.[dev]'
	echo "# The exact versions that are tested together. Change them with: make constraints" > constraints.txt
	build/constraints/bin/python -m pip freeze --exclude-editable >> constraints.txt

clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make the second call instant; a change of what is to be installed makes it happen again.

.venv/serve.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -c constraints.txt -e .
	touch $@

.venv/test.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -c constraints.txt -e '.[dev]'
	touch $@ .venv/serve.stamp

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python." >&2; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
