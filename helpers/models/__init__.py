"""Models: where weights come from (loading, packages), what training changed in them (effect), the engines that generate and read log-likelihoods
(transformers, vLLM), batched generation that resumes (generate), prompts read once (shared_prefix, packing), lm-evaluation-harness's view of an engine (harness_model), and the shapes and
devices that memory follows from."""
