# Two lines do everything, set-up included: `make search` and `make test`.
# The environment in .venv comes from requirements.lock, every file of it checked by its hash.
# Compiled at once, since otherwise each worker may compile TensorFlow's 10,000 files anew.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
READY := .venv/ready
BENCH_READY := .venv/bench-ready

.PHONY: search test test-all fuzz lint bench lock

search: $(READY)
	$(BIN)/tune-jobs run breast_cancer_tpe

# Two processes, since tests with Ray mostly wait; the tests of a file stay together.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

# With those that take minutes: clusters of several hosts, many kills.
test-all: lint
	$(BIN)/python -m pytest -m ""

# Random input for HOURS, or SECONDS; a case is repeated with ARGS="--seed N --kind KIND --cases 1".
HOURS ?= 1
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz.fuzzing $(if $(SECONDS),--seconds $(SECONDS),--hours $(HOURS)) $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A quick comparison with the fastest peers, beside the committed figures.
bench: $(BENCH_READY)
	$(BIN)/python -m benchmarks.peers --quick

$(BENCH_READY): $(READY) benchmarks/requirements.lock
	@PATH="$$PATH:$$PWD/$(BIN)"; export VIRTUAL_ENV="$$PWD/.venv"; set -x; \
	uv pip install --quiet --compile-bytecode --require-hashes -r benchmarks/requirements.lock
	@touch $(BENCH_READY)

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 was found; name one: make PYTHON=/path/to/python3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@PATH="$$PATH:$$PWD/$(BIN)"; export VIRTUAL_ENV="$$PWD/.venv"; set -x; \
	uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock && \
	uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)

# After a change of the dependencies in pyproject.toml; needs uv.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--group dev pyproject.toml -o requirements.lock
	echo 'tensorflow[and-cuda]' | uv pip compile --quiet --no-header --generate-hashes \
		--no-emit-index-url --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--constraint requirements.lock --extra cluster pyproject.toml - -o cluster/requirements-node.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--constraint requirements.lock --group bench pyproject.toml -o benchmarks/requirements.lock
