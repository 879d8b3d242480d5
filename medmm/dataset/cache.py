"""Prepared arrays on disk: memory-mapped shards keyed by the files' content, the settings and the code version.

A shard is a folder with one `.npy` a field and `shard.json`; it is complete or not there, and checked against its digests
before use. A change of a file, a setting or the code gives another key, so a stale value cannot come back.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from medmm import __version__
from medmm.dataset.decode import prepare_studies
from medmm.errors import Code, Rejected
from medmm.files import digest, digest_file, write_json, writing_folder
from medmm.inputs.base import Input
from medmm.settings import Plain
from medmm.types import Array, Evidence, Study
from medmm.workers import cores

SHARD_STUDIES = 256
NOTES = "shard.json"
FORMAT = 1  # of a shard; another number makes every key another

Progress: TypeAlias = Callable[[int, int], None]
"""Called with what is done and the whole."""

ABSENT = -1

PASSING = frozenset({Code.CRASH, Code.TIMEOUT, Code.MEMORY})
"""Reasons that may lie in the machine rather than in the study: they hold for one run, and the next one tries again."""


@dataclass(frozen=True)
class PreparedInput:
    """One input of all studies, ready to be gathered.

    Attributes:
        place: (S, 2) shard and row of each study; `ABSENT` where it has none.
        shards: Field -> the memory-mapped array (rows, ...) of each shard.
        rejected: Index of a study -> why it must not be used.
        digests: (S,) content digest of what each study has, None where it has nothing.
    """

    place: Array
    shards: tuple[Mapping[str, Array], ...]
    rejected: Mapping[int, Rejected]
    digests: Sequence[str | None]

    def fields(self, index: int) -> dict[str, Array] | None:
        """Give the prepared arrays of a study; None where the input is absent."""
        shard, row = self.place[index]
        return None if shard == ABSENT else {name: values[row] for name, values in self.shards[shard].items()}


def evidence_digests(studies: Sequence[Study], name: str) -> list[str | None]:
    """Give the content digest of one input of each study; None where it is absent."""
    with ThreadPoolExecutor(cores()) as threads:
        return list(threads.map(lambda study: _evidence_digest(study.evidence.get(name)), studies))


def prepare_input(
    studies: Sequence[Study], one: Input[object], folder: Path, workers: int | None = None, progress: Progress | None = None
) -> PreparedInput:
    """Give one input of all studies from the cache, and decode what is not in it.

    Args:
        studies: All studies of the run, gathered.
        one: The fitted input.
        folder: Where the shards lie.
        workers: Processes that decode; None takes one a core.
        progress: Told how many studies are ready.
    """
    digests = evidence_digests(studies, one.name)
    has = [index for index, known in enumerate(digests) if known is not None]
    place = np.full((len(studies), 2), ABSENT)
    shards: list[Mapping[str, Array]] = []
    rejected: dict[int, Rejected] = {}
    for start in range(0, len(has), SHARD_STUDIES):
        rows = has[start : start + SHARD_STUDIES]
        path = folder / one.name / digest([FORMAT, __version__, one.key(), [digests[i] for i in rows]])[:32]
        notes = _read_notes(path)
        if notes is None or any(reason and reason["code"] in PASSING for reason in notes["rejected"]):
            _fill(path, [studies[i] for i in rows], one, workers, partial(_tell, progress, start, len(has)))
            notes = _read_notes(path)
            assert notes is not None, "a shard that was just written is whole"
        _tell(progress, start, len(has), len(rows))
        for index, (row, reason) in zip(rows, zip(notes["rows"], notes["rejected"], strict=True), strict=True):
            if reason is None:
                place[index] = len(shards), row
            else:
                where = f"{studies[index].key}, {reason['where']}"
                rejected[index] = Rejected(Code(reason["code"]), where, reason["found"], reason["expected"], reason["repair"])
        shards.append({name: np.load(path / f"{name}.npy", mmap_mode="r") for name in notes["fields"]})
    return PreparedInput(place, tuple(shards), rejected, digests)


def _fill(path: Path, studies: Sequence[Study], one: Input[object], workers: int | None, tell: Callable[[int], None]) -> None:
    """Decode the studies of one shard and write it."""
    columns: dict[str, list[Array]] = {}
    rows: list[int | None] = []
    reasons: list[dict[str, str] | None] = []
    kept = 0
    for study, prepared in prepare_studies(studies, {one.name: one}, workers):
        if isinstance(prepared, Rejected):
            reasons.append(
                {
                    "code": prepared.code.value,
                    "where": prepared.where.removeprefix(f"{study.key}, "),
                    "found": prepared.found,
                    "expected": prepared.expected,
                    "repair": prepared.repair,
                }
            )
            rows.append(None)
        else:
            for name, values in prepared[one.name].items():
                columns.setdefault(name, []).append(values)
            rows.append(kept)
            reasons.append(None)
            kept += 1
        tell(len(rows))
    with writing_folder(path) as temporary:
        for name, arrays in columns.items():
            np.save(temporary / f"{name}.npy", np.stack(arrays))
        files = {name: digest_file(temporary / f"{name}.npy") for name in columns}
        notes = {"fields": files, "rows": rows, "rejected": reasons}
        write_json(temporary / NOTES, {"notes": notes, "digest": digest(notes)})


def _read_notes(path: Path) -> Plain | None:
    """Give what a shard says of its studies; None where the shard is missing, damaged or incomplete."""
    try:
        content = json.loads((path / NOTES).read_text(encoding="utf-8"))
        notes = content["notes"]
        whole = digest(notes) == content["digest"] and all(
            digest_file(path / f"{name}.npy") == known for name, known in notes["fields"].items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return notes if whole else None


def _evidence_digest(evidence: Evidence | None) -> str | None:
    if evidence is None:
        return None
    if evidence.files:
        images = [sorted(digest_file(path) if path.is_file() else "" for path in files) for files in evidence.images()]
        return digest(sorted(images) if evidence.counts else images[0])  # under any file names
    return digest([dict(evidence.cells) if evidence.cells is not None else None, evidence.text])


def _tell(progress: Progress | None, before: int, whole: int, done: int) -> None:
    if progress is not None:
        progress(before + done, whole)
