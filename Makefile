.DEFAULT_GOAL := help

# Everything runs from a virtual environment of its own: Python, make and git are enough
BIN := .venv/bin

.venv/ready: pyproject.toml
	@echo "Installing the tools of the template into .venv, once: about a minute."
	python3 -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-10s %s\n", $$1, $$2 }'

.PHONY: demo
demo: .venv/ready ## Render the default project in a temporary folder and start it; Ctrl-C stops it
	@$(BIN)/python -m tools.demo

.PHONY: lint
lint: .venv/ready ## Lint and type-check the template's own code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: test
test: lint ## Render, check, build and boot everything
	@TMPDIR=$$(mktemp -d) && export TMPDIR && trap 'rm -rf "$$TMPDIR"' EXIT && trap 'exit 1' INT TERM && \
		$(BIN)/python -m pytest --numprocesses auto --dist loadgroup -m "not swarm" && \
		$(BIN)/python -m pytest -m swarm

.PHONY: bench
bench: .venv/ready ## Measure the default project on this machine; ARGUMENTS=--help lists the options
	@$(BIN)/python -m tools.bench $(ARGUMENTS)
