"""Training: rewards, one GRPO run around TRL's trainer, and runs that use several processes."""
