# Every task of this project is one target here; .ci/run calls the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# processes for tests, most of which wait for others most of the time
JOBS ?= 4
# thousands of states are made while mutants are judged: their disk is memory where there is such a place
FAST_TMP ?= $(or $(wildcard /dev/shm),/tmp)

.PHONY: demo test promises torture week fuzz mutants bench lint check format schema lock clean

demo: $(VENV)/installed ## run against the embedded simulator of Cognito: no AWS, no configuration
	$(BIN)/cognito-auth-exporter demo $(ARGS)

test: $(VENV)/dev $(VENV)/ministack ## all tests
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal $(ARGS)

promises: $(VENV)/dev ## the state machine of tests/promises for as long as it takes, e.g. ARGS=--hypothesis-seed=7
	$(BIN)/python -m pytest tests/promises --hypothesis-profile=long --timeout=0 $(ARGS)

fuzz: $(VENV)/fuzz ## strange documents, minutes of each kind, e.g. ARGS="--target=config --seconds=600 --seed=7"
	$(BIN)/python -m tests.fuzz $(ARGS)

mutants: $(VENV)/mutants ## change what counts and judges in small ways, and list the changes that no test notices
	TMPDIR=$(FAST_TMP) nice $(BIN)/mutmut run --max-children=1 $(ARGS)
	$(BIN)/mutmut results

bench: $(VENV)/dev ## the exporter against boto3 alone, and with many users: one Markdown table
	$(BIN)/python -m bench $(ARGS)

torture: $(VENV)/dev ## kill the exporter again and again: no counter may be lost, doubled or fall
	$(BIN)/python -m torture $(ARGS)

week: $(VENV)/dev ## a simulated week of 10,000 users, with a restart each hour: exact and flat
	$(BIN)/python -m torture.week $(ARGS)

lint: $(VENV)/dev ## ruff and mypy
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

check: lint test ## what has to be green before a commit

format: $(VENV)/dev ## ruff's formatter and safe fixes
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

schema: $(VENV)/installed ## write config.schema.json anew
	$(BIN)/python -m exporter.configuration.schema > config.schema.json

lock: ## pin the image's dependencies anew; run it with PYTHON=python3.13, the image's version
	$(PYTHON) -m venv $(VENV)/lock-env && $(VENV)/lock-env/bin/pip install --quiet pip-tools
	$(VENV)/lock-env/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-header --annotation-style=line --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml

clean: ## remove what the targets above made
	rm -rf $(VENV) build dist mutants *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet --editable . && touch $@

$(VENV)/dev: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[dev]' && touch $@

$(VENV)/fuzz: $(VENV)/dev
	$(BIN)/pip install --quiet --editable '.[fuzz]' && touch $@

$(VENV)/mutants: $(VENV)/dev
	$(BIN)/pip install --quiet --editable '.[mutants]' && touch $@

# In an environment of its own: it pins another version of botocore than ours.
$(VENV)/ministack: $(VENV)/installed
	$(PYTHON) -m venv $(VENV)/ministack-env && $(VENV)/ministack-env/bin/pip install --quiet 'ministack>=1.5.33' && touch $@
