# `sudo make demo` and `sudo make test` need nothing but git, make and python3 on a Debian machine.
# Why the two constraint variables are there: docs/explanation/building-ryu.md.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.installed-for-tests
CONSTRAINTS := $(CURDIR)/build-constraints.txt
PYTEST := $(BIN)/python -m pytest
SCRIPTS := .ci/run $(wildcard ovs_scripts/*) \
    contrib/keepalived/weave-ryu-notify contrib/pacemaker/weave-ryu vagrant/provision \
    tests/parts tests/vm/build-image

export PIP_CONSTRAINT := $(CONSTRAINTS)
export PIP_BUILD_CONSTRAINT := $(CONSTRAINTS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The steps of `test` share one machine: side by side they would disturb one another.
.NOTPARALLEL:
.PHONY: help install deps test-deps vm-deps demo test test-all lint unit netns models thorough kernel-test host-test sim model mutants faults scale bench lab-up \
    lab-down pictures clean

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14

install: deps $(STAMP) ## install Debian packages and the Python environment in .venv

deps:
	@ovs_scripts/install-deps

test-deps:
	@ovs_scripts/install-deps --tests

vm-deps:
	@ovs_scripts/install-deps --vm

$(STAMP): setup.cfg pyproject.toml build-constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	    echo "make: $(PYTHON) is not Python 3.11 to 3.13: name one that is, as in" \
	        "\`make PYTHON=python3.12 ...\`" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -e .
	@mkdir -p $(VENV)/share/man/man1
	@ln -sf $(CURDIR)/docs/man/weave-ryu.1 $(VENV)/share/man/man1/
	@touch $@

# Most of what pip installs is for the tests; whoever only runs it shall not wait for that.
$(TOOLS): $(STAMP)
	$(BIN)/python -m pip install -e '.[test]'
	@touch $@

demo: install ## build the lab, switch and kill gateways under traffic, print what arrived
	$(BIN)/weave-ryu lab demo

PARTS := test-deps install lint unit netns

test: ## what a newcomer waits for: lint, unit, property, interop, model, the shorter ones in namespaces
	@tests/parts $(PARTS)

test-all: ## everything, as continuous integration does
	@tests/parts $(PARTS) models thorough

lint: $(TOOLS) ## types, style, shell scripts
	$(BIN)/mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/shellcheck $(SCRIPTS)

unit: $(TOOLS) ## tests that need neither root nor Open vSwitch, on all processors
	$(PYTEST) -m 'not netns and not thorough' -n auto --dist loadfile

netns: $(TOOLS) ## the shorter tests on real Open vSwitch in network namespaces, as root
	$(PYTEST) -m 'netns and not thorough' -v

models: $(TOOLS) ## mutants, searches through all states, large meshes: on all processors
	$(PYTEST) -m 'not netns and thorough' -n auto --dist loadfile

thorough: $(TOOLS) ## all other tests on real Open vSwitch in network namespaces, as root
	$(PYTEST) -m 'netns and thorough' -v

kernel-test: vm-deps $(TOOLS) ## the kernel datapath, in a virtual machine that it makes, as root; VM= more options
	$(BIN)/python -m tests.vm $(VM)

host-test: vm-deps $(TOOLS) ## gateways that share no kernel: three virtual machines, as root
	$(BIN)/python -m tests.vm.hosts

SEEDS ?= 10000

sim: $(TOOLS) ## SEEDS (10000) schedules of faults against the simulated mesh; nonzero if one fails
	$(BIN)/python -m tests.sim --seeds $(SEEDS)

model: $(TOOLS) ## every state of small worlds, with two faults
	$(BIN)/python -m tests.statespace

mutants: $(TOOLS) ## look anew for the seeds that catch each seeded bug
	$(BIN)/python -m tests.mutation

faults: install ## every fault that the lab can make, on a host of every role; nonzero if an invariant breaks
	$(BIN)/weave-ryu lab faults

scale: $(TOOLS) ## 100 to 1,000 simulated peers: messages, bytes, processor time, memory
	$(BIN)/python -m tests.scale

bench: test-deps install ## measure everything beside its rivals, and write docs/benchmarks, as root
	$(BIN)/python -m bench

lab-up: install ## build the lab and leave it up
	$(BIN)/weave-ryu lab up

lab-down: ## remove the lab
	$(BIN)/weave-ryu lab down

pictures: test-deps $(TOOLS) ## make the pictures of the documentation anew, and measure the page
	$(BIN)/python tests/web/screenshot.py docs/images
	$(BIN)/python tests/web/measure.py

clean: ## remove the Python environment and caches
	rm -rf $(VENV) build weave_ryu.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
