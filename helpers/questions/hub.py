"""Data sets as `datasets` reads them: from a folder of one's own, from OFFLINE_MIRROR, or from the hub at one commit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.study.errors import StudyError
from helpers.study.files import cache_of, data_files, sha256

if TYPE_CHECKING:
    from datasets import Dataset


def read(
    source: str, config: str | None, split: str, revision: str | None, mirror: str, key: str, own: Path | None = None
) -> tuple[Dataset, dict[str, Any]]:
    """(a split of a data set, its facts as in `pool_facts` without counts), from OFFLINE_MIRROR if that has it, else from the hub.

    key: of the parameter that names the data set, for errors. own: a folder that is the data set, wherever else there is one of its
    name. Raises StudyError if it cannot be read or has another revision.
    """
    import datasets

    folder = own or Path(mirror) / source
    local = own is not None or (bool(mirror) and folder.is_dir())
    kind = "folder" if own else "offline mirror"
    where = f"{key}: {source} (config {config}, split {split})"
    try:
        place, options = (str(folder), {"cache_dir": cache_of(folder)}) if local else (source, {"revision": revision})
        builder = datasets.load_dataset_builder(place, config, **options)
        if hasattr(builder.config, "keep_default_na"):  # an option of a CSV file may be "None" or "NA"
            if local:  # given to the builder it names the cache, which a benchmark in the same folder would share otherwise
                builder = datasets.load_dataset_builder(place, config, keep_default_na=False, **options)
            builder.config.keep_default_na = False
        builder.download_and_prepare()
        dataset = builder.as_dataset(split=split)
    except Exception as error:
        tried = f"OFFLINE_MIRROR={mirror} and the hub" if mirror else "the hub (OFFLINE_MIRROR is not set)"
        elsewhere = f"neither a starter set nor a file, and cannot be read from {tried}"
        here = f"cannot be read from the {'' if own else 'folder of the '}{kind} {folder}"
        raise StudyError(f"{where}: {here if local else elsewhere}: {_reason(error)}") from None
    parts = builder.config.data_files or {}
    files = [str(file) for file in parts.get(split) or [file for part in parts.values() for file in part]]
    facts: dict[str, Any] = {"source": source, "config": config, "split": split}
    if local:
        named = {file.split(f"/{source}/")[-1]: Path(file) for file in files or map(str, data_files(folder))}
        return dataset, facts | {"from": kind, "sha256": {name: sha256(file) for name, file in named.items()}}
    found = re.search("@([0-9a-f]{40})/", files[0] if files else f"@{builder.hash}/")  # no files: from the cache of `datasets`
    commit = found.group(1) if found else revision
    if re.fullmatch("[0-9a-f]{40}", revision or "") and commit != revision:  # without a network, `datasets` takes what it has
        raise StudyError(f"{where}: revision {revision} wanted, the copy at hand is {commit}; load it once with a network")
    return dataset, facts | {"from": "hub", "revision": commit}


def _reason(error: Exception) -> str:
    """An error of `datasets` in one line, with advice where the error has none."""
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    text = " ".join(f"{str(error).split('Example of usage')[0].strip() or type(error).__name__}{cause}".split())
    if "scripts are no longer supported" in text:
        text += "; fetch its Parquet file (branch refs/convert/parquet) and name that file as the pool"
    return text
