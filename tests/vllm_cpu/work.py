"""What the tests of the two engines have done in processes of their own: vLLM binds a process's threads to cores.

`python tests/vllm_cpu/work.py answer|score|search ENGINE FOLDER [adapter]`, `… gaps FOLDER [adapter]`, `… search_gaps FOLDER`, `… train FOLDER`, `… colocate FOLDER`.
"""

import json
import os
import sys
import time
from pathlib import Path

import pandas as pd

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
PROMPTS, TOKENS, DTYPE = 200, 32, "float32"
STUDY = """
title: "Both engines score it"
demonstration: true
model: {id: HuggingFaceTB/SmolLM2-135M-Instruct, dtype: float32}
pool: starter:medicine_pool
prompt: {style: chat, worked_examples: 2, prefill: "<think>"}
arms: {random: {size: 8}}
seeds: [0]
train: {}
eval:
  max_new_tokens: 32
  tasks:
    - {name: starter_chinese_medicine, group: specialisation}
    - {name: starter_medicine_reasoning, group: specialisation, limit: 16}
"""


def asked(tokenizer) -> pd.DataFrame:
    """200 prompts: the questions of the starter pool as the filter renders them, with the thinking begun and without."""
    from helpers.questions import pools, prompts
    from helpers.study.schema import Pool, Prompt

    pool = pools.load_pool(Pool(source="starter:medicine_pool"), Path())
    styles = [Prompt(style="chat", worked_examples=0, prefill=begun) for begun in ("<think>", "")]
    texts = [
        (f"{row.question_id}{style.prefill}", prompts.render(row.question, row.options, style, tokenizer))
        for style in styles
        for row in pool.itertuples()
    ]
    return pd.DataFrame(texts, columns=["question_id", "prompt"]).head(PROMPTS)


def answer(engine: str, folder: Path, adapter: Path | None) -> None:
    """Greedy answers and the seconds they took."""
    from helpers.models import engines, generate, loading

    weights = engines.Weights(MODEL, DTYPE, adapter)
    tokenizer = loading.load_tokenizer(MODEL)
    prompts = asked(tokenizer)
    loaded = engines.load(weights, engine)
    started = time.perf_counter()
    made = generate.complete(prompts, weights, tokenizer, max_new_tokens=TOKENS, batch_size=32, engine=engine)
    seconds = time.perf_counter() - started
    assert engines.load(weights, engine) is loaded  # one model for everything
    effect = loaded.effect(tokenizer) if adapter else {}
    made.to_pickle(folder / "answers.pkl")
    (folder / "answers.json").write_text(json.dumps({"tokens": int(made["n_tokens"].sum()), "seconds": seconds, **effect}))


def gaps(folder: Path, adapter: Path | None) -> None:
    """Where two engines' answers part: transformers' log-probabilities of the two tokens, and how far they are from each other."""
    from helpers.models import engines, loading

    tokenizer = loading.load_tokenizer(MODEL)
    reader = engines.load(engines.Weights(MODEL, DTYPE, adapter), "transformers")
    prompt_of = asked(tokenizer).set_index("question_id")["prompt"]
    found = []
    for identity, *texts in json.loads((folder / "different.json").read_text()):
        prompt, one, other = (
            tokenizer(text, add_special_tokens=bool(n == 0))["input_ids"] for n, text in enumerate([prompt_of[identity], *texts])
        )
        place = next(i for i, (a, b) in enumerate(zip([*one, None], [*other, None], strict=False)) if a != b)
        ends = [tokens[place] if place < len(tokens) else tokenizer.eos_token_id for tokens in (one, other)]
        (a, _), (b, _) = reader.read([([*prompt, *one[:place]], [token]) for token in ends], 2)
        found.append(abs(a - b))
    (folder / "gaps.json").write_text(json.dumps(found))


def score(engine: str, folder: Path, adapter: Path | None) -> None:
    """Scores of a likelihood task and a reasoning task."""
    from helpers.evaluation import scoring
    from helpers.models import engines, loading
    from helpers.study.study import open_study

    (folder / "both.yaml").write_text(STUDY)
    study = open_study(str(folder / "both.yaml"))
    tokenizer = loading.load_tokenizer(MODEL)
    loaded = engines.load(engines.Weights(MODEL, DTYPE, adapter), engine)
    made = scoring.score(loaded, tokenizer, study, f"{engine} {adapter}", folder / "tasks")
    made.to_pickle(folder / "scores.pkl")


def search(engine: str, folder: Path, adapter: Path | None) -> None:
    """50 greedy episodes over the starter corpus: tokens of prompt and answer, and what was searched."""
    from helpers.models import engines, loading
    from helpers.questions import pools, prompts
    from helpers.search.corpus import find_corpus
    from helpers.search.episodes import Tool
    from helpers.search.index import open_index
    from helpers.study.schema import Pool, Prompt, Search

    tokenizer, prompt = loading.load_tokenizer(MODEL), Prompt(style="plain", worked_examples=1, prefill="<think>")
    tool = Tool(Search(corpus="starter", passages=1, searches=1, tokens=220), open_index(find_corpus("starter"), folder).search)
    pool = pools.load_pool(Pool(source="starter:medicine_pool")).head(50)
    texts = [prompts.render(row.question, list(row.options), prompt, tokenizer, tool.settings) for row in pool.itertuples()]
    loaded = engines.load(engines.Weights(MODEL, DTYPE, adapter), engine)
    ends = (*loaded.ends(tokenizer), *prompts.end_tokens(prompt, tokenizer))
    asked = tokenizer(texts)["input_ids"]
    made = tool.write(loaded, asked, engines.Sampling(64, 0.0, ends), [0] * len(asked), tokenizer)
    rows = [(one.prompt, one.tokens, one.own, one.record) for one in made]
    pd.DataFrame(rows, columns=["prompt", "tokens", "own", "searches"]).to_pickle(folder / "episodes.pkl")


def search_gaps(folder: Path) -> None:
    """Where two engines' episodes part: how far transformers' log-probabilities of the two tokens are from each other."""
    from helpers.models import engines

    reader, found = engines.load(engines.Weights(MODEL, DTYPE), "transformers"), []
    ours, theirs = (pd.read_pickle(folder / engine / "episodes.pkl") for engine in ("transformers", "vllm"))
    for prompt, one, other in zip(ours["prompt"], ours["tokens"], theirs["tokens"], strict=True):
        if one != other:
            place = next(i for i, (a, b) in enumerate(zip([*one, None], [*other, None], strict=False)) if a != b)
            pair = [tokens[place : place + 1] or [reader.model.config.eos_token_id] for tokens in (one, other)]
            (a, _), (b, _) = reader.read([([*prompt, *one[:place]], token) for token in pair], 2)
            found.append(abs(a - b))
    (folder / "gaps.json").write_text(json.dumps(found))


def trainer(folder: Path, steps: int, engine: str = "transformers"):
    """GRPO on a reward that such a small model can earn: how many of the letters it writes are vowels."""
    from helpers.models import loading
    from helpers.questions import pools
    from helpers.study.schema import Lora, Pool, Prompt, Train
    from helpers.training import grpo, rewards

    def vowels(completions, **_):
        return [sum(text.count(vowel) for vowel in "aeiou") / (len(text) + 1) for text in completions]

    rewards.ALL = dict.fromkeys(rewards.ALL, vowels) | {"accuracy": vowels}
    train = Train(learning_rate=1e-3, batch_size=4, gradient_accumulation=1, rollouts=4, max_steps=steps, temperature=1.0,
                  max_completion_tokens=16, save_steps=100, lora=Lora(r=16, alpha=32))  # fmt: skip
    tokenizer, prompt = loading.load_tokenizer(MODEL), Prompt(style="chat", worked_examples=0, prefill="<think>")
    data = grpo.to_dataset(pools.load_pool(Pool(source="starter:medicine_pool"), Path()).head(40), prompt, tokenizer)
    return grpo.make_trainer(loading.load_model(MODEL, DTYPE), tokenizer, data, train, prompt, 0, folder / "checkpoints", engine)


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "train":
        from helpers.training import checkpoints

        folder = Path(rest[0])
        made = trainer(folder, 3)
        made.train()
        checkpoints.save_weights(made, folder / "adapter")
    elif what == "colocate":
        made = trainer(Path(rest[0]), 2, "vllm")
        made.train()
        print("steps made:", made.state.global_step)
    elif what == "gaps":
        gaps(Path(rest[0]), Path(rest[1]) if rest[1:] else None)
    elif what == "search_gaps":
        search_gaps(Path(rest[0]))
    else:
        engine, folder, *adapter = rest
        {"answer": answer, "score": score, "search": search}[what](engine, Path(folder), Path(adapter[0]) if adapter else None)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
