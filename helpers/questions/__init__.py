"""Questions: pools and their formats, ids, overlap with benchmarks, prompts, answer parsing, and the starter set."""
