# make demo    set up, then train and compare small students on made-up puzzles (no GPU, no model hub)
# make test    set up, then run the tests
# make check   lint + types + tests
# make bench   benchmarks: tables of ratios, nothing is asserted
# make bench-grader DATA=folder   the grader beside its peers, which get .venv-bench for themselves
# make setup   only set up .venv; make clean removes it

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types check bench bench-grader clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(MAKEFILE_LIST)

setup:
	@$(PYTHON) tools/environment.py

demo: setup
	@$(BIN)/cotdistill generate quickstart -o runs/quickstart
	@OMP_NUM_THREADS=1 $(BIN)/cotdistill run runs/quickstart --jobs 2
	@$(BIN)/cotdistill report runs/quickstart

test:
	@$(PYTHON) tools/environment.py train eval run dev deepspeed
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: setup
	@$(BIN)/mypy

check: lint types test

bench-grader: setup .venv-bench/ready
	@$(BIN)/python benchmarks/grader/bench.py --peers .venv-bench/bin/python $(if $(DATA),--data $(DATA))

.venv-bench/ready: benchmarks/grader/peers.txt
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/pip install -q -r $<
	@touch $@

clean:
	rm -rf .venv .venv-bench
