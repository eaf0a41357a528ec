# Every target sets up by itself: each works as the first command on a fresh clone.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench simulate histories fuzz power-loss torture soak reading format translations pins

BIN := .venv/bin
# Where it is set, each of the many processes that tests start would compile all sources anew.
unexport PYTHONDONTWRITEBYTECODE

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

setup:  ## .venv with everything in it, at pinned versions; system packages where it may
	@.ci/setup

demo: setup  ## a realistic demo: the service, and the handheld in a window
	@$(BIN)/patrouille demo

test: setup  ## all tests
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: setup  ## format, lint, types, who imports whom, translations
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python .ci/translations.py check

bench: setup  ## measures, prints a table, writes bench.json
	@$(BIN)/python -m benchmarks

SEEDS ?= 100
FIRST ?= 0
MINUTES ?= inf
simulate: setup  ## seeded faults: networks, crashes, disks, clocks, restores (SEEDS=1000 MINUTES=5)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --first $(FIRST) --minutes $(MINUTES)

power-loss: setup  ## cuts the power at every call of an outbox, an index and a record, at length
	@$(BIN)/python -m tests.crashes.cuts

HISTORIES ?= 100
histories: setup  ## random subscriptions, plates and clocks against a simple model (HISTORIES=100)
	@HISTORIES=$(HISTORIES) $(BIN)/pytest tests/enforcement_api/test_subscription_histories.py

SERVICE ?= 300
HANDHELD ?= 300
SEED ?= 1
torture: setup  ## kill -9 of real processes under load (SERVICE=300 HANDHELD=300 SEED=1)
	@$(BIN)/python -m tests.torture --service $(SERVICE) --handheld $(HANDHELD) --seed $(SEED)

CHECKS ?= 2000
INFRACTIONS ?= 200
KILLS ?= 50
soak: setup  ## a shift through the real window, with kill -9 (CHECKS=2000 INFRACTIONS=200 KILLS=50)
	@$(BIN)/python -m tests.soak --checks $(CHECKS) --infractions $(INFRACTIONS) --kills $(KILLS) --seed $(SEED)

READ ?= ../shared/data/plates-dev
reading: setup  ## how well the plates of a folder of pictures are read (READ=FOLDER)
	@$(BIN)/python -m benchmarks.reading $(READ)

EXAMPLES ?= 1000
fuzz: MINUTES = 12
fuzz: setup  ## spoiled inputs, and schemathesis over the OpenAPI document (EXAMPLES=1000 MINUTES=12)
	@$(BIN)/python -m tests.fuzz --examples $(EXAMPLES) --minutes $(MINUTES)

format: setup  ## formats the sources and repairs what the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

translations: setup  ## brings the .po files up to date with the sources
	$(BIN)/python .ci/translations.py update
	$(BIN)/python setup.py --quiet compile_translations

pins: setup  ## writes what .venv holds to constraints.txt
	@{ sed '/^[^#]/,$$d' constraints.txt; $(BIN)/pip freeze --all --exclude-editable | grep -v '^pip=='; } > constraints.new
	@mv constraints.new constraints.txt
