# Every target does all of its own set-up from nothing and is quick when repeated.
#   make demo   fix a real bug of a real package with a real local model     make demo BUG=name  another one
#   make test   everything the project promises, with real models            make check          lint, types, imports
#   make vsix   the VS Code extension                                        make test-editors   plugins and Emacs, really run
ifeq ($(filter oneshell,$(.FEATURES)),)
$(error GNU make 3.82 or newer is needed, this is $(MAKE_VERSION). Cure on macOS: brew install make, then gmake)
endif
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BUG    ?=
SEED   ?= 0
LLAMA  := llama-cpp-python==0.3.36
WHEELS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/patchwright/wheels
FLAGS  := engine/patchwright_engine/model/build_flags.py
EDITORS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/patchwright/editors
VSCODE := editors/vscode
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help setup demo test check format system models-test models-demo vsix test-editors clean
help:
	@sed -n 's/^#  //p' Makefile

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Patchwright needs Python 3.11 or newer. Cure: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	echo "==> virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Cure: install the venv module (Debian: apt install python3-venv)"; exit 1; }

# pip's own wheel cache ignores CMAKE_ARGS, so the wheel is kept under a key of version, flags and Python.
$(VENV)/.llama: $(VENV)/pyvenv.cfg $(FLAGS)
	@wheels="$(WHEELS)/$$($(BIN)/python $(FLAGS) --wheel-key)"
	if ! ls "$$wheels"/llama_cpp_python-*.whl >/dev/null 2>&1; then
	  command -v cc >/dev/null && command -v c++ >/dev/null || { echo "A C and C++ compiler is needed once. Cure: apt install build-essential (macOS: xcode-select --install)"; exit 1; }
	  echo "==> building $(LLAMA), once, about 6 minutes on 2 cores; flags: $$($(BIN)/python $(FLAGS) --cmake-args)"
	  rm -rf "$$wheels.part"
	  CMAKE_ARGS="$$($(BIN)/python $(FLAGS) --cmake-args)" $(PIP) wheel -q --no-deps --no-cache-dir --no-binary llama-cpp-python -w "$$wheels.part" $(LLAMA)
	  rm -rf "$$wheels"; mv "$$wheels.part" "$$wheels"
	fi
	echo "==> installing $(LLAMA)"
	$(PIP) install -q --force-reinstall --no-deps "$$wheels"/llama_cpp_python-*.whl
	touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.llama
	@echo "==> installing Patchwright and its dependencies"
	$(PIP) install -q -e '.[server,llama,dev]'
	touch $@

# Tried once: where bubblewrap cannot be had, every later run would only wait for apt again.
system: $(VENV)/.installed
	@if [ "$$(uname)" = Linux ] && ! command -v bwrap >/dev/null && [ ! -e $(VENV)/.no-bubblewrap ]; then
	  if command -v apt-get >/dev/null && { [ "$$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
	    echo "==> installing bubblewrap, the sandbox for generated code"
	    as_root=""; [ "$$(id -u)" = 0 ] || as_root="sudo -n"
	    { $$as_root apt-get install -y -qq --no-install-recommends bubblewrap || { $$as_root apt-get update -qq && $$as_root apt-get install -y -qq --no-install-recommends bubblewrap; }; } >/dev/null 2>&1 || true
	  fi
	  if ! command -v bwrap >/dev/null; then
	    touch $(VENV)/.no-bubblewrap
	    echo "==> bubblewrap is not installed and may not be installed from here; what serves instead:"
	    $(BIN)/patchwright doctor 2>/dev/null | grep -i -A1 sandbox || true
	  fi
	fi

setup: $(VENV)/.installed system

models-test: setup
	@$(BIN)/patchwright models pull qwen2.5-coder-0.5b
	$(BIN)/python -P -m patchwright_engine.model.selfcheck --check qwen2.5-coder-0.5b

models-demo: setup
	@$(BIN)/patchwright models pull qwen2.5-coder-1.5b
	$(BIN)/python -P -m patchwright_engine.model.selfcheck --check qwen2.5-coder-1.5b

demo: models-demo
	@$(BIN)/python benchmarks/demo.py $(BUG) --seed $(SEED)

check: setup
	@echo "==> ruff, mypy, import contracts"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports 2>/dev/null >$(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }

format: setup
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: check models-test models-demo
	@echo "==> tests, a process for each core"
	passed=0; $(BIN)/python -m pytest -q -m "not model" -n logical --dist worksteal || passed=$$?
	echo "==> tests with the real 0.5B and 1.5B models, which want the cores for themselves"
	PATCHWRIGHT_REQUIRE_MODELS=1 $(BIN)/python -m pytest -q -m model
	exit $$passed

# Node comes from PyPI, in the version that VS Code's server asks for, so that nothing but Python needs to be there.
$(VSCODE)/node_modules/.package-lock.json: $(VSCODE)/package-lock.json
	@tests/e2e/vscode/install.sh node "$(EDITORS)" $(PYTHON)
	echo "==> npm packages of the VS Code extension"
	cd $(VSCODE) && PATH="$(EDITORS)/node/bin:$$PATH" npm ci
	touch node_modules/.package-lock.json

vsix: $(VSCODE)/node_modules/.package-lock.json
	@cp LICENSE $(VSCODE)/LICENSE
	cd $(VSCODE) && PATH="$(EDITORS)/node/bin:$$PATH" npm run --silent package

test-editors: setup vsix
	@tests/e2e/vscode/install.sh all "$(EDITORS)" $(PYTHON)
	tests/e2e/emacs/install.sh
	(cd $(VSCODE) && PATH="$(EDITORS)/node/bin:$$PATH" npm run --silent test)
	PATCHWRIGHT_REQUIRE_EDITORS=1 PATCHWRIGHT_TEST_EDITORS="$(EDITORS)" $(BIN)/python -m pytest -q tests/e2e -m editor

clean:
	rm -rf $(VSCODE)/node_modules $(VSCODE)/dist $(VSCODE)/patchwright.vsix
	rm -rf $(VENV) build dist demo-work .mypy_cache .ruff_cache .pytest_cache .hypothesis
