"""Evaluation: benchmarks and their data (mirror, sources, documents, samples), this project's own tasks (tasks/, task_files, reasoning, judging),
and scoring of single items with lm-evaluation-harness. `evaluation` is one model with its scores, `items` shows single items."""
