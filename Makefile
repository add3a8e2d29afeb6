# Every task of this project is one target here; .ci/run calls the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# processes for tests, most of which wait for others most of the time
JOBS ?= 4

.PHONY: demo test bench lint check format schema lock clean

demo: $(VENV)/installed ## run against the embedded simulator of Cognito: no AWS, no configuration
	$(BIN)/cognito-auth-exporter demo $(ARGS)

test: $(VENV)/dev $(VENV)/ministack ## all tests
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal $(ARGS)

bench: $(VENV)/dev ## the exporter against boto3 alone, and with many users: one Markdown table
	$(BIN)/python -m bench $(ARGS)

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
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet --editable . && touch $@

$(VENV)/dev: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[dev]' && touch $@

# In an environment of its own: it pins another version of botocore than ours.
$(VENV)/ministack: $(VENV)/installed
	$(PYTHON) -m venv $(VENV)/ministack-env && $(VENV)/ministack-env/bin/pip install --quiet 'ministack>=1.5.33' && touch $@
