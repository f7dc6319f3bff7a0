# `make demo` and `make test` are all that is needed on a fresh machine: they set up what they use (scripts/setup.sh).
#
# PYTHON=... names an interpreter; FUZZ_SECONDS=... fuzzes for longer; JOBS=... test processes.

FUZZ_SECONDS ?= 60
JOBS ?= 2
# The decoder's Makefile asks for Debian 12's; others will do.
CLANG ?= $(shell command -v clang-14 || command -v clang || echo clang)
export CLANG FUZZ_SECONDS JOBS PYTHON

python := .venv/bin/python
decoder := $(MAKE) --no-print-directory -C firmware_decoder

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow wheel-test lint fuzz size bench bench-full bench-speed clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## Debian packages (as root) and the virtual environment .venv
	@scripts/setup.sh

demo: setup ## compress a real network, decode it here and on emulated microcontrollers, check every step
	@$(python) scripts/demo.py

test: setup ## Python tests, C tests under sanitizers, a minute of fuzzing, firmware images in QEMU
	@$(python) scripts/run_tests.py

test-slow: setup ## the tests that take minutes each
	@$(python) scripts/run_tests.py --slow

wheel-test: setup ## install as a user does (pip install .) in a clean environment, and test from an empty folder
	@scripts/setup.sh wheel build/wheel-venv
	@rm -rf build/empty && mkdir -p build/empty
	cd build/empty && ../wheel-venv/bin/neuralcodec --help >/dev/null
	cd build/empty && ../wheel-venv/bin/python -m pytest -q -n $(JOBS) --rootdir ../.. -c ../../pyproject.toml \
	  -k "not target and not [reference- and not [c- and not [lean-" \
	  ../../tests/test_api.py ../../tests/test_cli.py ../../tests/test_vectors.py ../../tests/test_public_names.py

# mypy wants the package as it is installed: codecs/ and models/ inside neuralcodec/, whose source folder lacks them.
lint: setup ## ruff, mypy --strict, and the C decoder as every compiler here sees it, warnings being errors
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	@rm -rf build/types && mkdir -p build/types/neuralcodec
	@ln -s $(CURDIR)/neuralcodec/* $(CURDIR)/codecs $(CURDIR)/models build/types/neuralcodec/
	@ln -s $(CURDIR)/bench build/types/
	cd build/types && ../../$(python) -m mypy --strict --config-file ../../pyproject.toml -p neuralcodec
	cd build/types && ../../$(python) -m mypy --strict --ignore-missing-imports --config-file ../../pyproject.toml -p bench
	$(decoder) strict

fuzz: setup ## the C decoder on damaged streams, for FUZZ_SECONDS
	@$(decoder) fuzz

size: setup ## code, tables and RAM of the decoder on a Cortex-M4
	@$(decoder) size

bench: setup ## compare codecs on five trained networks; a page in build/bench (resumes)
	@$(python) -m bench run
	@$(python) -m bench report

bench-full: setup ## the same with all networks and long sweeps (hours)
	@$(python) -m pip install -qq --disable-pip-version-check --no-input -c constraints.txt onnx onnxruntime
	@$(python) -m bench run --full
	@$(python) -m bench report

bench-speed: setup ## weights/s of encoding and decoding
	@$(python) bench/speed.py

clean: ## remove all that was built, and .venv
	rm -rf build .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
