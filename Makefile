# The one way to run things; README's two commands are `make run` and `make test`.
# Each target sets up what is missing in .venv first.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DOCS_INSTALLED := .venv/.installed-docs
# The extension module, built into src/recfunnel/runtime; rebuilt when its sources change.
NATIVE := .venv/.native
NATIVE_SOURCES := $(wildcard native/*.[ch]pp native/kernels/*.[ch]pp)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
RUN ?= runs/quick

.PHONY: run test fast lint types imports docs bench native sanitize scalesim clean

run: $(NATIVE)
	$(BIN)/recfunnel run --out $(RUN)

test: $(NATIVE)
	$(BIN)/pytest

fast: $(NATIVE)
	$(BIN)/pytest -m "not slow and not data"

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

imports: $(INSTALLED)
	$(BIN)/lint-imports --no-logo

docs: $(DOCS_INSTALLED)
	$(BIN)/mkdocs build --strict

bench: $(NATIVE)
	$(BIN)/python benchmarks/all.py

native: $(NATIVE)

# The native tests once more, on a module that watches every access and every overflow. Its sources
# lie beside it in a copy, which -S puts before the editable install. The preloaded libraries are
# g++'s; what Python leaks is not looked at.
SANITIZED := $(CURDIR)/build/sanitized
SANITIZED_TESTS := $(wildcard tests/test_native_*.py)
sanitize: $(INSTALLED)
	mkdir -p $(SANITIZED)
	rm -rf $(SANITIZED)/src
	cp -R src $(SANITIZED)/
	rm -f $(SANITIZED)/src/recfunnel/runtime/_native.*.so
	$(BIN)/cmake -G Ninja -S . -B $(SANITIZED)/native -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	  -DRECFUNNEL_SANITIZE=address,undefined -DRECFUNNEL_OUTPUT=$(SANITIZED)/src/recfunnel/runtime
	$(BIN)/cmake --build $(SANITIZED)/native
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 PYTHONDONTWRITEBYTECODE=1 \
	  PYTHONPATH=$(SANITIZED)/src:$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
	  $(BIN)/python -S -m pytest -p no:xdist --capture=no $(SANITIZED_TESTS)

# SCALE-Sim simulates the layers of tests/scalesim anew, in an environment of its own because it needs
# an older numpy; what it reports must be what is kept there. Where it cannot be had, that is said.
SCALESIM := build/scalesim
scalesim:
	test -x $(SCALESIM)/bin/python || $(PYTHON) -m venv $(SCALESIM)
	@if timeout 300 $(SCALESIM)/bin/python -m pip install --quiet --disable-pip-version-check \
	    'scalesim==3.0.0' 'numpy<2.4'; then \
	  timeout 120 $(SCALESIM)/bin/python tests/scalesim/run_layers.py $(SCALESIM)/layers.csv && \
	  diff tests/scalesim/layers.csv $(SCALESIM)/layers.csv && echo "SCALE-Sim reports what is kept"; \
	else echo "skipped: scalesim 3.0.0 cannot be installed here"; fi

# Built without isolation: the build folder native/inplace outlives the installation, so the tools
# and nanobind's sources have to as well.
$(INSTALLED): pyproject.toml constraints.txt CMakeLists.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) cmake nanobind ninja scikit-build-core
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) --no-build-isolation --editable '.[dev]'
	touch $@

$(NATIVE): $(INSTALLED) $(NATIVE_SOURCES)
	$(BIN)/cmake --build native/inplace
	touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PIP) --no-build-isolation --editable '.[dev,docs]'
	touch $@

clean:
	rm -rf .venv build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -f src/recfunnel/runtime/_native.*.so
	find native/inplace -mindepth 1 ! -name .gitignore ! -name CMakeLists.txt -delete
