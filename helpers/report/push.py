"""A trained model for the hub: `python -m helpers.report.push STUDY --arm self --seed 0 --to user/name`, or `make push`.

`runs/<study>/push/<arm>-seed<k>/model` holds the weights and a model card, `labels` the filter's labels as a data set, both written from
the study's results. Without `--dry` they are uploaded to `user/name` and `user/name-labels`. No text of a question leaves the machine.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import DatasetCard, DatasetCardData, HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from helpers.analysis import indices, names, opening
from helpers.analysis.evidence import change, difference
from helpers.analysis.recorded import arms_in_words
from helpers.questions import pools, prompts
from helpers.report.readme import MARKDOWN
from helpers.selection import difficulty
from helpers.study import overrides
from helpers.study.errors import StudyError, entry_point
from helpers.study.files import read_note, read_table, write_table
from helpers.study.inputs import SPEED_ONLY
from helpers.study.places import pool_file
from helpers.study.study import UNTRAINED, Study, open_study

EXAMPLE = "Which vitamin prevents scurvy?", ["Vitamin A", "Vitamin B12", "Vitamin C", "Vitamin D"]
TABLES = ("comparison", "groups", "verdict", "guards", "pairs")


def write(study: Study, arm: str, seed: int, to: str) -> list[Path]:
    """Write the folders of a trained arm and seed; returns that of the model and, if the arm has a filter, that of its labels.

    to: the hub's name of the model, for the links of the cards. Raises StudyError if the training or the analysis has not run, or was
    made with other parameters.
    """
    study.of("arms", arm)
    trained = study.path("train", arm, study.check_seed(seed))
    log = read_table(trained / "log.csv", f"03_grpo_train (arm {arm}, seed {seed})", study.inputs("train", arm=arm, seed=seed))
    if not (trained / "adapter").is_dir():
        raise StudyError(f"{trained / 'adapter'}: not there; run make study STUDY={study.name} again")
    tables = {name: read_table(study.path("tables", f"{name}.csv"), f"make study STUDY={study.name}") for name in TABLES}
    folder = study.path("push", f"{arm}-seed{seed}")
    shutil.rmtree(folder, ignore_errors=True)
    note = read_note(trained / "log.csv")
    _weights(study, trained / "adapter", folder / "model", _base(study, note))
    _model_card(study, arm, seed, to, note, log, tables).save(folder / "model" / "README.md")
    if not study.arms[arm].filter:
        return [folder / "model"]
    _labels(study, arm, seed, to, folder / "labels")
    return [folder / "model", folder / "labels"]


def _pool(study: Study) -> str:
    """The pool's name, without the folders of this machine."""
    return Path(study.pool.source).name if pool_file(study.pool, study.file) else study.pool.source


def _base(study: Study, note: dict[str, Any]) -> str:
    """The base model's id on the hub; the name of its folder if it was a folder of this machine."""
    return Path(study.model.id).name if note.get("weights") == "folder" else study.model.id


def _weights(study: Study, adapter: Path, to: Path, base: str) -> None:
    """Copy the weights, without PEFT's own card and without paths of this machine; a whole model gets its tokenizer."""
    shutil.copytree(adapter, to, ignore=shutil.ignore_patterns("README.md"))
    config = to / "adapter_config.json"
    if config.is_file():
        values = json.loads(config.read_text(encoding="utf-8")) | {"base_model_name_or_path": base, "revision": None}
        config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    else:
        from helpers.models import loading  # imports torch, which an adapter does not need

        loading.load_tokenizer(study.model.id).save_pretrained(to)


def _model_card(
    study: Study, arm: str, seed: int, to: str, note: dict[str, Any], log: pd.DataFrame, tables: dict[str, pd.DataFrame]
) -> ModelCard:
    from helpers.models import loading

    train, base, local = study.training(arm), _base(study, note), note.get("weights") == "folder"
    sources = [] if pool_file(study.pool, study.file) else [study.pool.source]
    labels = [f"{to}-labels"] if study.arms[arm].filter else []
    data = ModelCardData(
        base_model=None if local else base,
        library_name="transformers" if train.method == "full" else "peft",
        pipeline_tag="text-generation",
        tags=["grpo", "trl", "open-medical-r1-study", *([] if train.method == "full" else [train.method])],
        datasets=[*sources, *labels] or None,
    )
    third = max(1, len(log) // 3)
    text = MARKDOWN.get_template("model_card.md.j2").render(
        study=study,
        pool=_pool(study),
        remarks=pools.recorded_remarks(study.folder),
        arm={"name": arm} | arms_in_words(study).set_index("arm").loc[arm].to_dict(),
        seed=seed,
        to=to,
        base=base,
        local=local,
        note=note,
        train=train,
        settings={key: value for key, value in train.model_dump(exclude={*SPEED_ONLY}).items() if value not in (None, {}, False)},
        steps=len(log),
        reward=(log["reward"].head(third).mean(), log["reward"].tail(third).mean()),
        flat=log["frac_reward_zero_std"].mean(),
        indices=_indices(tables, arm),
        benchmarks=_benchmarks(tables["comparison"], arm),
        seeds=int(tables["groups"].loc[tables["groups"]["arm"] == arm, "seeds"].max()),
        answer=opening.answer(tables["verdict"]),
        reason=opening.reason(tables["verdict"], tables["guards"], tables["pairs"]),
        limits=opening.limits(tables["pairs"], tables["guards"]),
        prompt=prompts.render(*EXAMPLE, study.prompt, loading.load_tokenizer(study.model.id)),
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")


def _indices(tables: dict[str, pd.DataFrame], arm: str) -> list[dict[str, Any]]:
    """One row per index: its name, benchmarks and items, and its changes from the untrained model and from the random arm."""
    between = indices.from_random(tables["pairs"])
    random = {row["group"]: change(row) for row in between[between["arm"] == arm].to_dict("records")}
    rows = tables["groups"][tables["groups"]["arm"] == arm].to_dict("records")
    return [row | {"change": change(row), "random": random.get(row["group"], "–")} for row in rows]


def _benchmarks(comparison: pd.DataFrame, arm: str) -> list[dict[str, Any]]:
    """One row per benchmark: name, items, accuracy before and after, and the change with its interval."""
    keys = ["group", "benchmark", "filter"]
    before = comparison[comparison["arm"] == UNTRAINED].set_index(keys)["accuracy"]
    rows = names.shown(comparison[comparison["arm"] == arm].join(before.rename("before"), on=keys)).to_dict("records")
    return [row | {"change": difference(row, "vs_untrained")} for row in rows]


def _labels(study: Study, arm: str, seed: int, to: str, folder: Path) -> None:
    """The labels of an arm's filter as a data set: one row per question of the pool, by its id, without its text."""
    name = study.arms[arm].filter
    path = study.path("filter", name, "labels.parquet")
    answers, pool = read_table(path, f"01_filter (filter {name})"), pools.study_pool(study)
    readings = ["strict", *(["tolerant"] if "label_tolerant" in answers else [])]
    table = pool[["question_id", "id"]]
    for reading in readings:
        columns = difficulty.by_question(answers, reading)[["question_id", "label", "pass_rate"]]
        table = table.merge(columns.rename(columns={key: f"{key}_{reading}" for key in ("label", "pass_rate")}))
    drawn = read_table(study.draw_file(arm, seed), f"02_split (arm {arm}, seed {seed})")["question_id"]
    folder.mkdir(parents=True)
    write_table(table.assign(trained_on=table["question_id"].isin(drawn)), folder / "labels.parquet")
    text = MARKDOWN.get_template("labels_card.md.j2").render(
        study=study, pool=_pool(study), spec=study.filters[name], note=read_note(path), to=to, rows=len(table), readings=readings
    )
    data = DatasetCardData(pretty_name=f"Labels of {_pool(study)}", tags=["open-medical-r1-study"])
    DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{text}").save(folder / "README.md")


def upload(folders: list[Path], to: str) -> list[str]:
    """Upload what `write` wrote; returns the addresses. Raises StudyError in one line, with the files kept, if the hub refuses."""
    api, addresses = HfApi(), []
    for folder, kind, name in zip(folders, ("model", "dataset"), (to, f"{to}-labels"), strict=False):
        try:
            api.create_repo(name, repo_type=kind, exist_ok=True)
            found = api.upload_folder(
                repo_id=name, repo_type=kind, folder_path=folder, commit_message="From Open-Medical-R1 Study"
            )
        except Exception as error:  # of the network, the login or the hub: their libraries have no common class
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise StudyError(
                f"{name}: not uploaded: {reason}; connect, or log in with `hf auth login`; the files are in {folder}"
            ) from None
        addresses.append(str(found.repo_url))
    return addresses


def check_name(to: str) -> str:
    """`to`, if it is a valid name for a model on the hub. Raises StudyError otherwise."""
    try:
        validate_repo_id(f"{to}-labels")
        if to.count("/") == 1:
            return to
        raise HFValidationError("there is no user")
    except HFValidationError as error:
        raise StudyError(f"TO={to!r}: should be user/name, as on the hub ({error})") from None


@entry_point
def main() -> None:
    """Parse the command line, write and upload; a mistake is one line and exit code 1."""
    parser = overrides.parser(__doc__.splitlines()[0])
    parser.add_argument("--arm", required=True)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--to", required=True, help="the model's name on the hub, user/name")
    parser.add_argument("--dry", action="store_true", help="write the folders, upload nothing")
    given = parser.parse_args()
    if not given.arm or not given.seed.isdecimal():
        raise StudyError("ARM and SEED are needed, as in make push STUDY=small ARM=self SEED=0 TO=user/name DRY=1")
    to, study = check_name(given.to), open_study(given.study, given.changes)
    folders = write(study, given.arm, int(given.seed), to)
    for place in folders if given.dry else upload(folders, to):
        print(place)


if __name__ == "__main__":
    main()
