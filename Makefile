# make compare   see what each pooling does to real digits, and to a network trained on them
# make test      lint, types and tests
# make bench     anypool beside what a user would use instead; writes benchmarks/README.md
#
# Everything happens in .venv. PIP_ARGS goes to pip: where a machine finds only builds of torch with CUDA,
#   make test PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# takes the CPU build.

PYTHON ?= $(shell command -v python3.11 || echo python3)
PIP_ARGS ?=
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)
BUILD_REQUIREMENTS := $(INSTALL) "nanobind>=2.4" "numpy>=2.0"
NATIVE := pyproject.toml CMakeLists.txt $(wildcard csrc/*/*)

.PHONY: compare test test-all lint bench bench-quick kernels sanitize clean

compare: .venv/lab
	$(BIN)/anypool compare --out anypool-report

test: .venv/test lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-all: .venv/test lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "slow or not slow"

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/bench
	$(BIN)/python -m benchmarks

bench-quick: .venv/bench
	$(BIN)/python -m benchmarks --quick

.venv/bin/python:
	$(PYTHON) -m venv .venv

# One stamp per set of dependencies; the package is installed in place, so only its compiled part makes it stale.
.venv/%: .venv/bin/python $(NATIVE)
	$(INSTALL) --editable ".[$*]"
	@touch $@

# The compiled part beside its source, replaced at once, for work with PYTHONPATH=src.
kernels: .venv/bin/python
	$(BUILD_REQUIREMENTS)
	PATH=$(CURDIR)/$(BIN):$$PATH cmake -S . -B build/kernels -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python
	PATH=$(CURDIR)/$(BIN):$$PATH cmake --build build/kernels --parallel
	cp build/kernels/_kernels*.so src/anypool/.kernels.new
	mv src/anypool/.kernels.new src/anypool/$$(basename build/kernels/_kernels*.so)

# The kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer; an editable install must not come first.
SANITIZED := build/sanitize/src
sanitize: .venv/test
	$(BUILD_REQUIREMENTS)
	PATH=$(CURDIR)/$(BIN):$$PATH cmake -S . -B build/sanitize -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	    -DANYPOOL_SANITIZE=ON -DANYPOOL_LEVELS=v3
	PATH=$(CURDIR)/$(BIN):$$PATH cmake --build build/sanitize --parallel 2
	rm -rf $(SANITIZED) && mkdir -p $(SANITIZED)
	cp -r src/anypool $(SANITIZED) && rm -f $(SANITIZED)/anypool/*.so && cp build/sanitize/_kernels*.so $(SANITIZED)/anypool
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$(SANITIZED) $(BIN)/python -c "import sys; \
	    sys.meta_path[:] = [f for f in sys.meta_path if 'ScikitBuild' not in type(f).__name__]; \
	    import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'tests/kernels/test_kernels.py', 'tests/kernels/test_spread.py', 'tests/kernels/test_views.py']))"

clean:
	rm -rf .venv build dist
