# Each target sets up all that it needs; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
bin := .venv/bin
ARGS ?=
# A test waits for Spark and for ranks half of its time; the tests of a file share its sessions, so they stay together.
two_at_a_time := -n 2 --dist loadfile --no-loadscope-reorder

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

setup: ## Create .venv with everything, and build Horovod (done once)
	@scripts/setup.sh

demo: setup ## Run the whole pipeline on real data: raw text to a scored table and a report
	@$(bin)/python scripts/fetch_demo_data.py
	@$(bin)/mapring run conf/demo.yaml $(ARGS)

test: setup ## Run the fast test suite, two files at a time
	@$(bin)/python -m pytest $(two_at_a_time) $(ARGS)

test-slow: setup ## Run the long tests: real kills, the demo twice
	@$(bin)/python scripts/fetch_demo_data.py
	@$(bin)/python -m pytest -m slow $(ARGS)

lint: setup ## Check style, types and import walls
	@$(bin)/ruff check . && $(bin)/ruff format --check . && $(bin)/mypy && $(bin)/lint-imports

bench: setup ## Measure, and write benchmarks/results/*.json
	@$(bin)/python scripts/fetch_demo_data.py
	@$(bin)/python -m benchmarks.demo
	@$(bin)/python -m benchmarks.preprocessing
	@$(bin)/python -m benchmarks.training
	@$(bin)/python -m benchmarks.scoring
	@$(bin)/python -m benchmarks.models
	@$(bin)/python -m benchmarks.operations
	@$(bin)/python -m benchmarks.applications

dist: setup ## Build dist/mapring.zip, what spark-submit's --py-files needs
	@$(bin)/python -m pipelines.archive dist/mapring.zip

airflow: setup ## Make build/airflow, a venv of its own with Airflow 3
	@scripts/setup_airflow.sh

docs: setup ## Rewrite docs/settings.md from the settings
	@$(bin)/python scripts/write_docs.py

constraints: ## Rewrite constraints.txt from what is installed in .venv
	@scripts/write_constraints.sh

clean: ## Remove what was made here, but not .venv
	@rm -rf build dist runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info

.PHONY: help setup demo test test-slow lint bench dist airflow docs constraints clean
