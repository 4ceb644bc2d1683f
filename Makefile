# What people run: each target is one line of `make help`.
# Written for the oldest make that is still shipped with macOS (3.81) and for a POSIX shell.

VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
INSTALLED := $(VENV)/.installed

# Newest first; `make setup PYTHON=/path/to/python` overrides the search.
PYTHONS := python3.13 python3.12 python3.11 python3
PYTHON :=

# Only `make lock` needs it, so it is not part of the environment itself.
UV := uv==0.13.9

PYTEST_FLAGS :=

# A target's prerequisites are what it needs installed; parallel runs would only fight over two cores.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench soak fuzz crash conformance wheel lock clean place

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

# A second make, since the first has looked at the stamps before `place` may remove them.
setup: place ## make .venv with everything in it, and .venv/bin/squall
	@$(MAKE) --silent --no-print-directory $(INSTALLED)

demo: setup ## run the bundled server through a storm and show what its users lost
	@$(BIN)/squall demo

# Two processes, since most of a test is waiting; a file's tests share what it has started.
test: setup ## run every test
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile $(PYTEST_FLAGS)

lint: setup ## check style, formatting, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## measure the engine and the proxy beside others, and write it to .cache/bench.txt
	@mkdir -p .cache && rm -f .cache/bench.txt
	@$(BIN)/python -m tests.benchmarks.engine --out .cache/bench.txt
	@$(BIN)/python -m tests.benchmarks.proxies --out .cache/bench.txt
	@$(BIN)/python -m tests.benchmarks.precision | tee -a .cache/bench.txt
	@$(BIN)/python -m tests.benchmarks.workers | tee -a .cache/bench.txt
	@$(BIN)/python -m tests.benchmarks.judging | tee -a .cache/bench.txt

soak: setup ## change toxics under 200 live connections for half an hour; memory must stay flat
	@$(BIN)/python -m tests.faults.toxiproxy.soak

fuzz: setup ## play 1,200,000 hostile servers on the wire engine, and ask Toxiproxy 100,000 things
	@$(BIN)/python -m tests.wire.hostile.fuzz --transport http --cases 1000000
	@$(BIN)/python -m tests.wire.hostile.fuzz --transport sse --cases 100000
	@$(BIN)/python -m tests.wire.hostile.fuzz --transport stdio --cases 100000
	@$(BIN)/python -m tests.faults.toxiproxy.fuzz --requests 100000

crash: setup ## kill a hundred faulted runs at random moments and see what is left
	@$(BIN)/python -m tests.crashes

conformance: setup ## drive squall's client with the official conformance suite, both versions
	@$(BIN)/python -m tests.conformance.parts .cache/conformance
	@SQUALL_CONFORMANCE=$(CURDIR)/.cache/conformance $(BIN)/python -m tests.conformance

wheel: setup ## build dist/mcp_squall-*.whl
	@rm -rf build dist
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist
	@rm -rf build

lock: setup ## resolve pyproject.toml again into requirements.lock
	@$(BIN)/python -m venv .cache/lock
	@.cache/lock/bin/python -m pip install --quiet $(UV)
	@.cache/lock/bin/uv pip compile pyproject.toml --group dev --quiet --upgrade \
		--universal --python-version 3.11 --fork-strategy fewest \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--output-file requirements.lock

clean: ## remove everything that make and the tools left, but no run
	rm -rf $(VENV) .cache build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
	find faults harness reports tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment cannot be moved: its scripts name the folder they were made in. So the folder
# is remembered, and an environment that was made elsewhere or whose Python is gone is made anew.
place:
	@case "$$(uname -s)" in Linux|Darwin) ;; *) \
		echo "squall runs on Linux and macOS; this is $$(uname -s)." >&2; exit 1 ;; esac
	@if [ -e $(VENV) ] && { [ "$$(cat $(VENV)/.place 2>/dev/null)" != "$(CURDIR)" ] \
		|| ! $(BIN)/python -c '' 2>/dev/null; }; then \
		echo "$(VENV) belongs to another folder or Python; making it anew"; rm -rf $(VENV); fi
	@if [ ! -e $(VENV) ]; then \
		found=; bare=; \
		for candidate in $(if $(PYTHON),"$(PYTHON)",$(PYTHONS)); do \
			"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
			if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then found=$$candidate; break; fi; \
			bare=$${bare:-$$candidate}; \
		done; \
		if [ -z "$$found" ] && [ -n "$$bare" ]; then \
			echo "$$bare cannot make virtual environments; on Debian or Ubuntu install $$("$$bare" -c \
				'import sys; print("python%d.%d-venv" % sys.version_info[:2])'), then repeat." >&2; exit 1; fi; \
		if [ -z "$$found" ]; then \
			echo "squall needs Python 3.11 or newer, which none of these is: $(or $(PYTHON),$(PYTHONS));" \
				"install one, or name it: make setup PYTHON=/path/to/python3" >&2; exit 1; fi; \
		"$$found" -m venv $(VENV) && printf '%s' "$(CURDIR)" > $(VENV)/.place \
			|| { rm -rf $(VENV); exit 1; }; \
	fi

$(LOCKED): requirements.lock
	@echo "installing the locked packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes --requirement requirements.lock
	@touch $@

$(INSTALLED): pyproject.toml $(LOCKED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--editable .
	@echo "squall is ready: $(BIN)/squall --help"
	@touch $@
