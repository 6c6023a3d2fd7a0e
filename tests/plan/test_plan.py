"""The plan of a study before anything is downloaded: parameter counts, memory against measurement, text for a terminal."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import REPOSITORY, refused

from helpers.models import shape as model_shape
from helpers.models.shape import GIB
from helpers.plan import cost, machine, measured, memory, needs, plan, sizes
from helpers.study.files import StudyError
from helpers.study.schema import Lora, Train
from helpers.study.study import open_study

MEASURED = pd.read_csv(REPOSITORY / "figures" / "plan" / "measured_memory.csv")
ON_A_GPU = pd.read_csv(REPOSITORY / "figures" / "plan" / "measured_memory_gpu.csv")
BYTES = {"float32": 4, "bfloat16": 2}


def shape(model: str) -> model_shape.Shape:
    return model_shape.shape(model_shape.known_models()[model])


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    """No model is on this computer's disk, whatever is."""
    monkeypatch.setenv("MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("OFFLINE_MIRROR", raising=False)


@pytest.mark.parametrize("model", model_shape.known_models())
def test_parameters_counted_from_the_shape_are_the_hubs_total(model):
    assert shape(model).parameters() == pytest.approx(model_shape.known_models()[model]["parameters"], rel=0.02)


def test_parameters_and_adapter_are_those_of_a_real_model(tiny):
    """Counted by the formula and by torch, for a model with grouped keys made in the tests."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tiny / "mirror" / "tiny" / "llama"
    model = AutoModelForCausalLM.from_pretrained(folder)
    known = model_shape.from_config(json.loads((folder / "config.json").read_text()))
    assert known.parameters() == sum(p.numel() for p in model.parameters())
    for targets in ("all-linear", ["q_proj", "v_proj"]):
        adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), LoraConfig(r=4, target_modules=targets))
        trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
        assert memory.adapter_parameters(known, Lora(r=4, target_modules=targets)) == trained


@pytest.mark.parametrize(
    "row",
    [*MEASURED.to_dict("records"), *ON_A_GPU.to_dict("records")],
    ids=lambda row: f"{row['model']}-{row['completion_tokens']}",
)
def test_memory_within_a_quarter_of_what_was_measured(row):
    train = Train(
        method=row["method"], gradient_checkpointing=row["gradient_checkpointing"], batch_size=row["batch"],
        max_completion_tokens=row["completion_tokens"])  # fmt: skip
    at = memory.precision(row["method"], BYTES[row["dtype"]], gpu=row["machine"].startswith("NVIDIA"))
    parts = memory.training_bytes(shape(row["model"]), train, at, row["prompt_tokens"], row["completion_tokens"])
    assert memory.training_peak(parts) / 1e9 == pytest.approx(row["measured_gb"], rel=0.25)
    assert memory.training_peak(parts) / 1e9 == pytest.approx(row["estimated_gb"], abs=0.002), "the table is of another formula"


def test_four_times_the_weights_is_not_as_good():
    """What accelerate's estimator says of training with Adam, in the model's dtype; `helpers/plan/memory.py` cites the count."""
    rows = pd.concat([MEASURED, ON_A_GPU])
    simple = [4 * shape(row.model).parameters() * BYTES[row.dtype] / 1e9 for row in rows.itertuples()]
    assert ((rows["measured_gb"] / simple).between(0.8, 1.25).sum(), len(rows)) == (4, 11)


def test_measured_on_two_sizes_and_two_lengths_of_each():
    shapes = MEASURED.groupby("model")[["dtype", "completion_tokens"]].apply(lambda rows: len(rows.drop_duplicates()))
    assert len(shapes) >= 2
    assert shapes.min() >= 2


def test_cache_by_hand():
    """Two layers, one of them with a window of 4; 3 key heads of width 5 in bfloat16; 7 sequences of 10 tokens."""
    small = model_shape.Shape("gemma3", 2, 8, 16, 3, 3, 5, 100, True, window=4, global_every=2)
    assert model_shape.cache_bytes(small, 2, 7, 10) == 2 * (3 * 5) * 2 * 7 * (10 + 4)


def test_what_saves_memory_in_training():
    model = shape("Qwen/Qwen2.5-Coder-1.5B-Instruct")

    def peak(**changes) -> float:
        train = Train(**changes)
        return memory.training_peak(memory.training_bytes(model, train, memory.precision(train.method, 2, True), 400, 512))

    assert peak(gradient_checkpointing=True) < 0.5 * peak()
    assert peak(method="qlora") < peak() < peak(method="full")
    assert peak(batch_size=1, gradient_accumulation=12) < peak()
    assert peak(method="full", gradient_checkpointing=True) > 16 * model.parameters()  # float32 weight, gradient, two moments


def test_a_model_on_disk_counts_as_it_is_there(monkeypatch, tmp_path):
    """The same model with its output layer stored apart, as in a mirror made from GGUF, is larger; and not downloaded."""
    study = open_study("small")
    (before,) = [row for row in sizes.model_rows(study) if row["use"].startswith("trained")]
    folder = tmp_path / "mirror" / study.model.id
    folder.mkdir(parents=True)
    config = {"model_type": "qwen2", "num_hidden_layers": 28, "hidden_size": 1536, "intermediate_size": 8960, "vocab_size": 151936,
              "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": False}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("OFFLINE_MIRROR", str(tmp_path / "mirror"))
    (after,) = [row for row in sizes.model_rows(study) if row["use"].startswith("trained")]
    assert after["parameters"] - before["parameters"] == 151936 * 1536
    assert (before["where"], after["where"]) == ("hub", "here (mirror)")
    assert (round(before["download"], 1), after["download"]) == (3.1, 0)
    (folder / "config.json").write_text("{")
    with pytest.raises(StudyError, match="cannot be read as JSON"):
        model_shape.shape_of(study.model.id)


def test_paper_on_24_gb_and_what_would_fit():
    study, on = open_study("paper"), machine.machine("24GB")
    said = {need.step.split()[1]: needs.fit(need, on) for need in needs.needs(study, on)}
    assert [fits for fits, _ in said.values()] == [False] * 3
    assert "method: qlora" in said["train"][1]
    assert "a GPU of" in said["filter"][1]
    text = plan.report(study, on)
    assert "microsoft/phi-4          14,660 M  29.32 GB" in text
    assert "To accept first, on the model's page on the hub: google/gemma-3-12b-it, google/gemma-3-27b-it" in text
    assert text.splitlines()[-1].startswith("paper on a GPU of 24 GB: does not fit (01 filter, 03 train, 04 eval); about ")


@pytest.mark.parametrize(("free", "end"), [(75e9, " GB of disk (75 GB are free)."), (900e9, " GB of disk.")])
def test_too_little_disk_is_part_of_the_conclusion(monkeypatch, free, end):
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert plan.report(open_study("paper"), machine.machine("80GB")).endswith(end)


def test_small_on_80_gb_fits():
    text = plan.report(open_study("small"), machine.machine("80GB"))
    assert text.splitlines()[-1].startswith("small on a GPU of 80 GB: fits; about ")
    assert "3 filters, 4 splits, 12 trainings, 13 evaluations, 1 analysis, 1 report: 34 in all" in text


def test_the_hardware_that_the_table_of_studies_states():
    """80 GB for every study; 24 GB for the small ones with one job at a time, 48 GB for all parameters and for steps of 192 completions."""
    assert (
        "one 80 GB GPU, or 24 GB with `engine: transformers` and `runs_per_gpu: 1` in `train` and `eval` (48 GB for `full`, `medicine` and `letters`)"
        in (REPOSITORY / "parameters" / "README.md").read_text()
    )

    def fits(study, gpu) -> bool:
        return all(needs.fit(need, machine.machine(gpu))[0] for need in needs.needs(study, machine.machine(gpu)))

    for name in sorted({path.stem for path in (REPOSITORY / "parameters").glob("*.yaml")} - {"quickstart"}):
        study = open_study(name)
        assert fits(study, "80GB"), name
        if name == "paper":
            continue
        alone = {
            "engine": "transformers",
            "eval": study.eval.model_copy(update={"runs_per_gpu": 1}),
            "train": study.train.model_copy(update={"runs_per_gpu": 1}),
        }
        assert fits(study.model_copy(update=alone), "24GB") == (name not in ("full", "medicine", "letters")), name
        assert fits(study.model_copy(update=alone), "48GB"), name


@pytest.mark.parametrize("study", sorted(path.stem for path in (REPOSITORY / "parameters").glob("*.yaml")))
def test_every_study_has_a_plan_that_fits_the_page(study, monkeypatch):
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))  # the longest last line, on any machine
    text = plan.report(open_study(study), machine.machine("80GB"), rate=1000.0)
    assert max(map(len, text.splitlines())) <= plan.WIDTH
    assert "unknown" not in text


def test_what_is_not_known_is_said(parameters):
    def change(values):
        values["model"]["id"] = "someone/new-model"
        values["eval"]["tasks"].append({"name": "a_new_task", "group": "shift"})

    text = plan.report(open_study(str(parameters(change))), machine.machine("24"))
    assert "someone/new-model" in text
    assert "size unknown" in text
    assert "Not counted, because their sizes are unknown: a_new_task" in text
    assert text.splitlines()[-1].endswith("unclear (03 train, 04 eval); about unknown hours, unknown GB of disk.")


def test_limits_samples_and_rotations_are_counted(parameters, tmp_path):
    (tmp_path / "some.csv").write_text("benchmark,doc_id,question_id\n" + "mmlu_pro_law,1,x\n" * 5)
    tasks = [
        {"name": "mmlu", "limit": 10, "rotate": True},
        {"name": "mmlu_anatomy", "limit": 1000, "shots": 2},
        {"name": "mmlu_pro", "sample": "some.csv"},
        {"name": "starter_arithmetic", "limit": 3},
    ]
    study = open_study(str(parameters(lambda values: values["eval"].update(tasks=tasks))))
    mmlu, anatomy, pro, arithmetic = (sizes.workload(study, task) for task in study.eval.tasks)
    assert mmlu.passes == 10 * 57 * 4
    assert (anatomy.passes, anatomy.tokens) == (135, 150 + 2 * 125)
    assert (pro.passes, pro.writes) == (5, 2048)
    assert (arithmetic.passes, arithmetic.writes) == (3, 64)


def test_a_stated_rate_decides_the_hours():
    study, on = open_study("duration"), machine.machine("80GB")
    slow, fast = (cost.hours(study, on, rate)[0] for rate in (100.0, 1000.0))
    start = machine.START_JOB / 3600
    assert slow[3] - start == pytest.approx(10 * (fast[3] - start))
    assert slow[3] - start == pytest.approx(slow[2] / 100 / 3600)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ("--gpu", "big"),
            "error: GPU=big: should be the memory of a GPU, such as GPU=24GB or GPU=80GB, or one of A100, H100, H200",
        ),
        (("--gpu", "0GB"), "error: GPU=0GB: should be the memory of a GPU"),
        (("--rate", "-5x"), "error: RATE=-5x: should be tokens per second, such as RATE=2000"),
        (
            ("--set", "eval.tasks=[{name: gsm9k}]"),
            f"error: {REPOSITORY / 'parameters' / 'quickstart.yaml'}: eval.tasks: lm-evaluation-harness has no task 'gsm9k'",
        ),
    ],
)
def test_bad_values_end_in_one_line(options, line):
    assert refused(plan.main, "quickstart", f"{options[0]}={options[1]}").startswith(line)


def test_make_plan_passes_its_values_on_and_loads_no_torch():
    done = subprocess.run(["make", "-n", "plan", "STUDY=small", "GPU=24GB", "RATE=900"], cwd=REPOSITORY, capture_output=True, text=True, check=True)  # fmt: skip
    assert 'helpers.plan.plan "small" --gpu "24GB" --rate "900"' in done.stdout
    loaded = "import sys, helpers.plan; print([name for name in ('torch', 'transformers', 'datasets', 'lm_eval') if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", loaded], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_jobs_that_share_a_gpu_need_it_together_and_are_sooner_done():
    study = open_study("small")
    alone = study.model_copy(update={"train": study.train.model_copy(update={"runs_per_gpu": 1})})
    on = machine.machine("80GB")
    three, one = (next(need for need in needs.needs(each, on) if need.step.startswith("03")) for each in (study, alone))
    assert three.total == 3 * one.total + 2 * machine.CONTEXT
    assert three.parts.startswith("3 side by side, each ")
    assert needs.fit(three, machine.machine("60GB"))[1].count("would fit: train.runs_per_gpu: 2;") == 1
    hours = [dict((row[0], row[3]) for row in cost.hours(each, on, None))["03 train"] for each in (study, alone)]
    started = [12 * machine.START_JOB / runs / 3600 for runs in (3, 1)]
    assert 1.3 < (hours[1] - started[1]) / (hours[0] - started[0]) < 3**machine.SHARED


def test_what_a_gpu_computes_is_not_sooner_done_side_by_side():
    """Small updates wait for the processor, and share the waiting; large ones keep the GPU busy alone."""
    train, on = open_study("small").train, machine.machine("80GB")
    alone, three = (
        machine.Speed(model_shape.shape_of("Qwen/Qwen2.5-Coder-1.5B-Instruct"), on, 2, None, True, runs) for runs in (1, 3)
    )
    small = train.model_copy(update={"batch_size": 1})
    assert alone.updating(small, 400, 100) / three.updating(small, 400, 100) == pytest.approx(3**machine.SHARED)
    large = train.model_copy(update={"batch_size": 24})
    assert alone.updating(large, 400, 100) == three.updating(large, 400, 100)


def test_shared_prompts_are_computed_once():
    """192 completions of 100 tokens, 8 to a prompt of 400: 192 · 100 + 24 · 400 tokens instead of 192 · 500."""
    on = machine.machine("80GB")
    speed = machine.Speed(model_shape.shape_of("Qwen/Qwen2.5-Coder-1.5B-Instruct"), on, 2, None, True)
    shared = Train(rollouts=8, batch_size=24, gradient_accumulation=8)
    plain = shared.model_copy(update={"shared_prompts": False})
    random = shared.model_copy(update={"reward": "random"})  # all groups have a gradient
    assert speed.updating(plain, 400, 100) / speed.updating(random, 400, 100) == pytest.approx(96_000 / 28_800)
    # two fifths of the completions are read, in one of two passes
    assert speed.updating(shared, 400, 100) / speed.updating(random, 400, 100) == pytest.approx((0.6 * 4 + 0.4 * 2) / 4)
    # 300 tokens of passages are of one rollout, also in a group
    assert speed.updating(shared, 400, 100, 300) / speed.updating(shared, 400, 100) == pytest.approx(86_400 / 28_800)


def test_the_length_of_completions_is_that_of_the_kind_of_answer():
    """Lettered options take a fifth of the allowed tokens, numbers half; the held-out questions are those of the pool."""
    found = {name: sizes.lettered_pool(open_study(name)) for name in ("medicine", "choice", "quickstart")}
    assert found == {"medicine": True, "choice": False, "quickstart": True}
    (medicine, choice), on = (open_study(name) for name in ("medicine", "choice")), machine.machine("H200")
    tokens = [
        next(step.tokens for step in cost.hours(study, on, None) if step.name == "01 filter self") for study in (medicine, choice)
    ]
    assert tokens == [10_178 * 51, 7473 * 128]
    lettered = {task.name: sizes.workload(medicine, task).lettered for task in medicine.eval.tasks}
    assert [name for name, yes in lettered.items() if yes] == ["pool_held_out", "medqa_reasoning", "mmlu_medical_reasoning"]


def test_a_step_waits_for_its_longest_completion():
    """One batch of vLLM; its cache and arithmetic are those of the completions in progress, half of them on average here."""
    speed = machine.Speed(model_shape.shape_of("Qwen/Qwen2.5-Coder-1.5B-Instruct"), machine.machine("H200"), 2, None, True)
    even, uneven, long = (speed.writing(192, 192, 400, *lengths) for lengths in ((50, 50), (50, 100), (100, 100)))
    assert even < uneven < long
    # eight completions read their prompt once
    once = speed.reading(24, 192, 400)
    assert speed.writing(192, 192, 400, 50, 100, 8) == pytest.approx(uneven - speed.reading(192, 192, 400) + once)


def test_the_multi_process_service_overlaps_updates():
    """A rate of 133 and 144 Tflop/s alone, 260 with three jobs and 370 to 500 with six (logs of `choice` and `medicine`)."""
    model, on = model_shape.shape_of("Qwen/Qwen2.5-Coder-1.5B-Instruct"), machine.machine("H200")
    rates = [machine.Speed(model, on, 2, None, True, runs).training_rate / 1e12 for runs in (1, 3, 6)]
    assert rates == pytest.approx([120, 240, 310], rel=0.01)


def test_the_control_s_measured_steps_are_near_the_plan():
    """Three of its trainings at once took 7.4 to 8.0 s per step each, 1.9 to 2.1 s of it in rollouts (figures/DIARY.md); prompts were not shared.

    Without the multi-process service, so their updates took turns: each is as fast as that of a training alone.
    """
    study, on = open_study("control"), machine.machine("80GB")
    train = study.training("random").model_copy(update={"runs_per_gpu": 3, "shared_prompts": False})
    one, speed = (machine.Speed(model_shape.shape_of(study.model.id), on, 2, None, True, runs) for runs in (1, 3))
    prompt = sizes.prompt_tokens(study, sizes.pool_facts(study)[1])
    update = 3 * one.updating(train, prompt, train.max_completion_tokens)
    rollouts = 3 * speed.writing(48, 48, prompt, train.max_completion_tokens)
    assert update == pytest.approx(5.7, rel=0.15)
    assert 2.0 < rollouts < 4.0  # of at most 256 tokens each; they had 120 on average


def test_vllm_is_planned_with_where_a_gpu_is_and_can_be_done_without():
    """Its copy of the weights and its cache take memory in each step, and it writes sooner."""
    study, on = open_study("small"), machine.machine("80GB")
    without = study.model_copy(update={"engine": "transformers"})
    with_it, plain = ({need.step[:8]: need for need in needs.needs(each, on)} for each in (study, without))
    assert all("vLLM" in need.parts for need in with_it.values())
    assert not any("vLLM" in need.parts for need in plain.values())
    more = with_it["03 train"].total - plain["03 train"].total
    model = model_shape.shape_of(study.model.id)
    cache = model_shape.cache_bytes(model, 2, 24, sizes.prompt_tokens(study, sizes.pool_facts(study)[2]) + 256)
    assert more == pytest.approx(3 * (2 * model.parameters() + cache + model_shape.VLLM_ROLLOUTS))
    ((words, total), *_) = needs.needs(
        study.model_copy(update={"train": study.train.model_copy(update={"runs_per_gpu": 1})}), on
    )[3].ways
    assert (words, total) == ("engine: transformers", plain["03 train"].total / 3 - 2 * machine.CONTEXT / 3)
    sooner = [sum(row[3] for row in cost.hours(each, on, None)) for each in (study, without)]
    assert sooner[0] < 0.7 * sooner[1]
    assert not needs.writes_with_vllm(study, machine.Machine("a processor", 24 * GIB, False, 20e9, 100e9, 100e9))


def test_two_copies_of_a_large_model_are_not_planned_where_one_fits():
    """A 12B model: vLLM also scores on 48 GB; transformers alone is among the ways to need less."""
    study = open_study("paper")
    scored = {
        size: next(need for need in needs.needs(study, machine.machine(f"{size}GB")) if need.step == "04 eval")
        for size in (48, 96)
    }
    assert "which also scores: no room for a second copy" in scored[48].parts
    assert scored[96].parts.startswith("weights twice + vLLM")
    assert dict(scored[48].ways)["engine: transformers"] < scored[96].total
    assert needs.fit(scored[48], machine.machine("48GB"))[0]


def test_4_bits_are_planned_without_vllm():
    study, on = open_study("qlora"), machine.machine("80GB")
    hours = [next(row for row in cost.hours(each, on, None) if row[0] == "03 train")[3]
             for each in (study, study.model_copy(update={"engine": "transformers"}))]  # fmt: skip
    arms = {method: [arm for arm in study.arms if study.training(arm).method == method] for method in ("lora", "qlora")}
    assert arms["qlora"]
    saved = hours[1] - hours[0]  # only arms that are no QLoRA ones
    assert (saved > 0) == bool(arms["lora"])
    assert "Training in 4 bits generates with transformers" in " ".join(plan.report(study, on).split())


def test_what_make_plan_advises_for_an_evaluation_fits():
    """Taken at its word: the keys it names are lowered to what it says."""
    study, on = open_study("small").model_copy(update={"engine": "transformers"}), machine.machine("16GB")
    explanation = needs.fit(next(need for need in needs.needs(study, on) if need.step.startswith("04")), on)[1]
    advice = re.findall(r"eval\.(\w+): (\d+)", explanation.split("would fit: ")[1].split("; or")[0])
    assert {key for key, _ in advice} == {"runs_per_gpu", "batch_size", "generation_batch_size"}
    changed = study.model_copy(update={"eval": study.eval.model_copy(update={key: int(value) for key, value in advice})})
    assert needs.fit(next(need for need in needs.needs(changed, on) if need.step.startswith("04")), on)[0]


def published():
    """Studies below figures/ that a GPU has run to their end; the first runs of a study say little about the whole."""
    tables = [path.parent / "data" / "times.csv" for path in (REPOSITORY / "figures").glob("*/comparison.csv")]
    return [path.parent.parent.name for path in tables if path.exists() and pd.read_csv(path)["gpu_seconds"].sum()]


def test_cards_are_known_by_their_names():
    named, found = machine.machine("h200"), machine.gpu("NVIDIA H200", 139 * GIB)
    assert (named.name, named.memory, named.bandwidth) == ("one H200", 140 * GIB, found.bandwidth)
    slow, fast = (machine.machine(size) for size in ("80GB", "H100"))
    assert (slow.memory, slow.arithmetic) == (fast.memory, fast.arithmetic)
    assert machine.gpu("NVIDIA RTX A1000", 8 * GIB).bandwidth == machine.machine("8GB").bandwidth < slow.bandwidth
    assert machine.gpu("NVIDIA A100-PCIE-40GB", 39.4 * GIB).arithmetic == slow.arithmetic == slow.forward
    assert sum(row[3] for row in cost.hours(open_study("small"), fast, None)) < sum(
        row[3] for row in cost.hours(open_study("small"), slow, None)
    )


def test_the_processor_prepares_what_the_gpu_reads():
    """Alone an evaluation waits for both in turn; four that share a GPU keep it reading. 12,032 items of MMLU-Pro: 53 s and 85 to 110 s."""
    model, on = shape("Qwen/Qwen2.5-Coder-1.5B-Instruct"), machine.machine("H200")
    here = machine.Machine("a processor", 24 * GIB, False, 20e9, 100e9, 100e9)
    alone, four = (runs * machine.Speed(model, on, 2, None, runs=runs).asking(12032, 64, 210) for runs in (1, 4))
    assert alone == pytest.approx(53, rel=0.1)
    assert 85 < four < 110
    speed = machine.Speed(model, here, 4, None, runs=4)
    assert speed.asking(1000, 64, 210) == speed.reading(1000, 64, 210) + 1000 * machine.START_ITEM


@pytest.mark.parametrize("name", published())
def test_trainings_and_evaluations_took_what_the_plan_says(name):
    """Both together within a factor of 1.5 of the GPU hours that the notebooks were lent, on the GPUs that trained and scored, with as many
    jobs per GPU as shared one.

    Jobs whose results were reused from another study have no notebook, and are not counted. Early trainings shared no prompts.
    """
    steps = pd.read_csv(REPOSITORY / "figures" / name / "data" / "times.csv")
    lent = steps.groupby(steps["notebook"].str[:2])["gpu_seconds"]
    took, made = lent.sum() / 3600, lent.size()
    notes = json.loads((REPOSITORY / "figures" / name / "provenance.json").read_text())
    used = {"03": next(note for key, note in notes.items() if key.startswith("train")), "04": notes["eval/untrained/scores"]}
    study, shared = open_study(name), used["03"].get("shared_prompts") == "on"
    study = study.model_copy(update={"train": study.train.model_copy(update={"shared_prompts": shared})})
    study = measured.as_shared(study, steps)
    hours = {step: cost.hours(study, machine.gpu(note["device"], 80 * GIB), None) for step, note in used.items()}
    steps_planned = {step: next(row for row in rows if row[0].startswith(step)) for step, rows in hours.items()}
    planned = {step: made[step] * row[3] / row[1] for step, row in steps_planned.items()}
    assert 1 / 1.5 < (planned["03"] + planned["04"]) / (took["03"] + took["04"]) < 1.5


def test_a_larger_gpu_takes_more_trainings_side_by_side():
    """The file's number is for 80 GB; the plan names the most that fit, with hours that are lower."""
    study = open_study("medicine")
    text = plan.report(study, machine.machine("H200"))
    found = re.search(r"train.runs_per_gpu: (\d), which also fits on this GPU, all jobs\s+take about ([\d.]+)\s+hours", text)
    runs, fewer = int(found[1]), float(found[2])
    assert runs > study.train.runs_per_gpu
    assert fewer < float(re.search(r"about ([\d.]+) hours, [\d.,]+ GB of disk", text.splitlines()[-1])[1])
    more = open_study("medicine", f"train.runs_per_gpu={runs + 1}")
    assert not all(needs.fit(need, machine.machine("H200"))[0] for need in needs.needs(more, machine.machine("H200")))
    assert "also fits" not in plan.report(study, machine.machine("24GB"))
