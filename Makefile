# make compare   see what each pooling does to real digits, and to a network trained on them
# make test      lint, types and tests
# make docs      the documentation site, in build/docs/html
# make bench     anypool beside what a user would use instead; writes benchmarks/README.md
# make help      all the others
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

.PHONY: help compare test test-all ways-out lint docs readme picture bench bench-quick bench-against kernels sanitize clean

help:
	@echo "make compare        what each pooling does to real digits, and to a network trained on them"
	@echo "make test           lint, types and tests"
	@echo "make test-all       the same with the long sweeps"
	@echo "make ways-out       the long sweeps of compiled, exported and converted programs; writes their page of the docs"
	@echo "make lint           ruff and mypy"
	@echo "make docs           the documentation site, in build/docs/html"
	@echo "make readme         the table of operators in README.md"
	@echo "make picture        the picture of the playground in README.md; wants a Chromium"
	@echo "make bench          anypool beside every peer, half an hour; writes benchmarks/README.md"
	@echo "make bench-quick    a few cases and peers, two minutes"
	@echo "make bench-against COMMIT=main [GROUP=kernels] [ONLY=text]    this working tree beside another commit"
	@echo "make kernels        the compiled part beside its source, for work with PYTHONPATH=src"
	@echo "make sanitize       the kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make clean          remove .venv, build and dist"

compare: .venv/lab
	$(BIN)/anypool compare --out anypool-report

test: .venv/test lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-all: .venv/test lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "slow or not slow"

# Two hours on two cores. What failed stands in the page.
ways-out: .venv/test
	$(BIN)/python -m pytest -q -n 2 -m "slow or not slow" --junitxml=build/ways-out.xml \
	    tests/torch/test_ways_out.py tests/jax/test_ways_out.py tests/keras/test_tensorflow_ways_out.py || true
	$(BIN)/python tests/support/ways_out_table.py build/ways-out.xml docs/explained/ways-out.md

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/bench
	$(BIN)/python -m benchmarks

bench-quick: .venv/bench
	$(BIN)/python -m benchmarks --quick

# GROUP: kernels, operators, jax or torch-networks. ONLY: rows whose name contains it.
COMMIT ?= main
GROUP ?= kernels
ONLY ?=
bench-against: .venv/bench kernels
	$(BIN)/python -m benchmarks --against "$(COMMIT)" --group $(GROUP) --only "$(ONLY)"

# Warnings are errors; -n also of references to names that are not there. The doctree cache is apart from the pages.
docs: .venv/docs
	$(BIN)/python -m sphinx -W -n --keep-going -q -d build/docs/doctrees -b html docs build/docs/html
	@echo "The site is build/docs/html/index.html"

readme: .venv/docs
	KERAS_BACKEND=jax $(BIN)/python docs/_ext/operator_pages.py --fill README.md

# The picture of the playground in README.md; wants a Chromium.
picture: .venv/test
	$(BIN)/python docs/_ext/playground_pages.py --picture

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
	    import pytest; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', 'tests/kernels/test_kernels.py', 'tests/kernels/test_spread.py', 'tests/kernels/test_views.py', 'tests/kernels/test_integer_averages.py', '-k', 'not costs']))"

clean:
	rm -rf .venv build dist
