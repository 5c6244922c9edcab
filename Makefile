# Everything a newcomer needs: make demo, make test. Needs python3 (3.11 or newer) and make, nothing else.
PYTHON ?= python3
SECONDS ?= 60
VENV := .venv
PY := $(VENV)/bin/python
PARALLEL := $(PY) -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup weights demo test test-all static lint bench bench-gpu bench-growth bench-studio train train-smoke eval-miniature eval-masks eval-repaint eval-edges eval-photos test-full-size fuzz docs clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# The virtual environment is ready when this file is newer than pyproject.toml.
$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Darkroom needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	@$(PY) tools/get_u2netp.py || true
	@touch $@

setup: $(VENV)/ready  ## make .venv and install everything into it, and try to get the weights

weights: $(VENV)/ready  ## get the network of the op `subject` (4.6 MB) unless weights/ has it
	@$(PY) tools/get_u2netp.py

demo: setup  ## put a car on Mars, and print where the pictures are
	$(PY) run.py recipe=car_on_mars models=miniature

test: setup  ## run the tests, in parallel (a few minutes)
	$(PARALLEL)

test-all: setup  ## run all tests, including the slow ones
	$(PARALLEL) -m 'not full_size and not sample'

static: setup  ## check style, formatting and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

lint: static  ## the same, and that the pages in docs/ are current
	$(PY) -m pytest tests/docs

bench: setup  ## measure runs beside scripts and the bare models, and write docs/performance.md (15 minutes, keep the machine quiet)
	$(PY) -m benchmarks

bench-gpu: setup  ## the same at full size on a CUDA GPU, with random weights (10 minutes, 9 GB of disk)
	PYTHONPATH=tests $(PY) -m benchmarks.gpu

bench-growth: setup  ## measure time and memory for up to 10,000 photos and a million rows (keep the machine quiet)
	$(PY) -m benchmarks.growth

bench-studio: setup  ## measure in a browser how long clicks in the studio take (needs chromium; 10 minutes)
	PYTHONPATH=tests $(PY) -m benchmarks.studio

train: setup  ## train the miniature models from scratch (hours on a CPU; continues where it stopped)
	$(PY) -m miniature.train

train-smoke: setup  ## test the training code in a minute
	$(PY) -m miniature.train --smoke

eval-miniature: setup  ## measure the miniature models on unseen scenes
	$(PY) -m miniature.evaluate

eval-masks: setup  ## measure how well each op finds objects, on drawn scenes
	$(PY) -m miniature.evaluate_masks

eval-repaint: setup  ## measure the effect of crops and harmonising on repaints
	$(PY) -m miniature.evaluate_repaint

eval-edges: setup  ## measure soft edges on drawn scenes with known alpha (7 minutes)
	$(PY) -m miniature.evaluate_edges

eval-photos: setup  ## measure `subject` on your photos: DIR=folder, true masks in DIR/masks or MASKS=folder
	$(PY) -m benchmarks.eval_photos '$(DIR)' $(if $(MASKS),--masks '$(MASKS)')

test-full-size: setup  ## the real architectures at full size with random weights (16 GB of disk, 20 GiB of memory)
	$(PY) -m pytest -m full_size tests/full_size

fuzz: setup  ## damage records, stores, tables and photos at random; SECONDS=600 for ten minutes
	$(PY) tests/fuzz --seconds $(SECONDS)

docs: setup  ## generate the tables of docs/ops.md from the code, and docs/faults.md from the tests
	$(PY) -m darkroom.stages.parameter_tables docs/ops.md
	$(PY) tests/faults_page.py

clean:  ## remove the virtual environment and caches; results in outputs/ stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
