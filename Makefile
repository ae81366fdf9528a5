# Everything that one does with LiteMaaS, one word each; `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n auto --dist worksteal
# The folder with the tool that runs a real LiteLLM for the contract tests.
export LITELLM_SHARED ?= ../shared/litellm

.DEFAULT_GOAL := help
.PHONY: help demo test check lint pytest bench convergence coverage format messages lock upgrade real-litellm screenshots clean

help: ## Say what each target does.
	@echo "LiteMaaS - make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile
	@echo "Settings: PYTHON=$(PYTHON) (3.11 or newer) makes $(VENV); PORT, DATA_DIR and others of the demo: docs/settings.md"

# `exec`: the demo takes the shell's place, so that what ends make (Ctrl-C, SIGTERM) reaches it and make waits for it.
demo: $(VENV)/.demo ## Run the whole product on this machine; Ctrl-C ends it, the data stay.
	@exec $(BIN)/python manage.py demo

test: check ## Set up what is needed and run every check and test (but those that need a real LiteLLM).

check: lint pytest ## The same without a second name: what CI runs.

lint: $(VENV)/.dev ## Style, types, import contracts, forgotten migrations, system checks.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy .
	$(BIN)/lint-imports
	@# Without a database Django warns that it cannot compare the history; only the models matter here.
	DEBUG=1 $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	DEBUG=1 $(BIN)/python manage.py check

pytest: $(VENV)/.dev ## The tests alone; PYTEST_ARGS="-k budget" narrows them down.
	$(BIN)/python -m pytest $(PYTEST_ARGS)

SIZE ?= S L
CONNECTIONS ?= 1 8 32
SECONDS ?= 3
bench: $(VENV)/.dev ## Measure the product on the benchmark's data; SIZE="S L", CONNECTIONS="1 8 32", SECONDS=3; needs wrk.
	@code=0; for size in $(SIZE); do \
		$(BIN)/python -m tests.performance --size $$size --connections "$(CONNECTIONS)" --seconds $(SECONDS) $(BENCH_ARGS) \
			|| code=$$?; \
	done; exit $$code

# The limit on a test that hangs would end it: to make a failure short takes long.
convergence: $(VENV)/.dev ## Thousands of random steps in bad weather, and whether LiteLLM agrees in the end; for the night.
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n 2 -o faulthandler_timeout=0 tests/convergence

coverage: $(VENV)/.dev ## The tests, and which branches they did not take.
	$(BIN)/python -m pytest $(PYTEST_ARGS) --cov --cov-report=term

format: $(VENV)/.dev ## Repair what can be repaired without thinking.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

messages: $(VENV)/.dev ## Collect the texts for translation and compile the translations; needs xgettext.
	@command -v xgettext >/dev/null || \
		{ echo "xgettext is missing; Debian and Ubuntu: apt install gettext, Fedora: dnf install gettext, macOS: brew install gettext" >&2; exit 1; }
	DEBUG=1 $(BIN)/python manage.py messages

real-litellm: $(VENV)/.dev ## Start both supported LiteLLM versions, run the tests that need them, stop them again.
	.ci/real-litellm up
	@.ci/real-litellm test; code=$$?; .ci/real-litellm down; exit $$code

screenshots: $(VENV)/.dev ## Take every page in every state into .data/screenshots; DOCS=1: the documentation's pictures.
	@DJANGO_SETTINGS_MODULE=tests.settings $(BIN)/python -W ignore manage.py shell --no-imports \
		-c 'from tests.e2e import screenshots; raise SystemExit(screenshots.main())'

COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(UPGRADE) pyproject.toml
lock: $(VENV)/.dev ## Write requirements/*.txt again after a change in pyproject.toml.
	$(COMPILE) --extra demo --extra dev --output-file requirements/dev.txt
	$(COMPILE) --extra demo --constraint requirements/dev.txt --output-file requirements/demo.txt
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/base.txt

upgrade: ## The same with the newest versions of everything.
	$(MAKE) lock UPGRADE=--upgrade

clean: ## Remove the virtual environment and caches; the demo's data in .data stay.
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "LiteMaaS needs Python 3.11 or newer; choose one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# The lists are complete, so nothing is resolved (--no-deps): old pips look at newer releases first, whose hashes are unknown.
# The stamps are older than the lists when these change. What dev.txt installs includes what demo.txt does.
$(VENV)/.demo: requirements/demo.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@ $(VENV)/.demo
