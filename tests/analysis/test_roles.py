"""Roles of arms, read from the parameters of studies."""

from helpers.analysis import roles
from helpers.study.study import open_study


def test_relations_of_filters():
    base = "Qwen/Qwen2.5-Coder-0.5B-Instruct"
    names = [base, "Qwen/Qwen2.5-Coder-1.5B-Instruct", "google/gemma-3-270m", "HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert [roles.relation(name, base) for name in names] == ["self", "larger", "other family", "other family"]
    assert roles.relation(base, names[1]) == "smaller"


def test_roles_of_the_studies():
    qlora = roles.roles_of(open_study("qlora"))
    assert (qlora["random-qlora"].twin, qlora["self-qlora"].twin, qlora["self"].twin) == ("random", "self", None)
    assert qlora["self-qlora"] == roles.Role("self", "qlora", "self", 500, "self", 0.8)
    assert [role.kind for role in roles.roles_of(open_study("paper")).values()] == ["random", "other family", "larger", "self"]
    assert roles.roles_of(open_study("small"))["smaller"].kind == "smaller"
    assert roles.roles_of(open_study("passrate"))["half"].kind == "half"
    hard = {arm: role.hard for arm, role in roles.roles_of(open_study("ratio")).items()}
    assert (hard["hard500"], hard["hard100-easy400"], hard["random"]) == (1.0, 0.2, None)
    assert {role.method for role in roles.roles_of(open_study("rewards")).values()} == {"lora", "other"}


def test_kinds_of_rules(parameters):
    sampled = {"filter": "self", "size": 8}
    rules = {"near": {"pass_rate": 0.45}, "far": {"pass_rate": {"nearest": 0.9}}, "band": {"pass_rate": {"from": 0.2, "to": 0.8}},
             "hardest": {"pass_rate": {"lowest": True, "above": 0}}, "mixed": {"no_zero_variance": True}}  # fmt: skip
    arms = {name: sampled | rule for name, rule in rules.items()} | {"long": {"size": 8, "longest": True}}
    study = open_study(
        str(parameters(lambda p: (p["arms"].update(arms), p["filters"]["self"].update(samples=4, temperature=1.0))))
    )
    kinds = {arm: role.kind for arm, role in roles.roles_of(study).items()}
    assert kinds == {"random": "random", "self": "self", "gemma-3-270m": "other family", "near": "half"} | dict.fromkeys(
        ("far", "band", "hardest", "mixed", "long"), "other"
    )
