"""Training: one GRPO run with TRL's trainer.

`grpo` sets up and runs the trainer; `launch` starts it from a study, in one process or several. Other modules: `rewards`; `loss` and
`shared_prompts` (a group's prompt computed once); `adapter` and `sampling` (vLLM); `follow` and `collapse`; `checkpoints` and `log`.
"""
