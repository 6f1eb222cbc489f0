# One word for everything. `make demo` and `make test` set up what they need on a fresh machine.
.PHONY: help setup demo up test check docs screenshots format bench clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## the Python environments (.venv, .venvs/*); a second when nothing changed
	@deploy/setup.sh core
	@.venv/bin/agent-assets setup

demo: setup ## train and score the sample agents; again at once: everything is reused
	@.venv/bin/agent-assets demo

up: setup ## MongoDB, the Dagster UI and its daemon; Ctrl-C stops all of it
	@.venv/bin/agent-assets up

test: setup ## all tests
	@deploy/test-packages.sh
	@deploy/test-environments.sh
	.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: ## lint, format, types, docs, bill of materials, known holes
	@deploy/setup.sh core
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python docs/check.py
	@deploy/docs.sh
	@deploy/audit.sh

docs: ## the documentation site, in build/docs/site; warnings are errors
	@deploy/setup.sh core
	@deploy/docs.sh

screenshots: ## the pictures of the documentation anew, from the real pages (needs chromium)
	@deploy/test-packages.sh
	@PYTHONPATH=tests .venv/bin/python -m docs.website.screenshots

format: ## rewrite the code the way `check` wants it
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
