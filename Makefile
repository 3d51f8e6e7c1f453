# Two commands for a fresh machine: `make demo` and `make test`. Both make .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := .venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt

# A small batch because the set is small: it makes more updates.
DEMO := data=shapes model=yolov8n.yaml imgsz=320 epochs=18 batch=8 lr0=0.0025 name=demo

.PHONY: help demo test quick check docs fast slow exactness gpu mutants bench bench-peer accuracy clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: .venv/.installed  ## train on the embedded data and say where best.pt, its numbers and the pictures are
	.venv/bin/peakmark train $(DEMO)

test: check fast  ## everything that runs always: style, types, the fast tests

quick: .venv/.developer  ## the tests of parts alone, without trainings and commands
	.venv/bin/python -m pytest -q -n 2 --dist worksteal -m "not slow and not gpu and not trains" tests/architecture tests/unit

check: .venv/.developer
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: .venv/.developer  ## build/site: the documentation in English and Chinese; a link that leads nowhere is an error
	.venv/bin/python tools/documentation.py

fast: .venv/.developer
	.venv/bin/python -m pytest -q -n 2 --dist loadfile -m "not slow and not gpu"

slow: .venv/.developer  ## the tests that take long
	.venv/bin/python -m pytest -q -n 2 --dist loadfile -m "slow and not gpu"

exactness: .venv/.developer  ## interrupted runs against uninterrupted ones, many kills
	.venv/bin/python -m pytest -q tests/exactness tests/crash

gpu: .venv/.developer  ## where a GPU is at hand: peakmark doctor, and the tests that need one
	@.venv/bin/python -c "import sys, torch; sys.exit(not torch.cuda.is_available() and 'No GPU that this PyTorch can use.')"
	.venv/bin/peakmark doctor device=0
	.venv/bin/python -m pytest -q -m gpu

# All of them take hours; SAMPLE= for all, another number for more or fewer.
SAMPLE ?= 600
mutants: .venv/.developer  ## plant small faults in the fold's rooms and count those that a test notices
	.venv/bin/python benchmarks/mutants.py $(if $(SAMPLE),--sample $(SAMPLE))

bench: .venv/.developer bench-peer  ## what docs/benchmarks.md shows, measured again
	.venv/bin/python benchmarks/stages.py
	.venv/bin/python benchmarks/saving.py
	.venv/bin/python benchmarks/prediction_by_format.py
	.venv/bin/python benchmarks/audit.py --images 10000
	.venv/bin/python benchmarks/how_sure.py --only speed
	.venv/bin/python benchmarks/large_set.py --images 100000
	.venv/bin/python benchmarks/pages.py
	.venv/bin/python benchmarks/pages.py --watch

accuracy: .venv/.developer  ## every set, seed by seed, ours and the peer, one table (hours; goes on where it was stopped)
	.venv/bin/python benchmarks/accuracy.py

bench-peer: .venv/.developer  ## the peer and this project in turn: one table of ratios (a quarter of an hour)
	.venv/bin/python benchmarks/against_the_peer.py

clean:  ## remove .venv and what the tools left
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python $(SOURCES)
	$(PIP) --editable .
	@touch $@

.venv/.developer: .venv/.installed
	$(PIP) --editable ".[dev]"
	@# Without what they ask for: supervision's video library has codecs under the GPL, and trackers asks for
	@# opencv-python, which breaks the headless one. The tests use neither.
	$(PIP) --no-deps supervision trackers
	@touch $@
