"""Evaluation: benchmarks and their data (mirror, sources, documents, samples), the project's own tasks (tasks/, task_files, reasoning, judging), and
scoring by lm-evaluation-harness, item by item. `evaluation` is one model with its scores, `items` shows single items."""
