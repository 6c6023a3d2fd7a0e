"""Check a study before anything is downloaded or loaded: the first step of `make study`."""

from collections.abc import Sized

from helpers.evaluation import task_files
from helpers.questions import pools
from helpers.study.places import pool_file
from helpers.study.study import Study
from helpers.training import check as training


def check(study: Study, here: bool = True) -> str:
    """Lines that describe the study and a pool that is a file or folder. Raises StudyError for mistakes that show without model and hub.

    here: the study is to run on this machine, so its GPU and its packages matter.
    """
    task_files.check(study)
    training.check(study, here)
    pool = ""
    if pool_file(study.pool, study.file):
        pools.study_pool(study)
        pool = f"\n{pools.recognised(pools.pool_facts(study.pool, study.file))}"
    arms = f"{_count(study.arms, 'arm')} × {_count(study.seeds, 'seed')}"
    return (
        f"{study.name}: {study.model.id}, pool {study.pool.source}, {_count(study.filters, 'filter')}, {arms}, "
        f"{_count(study.eval.tasks, 'benchmark')}{pool}"
    )


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
