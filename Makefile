# Everything a checkout needs. Each target sets up .venv by itself; a second call re-uses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The peers of `make bench` that are too heavy for the environment of the project
PEERS := .venv-peers
# Where to take another build of torch from: make demo TORCH_INDEX=https://...
TORCH_INDEX ?=
# Further arguments for pytest: make test PYTEST_ARGS="-k spool -x"
PYTEST_ARGS ?=
# Which service: its home, its name; SYSTEM=1 for the hardened unit, DESTDIR and PREFIX for packages of that
SERVICE_HOME ?= $(HOME)/roundhouse
SERVICE_NAME ?= roundhouse
SYSTEM ?=
DESTDIR ?=
PREFIX ?=
# How much torture: make torture TORTURE="--kills 10000 -k kill"
TORTURE ?=

# One more than there are cores: many tests wait for a daemon that waits.
PYTEST_WORKERS ?= $(shell expr $$(nproc) + 1)

.DELETE_ON_ERROR:
.PHONY: help demo test lint types pytest torture fault-matrix bench bench-peers install-service \
  uninstall-service clean

help:
	@echo 'make demo    watch a small search round train, prune, promote and report'
	@echo 'make test    lint, types and all tests'
	@echo 'make lint    ruff check, ruff format --check'
	@echo 'make types   mypy --strict on scheduler and policies'
	@echo 'make torture kills, power cuts, full disks and fuzzing for hours; TORTURE="--kills 100" for less'
	@echo 'make fault-matrix  write docs/fault-matrix.md: what can go wrong, how it ends, the test that proves it'
	@echo 'make install-service, make uninstall-service   have systemd look after the daemon; systemd/README.md'
	@echo 'make bench   measure the figures of benchmarks/RESULTS.md'
	@echo 'make bench-peers   install the peers that it compares with, into .venv-peers (2.5 GB)'
	@echo 'make clean   remove .venv and caches; queue/, results/ and .demo/ stay'

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, and $(PYTHON) is not: say PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
	  { rm -rf $(VENV); echo "no virtual environment (on Debian: apt install python3-venv)" >&2; exit 1; }
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt torch --index-url $(TORCH_INDEX))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/schedctl demo

test: lint types pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

pytest: $(INSTALLED)
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist worksteal $(PYTEST_ARGS)

torture: $(INSTALLED)
	$(BIN)/python -m pytest --torture tests/torture -s --timeout 0 $(TORTURE)

fault-matrix: $(INSTALLED)
	$(BIN)/python tests/fault_matrix.py

bench: $(INSTALLED)
	$(BIN)/python benchmarks/status_latency.py
	$(BIN)/python benchmarks/handover.py
	$(BIN)/python benchmarks/cached_round.py
	$(BIN)/python benchmarks/demo_round.py
	$(BIN)/python benchmarks/training_speed.py
	$(BIN)/python benchmarks/idle_daemon.py
	$(BIN)/python benchmarks/recovery.py
	$(BIN)/python benchmarks/planning.py
	$(BIN)/python benchmarks/policies/simulate.py
	$(BIN)/python benchmarks/peers/compare.py --write

bench-peers: $(PEERS)/.installed

$(PEERS)/.installed: benchmarks/peers/requirements.txt constraints.txt
	@$(PEERS)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(PEERS)
	$(if $(TORCH_INDEX),$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt torch --index-url $(TORCH_INDEX))
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  -r benchmarks/peers/requirements.txt
	@touch $@
	@command -v tsp >/dev/null || echo "task-spooler is a system package: apt install task-spooler"

SERVICE = $(if $(SYSTEM),,--home "$(SERVICE_HOME)") service
WHICH_SERVICE = --name "$(SERVICE_NAME)" $(if $(SYSTEM),--system) $(if $(DESTDIR),--root "$(DESTDIR)") \
  $(if $(PREFIX),--prefix "$(PREFIX)")

install-service: $(INSTALLED)
	@$(BIN)/schedctl $(SERVICE) install $(WHICH_SERVICE)

uninstall-service: $(INSTALLED)
	@$(BIN)/schedctl $(SERVICE) remove $(WHICH_SERVICE)

clean:
	rm -rf $(VENV) $(PEERS) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
