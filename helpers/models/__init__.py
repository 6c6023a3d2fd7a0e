"""Models: loading weights (loading, packages), what training changed in them (effect), engines that generate and score log-likelihoods
(transformers, vLLM), batched generation that resumes (generate), shared prompt prefixes (shared_prefix, packing), the interface of an engine to
lm-evaluation-harness (harness_model), and the shapes and devices from which memory is estimated."""
