"""The short form of kills.py: two kills of a study with stand-in notebooks, then its end; and what its 100 kills showed."""

import signal
import sys
from pathlib import Path

import pandas as pd
from workflow.kills import WAYS, Graph, tables, unreadable
from workflow.stand_ins import checkout, environment


def test_two_kills_lose_nothing(tmp_path):
    folder = checkout(tmp_path / "a")
    command = [sys.executable, "-m", "helpers.workflow.graph", "tiny.yaml", "--jobs", "2"]
    graph = Graph(command, folder / "runs/tiny", tmp_path / "log", environment(folder), folder)
    rows = [
        graph.run_and_kill(60, signal.SIGKILL, "group", steps=1),
        graph.run_and_kill(60, signal.SIGTERM, "graph alone", steps=1),
    ]
    assert [row["sent_to"] for row in rows] == ["group", "graph alone"]
    rows.append(graph.run_and_kill(600, signal.SIGKILL, "group"))
    assert rows[-1]["sent_to"] == "nobody: finished"
    assert not any(row["steps_repeated"] or row["second_writer"] for row in rows)
    assert set(tables(graph.folder)) == {"comparison.csv"}
    lines = unreadable(graph.folder)
    assert not [line for line in lines if ".ipynb:" in line or ".json:" in line]  # the stand-ins' tables are text


def test_a_hundred_kills_lost_nothing():
    rows = pd.read_csv(Path(__file__).with_name("kills.csv"), keep_default_na=False)
    kills, ends = rows[rows["signal"] != ""], rows[rows["signal"] == ""]
    ways = {(signal.Signals(number).name, whom): 25 for number, whom in WAYS}
    assert kills.groupby(["signal", "sent_to"]).size().to_dict() == ways
    assert not (rows["unreadable_files"] != "").any()
    assert not rows["second_writer"].any()
    assert not rows["steps_repeated"].any()
    assert len(ends) > 0
    assert set(ends["tables_different"]) == {"none"}
