"""Questions: pools and the forms they come in, ids and overlap with benchmarks, prompts, reading an answer, the starter set."""
