"""Do a study's differences between arms change with the machine taken into account? `python figures/validation/leases.py choice`.

A study that runs in several sittings trains some arms mostly on one machine and others on another. This script fits accuracy per model by least
squares, once by arm and once by arm and lease, for the tasks of the trained subject in reasoning mode. A lease is one kind of
card, without a pause of more than an hour between two finished trainings.

The result is validation/leases_<study>.csv: one row per benchmark and arm, with its difference from `random` and its standard error in both fits.
The standard errors cover seeds and draws, but not questions. The script leaves out the negative control (random-reward), whose accuracy varies
more between seeds. If an arm has a lease of its own, the second fit cannot separate the two, and its columns stay empty. The script imports
nothing of this project.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

FIGURES = Path(__file__).parents[1]
PAUSE = pd.Timedelta(hours=1)


def models(study: Path) -> pd.DataFrame:
    """One row per benchmark and trained model: benchmark, arm, seed, accuracy, device and made (when its training was finished)."""
    rows = []
    for path in sorted((study / "data/eval").glob("*/seed*/scores.parquet")):
        arm, seed = path.parts[-3:-1]
        note = json.loads((study / "data/train" / arm / seed / "log.json").read_text())
        wanted = [("mode", "==", "reasoning"), ("group", "==", "specialisation"), ("rotation", "==", 0)]
        scores = pd.read_parquet(path, columns=["benchmark", "correct"], filters=wanted)
        about = {"arm": arm, "seed": int(seed.removeprefix("seed")), "device": note["device"], "made": pd.Timestamp(note["made"])}
        rows += [{"benchmark": name, "accuracy": part["correct"].mean(), **about} for name, part in scores.groupby("benchmark")]
    return pd.DataFrame(rows)


def with_leases(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the column `lease`: a number that goes up with each change of the card and each pause."""
    table = table.sort_values("made", ignore_index=True)
    new = (table["device"] != table["device"].shift()) | (table["made"].diff() > PAUSE)
    return table.assign(lease=new.cumsum())


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """One row per benchmark and arm: its difference from `random`, without and with leases, and standard errors, all in points."""
    rows = []
    for benchmark, part in table[table["arm"] != "random-reward"].groupby("benchmark"):
        plain = smf.ols("accuracy ~ C(arm, Treatment('random'))", part).fit()
        model = smf.ols("accuracy ~ C(arm, Treatment('random')) + C(lease)", part)
        told_apart = np.linalg.matrix_rank(model.exog) == model.exog.shape[1]
        adjusted = model.fit() if told_apart else None
        for arm in sorted(set(part["arm"]) - {"random"}):
            term = f"C(arm, Treatment('random'))[T.{arm}]"
            found = {"difference": plain.params[term], "error": plain.bse[term]}
            if adjusted:
                found |= {"adjusted": adjusted.params[term], "adjusted_error": adjusted.bse[term]}
            rows.append(
                {"benchmark": benchmark, "arm": arm, **{name: 100 * value for name, value in found.items()}, "models": len(part)}
            )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    name = sys.argv[1]
    differences(with_leases(models(FIGURES / name))).to_csv(FIGURES / f"validation/leases_{name}.csv", index=False)
