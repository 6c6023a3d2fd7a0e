# The study as a graph: which notebook makes which file, for which filter, arm and seed. Run it with `make study`.
# Elsewhere than here: `snakemake --profile parameters/slurm --config study=small -n` lists the jobs, without -n it runs them.
# The working folder is runs/<study>, so every study has its own lock and its own history. Only whole files are declared:
# checkpoints, finished answer batches and scored tasks lie outside, and a killed job goes on from them.
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir)))
from helpers.analysis import control
from helpers.search.tool import DROPPED
from helpers.training import launch
from helpers.workflow import gpus
from helpers.study.study import UNTRAINED, open_study

S = open_study(config.get("study", "quickstart"))
workdir: S.folder
STUDY = shlex.quote(str(S.reference()))
RUN = f"OMP_NUM_THREADS={{threads}} {shlex.quote(sys.executable)} -m helpers.workflow.execute"
ON_GPU = "GPUS={resources.gpu} GPU_PARTS={resources.gpu_parts} " + RUN  # lent in twelfths, see helpers/workflow/gpus.py
MODELS = ["/".join(parts) for parts in S.scored()]
wildcard_constraints: filter="[^/]+", arm="[^/]+", seed=r"\d+", step=r"\d+"

INDEX = [DROPPED] if S.search else []
DRAW = Path(S.draw_pattern).parts[1:-1]  # {arm}, and seed{seed} unless all seeds share a fixed draw
SCORING = gpus.parts(S.eval.runs_per_gpu)

def gpu(wildcards):
    _, processes, _ = launch.accelerate(S, wildcards.arm)
    return processes

def gpu_parts(wildcards):
    return gpu(wildcards) * gpus.parts(S.training(wildcards.arm).runs_per_gpu)

def labels(wildcards):
    name = S.arms[wildcards.arm].filter
    return [f"filter/{name}/labels.parquet"] if name else []

# Priorities keep all cores busy until the end: an arm without a filter is trained and scored first, so that the scores of the untrained
# model, for which all others wait, and its own are not left over when the last filtered arms are scored.
def training_priority(wildcards):
    return 2 if S.arms[wildcards.arm].filter else 5

def scoring_priority(wildcards):
    return 1 if S.arms[wildcards.arm].filter else 3

rule report:
    input: [f"notebooks/{page}.ipynb" for page in S.notebooks()]
    output: "report/index.html"
    shell: f"{shlex.quote(sys.executable)} -m helpers.report.build {STUDY} --quiet"

rule filter:
    input: lambda w: INDEX if S.filters[w.filter].search else []
    output: "filter/{filter}/labels.parquet", page="notebooks/01_filter-{filter}.ipynb"
    params: lambda w: S.inputs("filter", filter=w.filter)
    priority: 4
    resources: gpu=1, gpu_parts=lambda w: gpus.parts(S.filters[w.filter].runs_per_gpu)
    shell: ON_GPU + f" 01_filter {{output.page}} study={STUDY} filter={{wildcards.filter}}"

rule set_aside:  # what no arm may draw, and the index of the search tool
    output: "split/overlaps.parquet", "split/held_out.parquet", *INDEX
    params: S.inputs("overlaps"), S.inputs("held_out"), *([S.inputs("search")] if S.search else [])
    priority: 6
    shell: f"{shlex.quote(sys.executable)} -m helpers.evaluation.set_aside {STUDY}"

rule split:
    input: labels, "split/overlaps.parquet", "split/held_out.parquet"
    output: S.draw_pattern, page=f"notebooks/02_split-{'-'.join(DRAW)}.ipynb"
    params: lambda w: S.inputs("split", arm=w.arm, seed=int(w.get("seed", 0)))
    priority: 6
    shell: RUN + f" 02_split {{output.page}} study={STUDY} arm={{wildcards.arm}}" + " seed={wildcards.seed}" * (len(DRAW) - 1)

rule train:
    input: S.draw_pattern
    output: "train/{arm}/seed{seed}/log.csv", "train/{arm}/seed{seed}/completions.parquet",
        page="notebooks/03_grpo_train-{arm}-seed{seed}.ipynb"
    params: lambda w: S.inputs("train", arm=w.arm, seed=int(w.seed))
    priority: training_priority
    resources: trainings=1, gpu=gpu, gpu_parts=gpu_parts
    shell: ON_GPU + f" 03_grpo_train {{output.page}} study={STUDY} arm={{wildcards.arm}} seed={{wildcards.seed}}"

BEFORE = ancient(f"eval/{UNTRAINED}/scores.parquet")  # shown beside every model; newer scores of it change no other model's

rule eval_untrained:
    input: ["split/held_out.parquet"] if S.split.held_out else [], INDEX
    output: f"eval/{UNTRAINED}/scores.parquet", page=f"notebooks/04_eval-{UNTRAINED}.ipynb"
    params: S.inputs("eval")
    priority: 4
    resources: gpu=1, gpu_parts=SCORING
    shell: ON_GPU + f" 04_eval {{output.page}} study={STUDY} arm={UNTRAINED}"

rule eval:
    input: "train/{arm}/seed{seed}/log.csv", BEFORE
    output: "eval/{arm}/seed{seed}/scores.parquet", page="notebooks/04_eval-{arm}-seed{seed}.ipynb"
    params: S.inputs("eval")
    priority: scoring_priority
    resources: gpu=1, gpu_parts=SCORING
    shell: ON_GPU + f" 04_eval {{output.page}} study={STUDY} arm={{wildcards.arm}} seed={{wildcards.seed}}"

rule eval_checkpoint:  # a step before the last, on the held-out part of the pool
    input: "train/{arm}/seed{seed}/log.csv", BEFORE
    params: S.inputs("eval")
    output: "eval/{arm}/seed{seed}/step{step}/scores.parquet", page="notebooks/04_eval-{arm}-seed{seed}-step{step}.ipynb"
    resources: gpu=1, gpu_parts=SCORING
    shell: ON_GPU + f" 04_eval {{output.page}} study={STUDY} arm={{wildcards.arm}} seed={{wildcards.seed}} step={{wildcards.step}}"

rule analysis:
    input: [f"eval/{model}/scores.parquet" for model in MODELS], [f"train/{arm}/seed{seed}/log.csv" for arm in S.arms for seed in S.seeds],
        [f"filter/{name}/labels.parquet" for name in S.filters], ["/".join(["split", *draw, "train.parquet"]) for draw in S.draws()]
    output: "tables/comparison.csv", page="notebooks/05_analysis.ipynb"
    params: control.inputs(S)
    shell: RUN + f" 05_analysis {{output.page}} study={STUDY}"
