"""Evaluation: benchmarks and the files their items come from, the project's own tasks, and scoring by lm-evaluation-harness."""
