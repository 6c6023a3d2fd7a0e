"""Training: one GRPO run around TRL's trainer.

`grpo` makes and runs it; `launch` starts it from a study, in one process or several. Beside them: `rewards`; `loss` and `shared_prompts`
(a group's prompt computed once); `adapter` and `sampling` (vLLM); `follow` and `collapse`; `checkpoints` and `log`.
"""
