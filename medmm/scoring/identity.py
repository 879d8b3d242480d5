"""Which study it is, and whether it is still as it was: the two halves of "scored exactly once"."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from medmm.cohort.index import Stamp
from medmm.files import digest
from medmm.settings import Plain
from medmm.types import Evidence, Study

GONE: Stamp = (-1, -1, -1)
"""Of a file that is not there."""


@dataclass(frozen=True)
class Named:
    """A study by the names that a ledger knows it by.

    Attributes:
        study: It.
        key: Tells it from other studies, whatever it holds.
        digest: Changes with its cells, its notes and its files.
    """

    study: Study
    key: str
    digest: str


def keys_of(studies: Iterable[Study]) -> list[str]:
    """Give the key of each study; of several rows with one identifier each has its own."""
    times: Counter[str] = Counter()
    keys = []
    for study in studies:
        times[study.study_id] += 1
        keys.append(digest([study.study_id, times[study.study_id]]))
    return keys


def study_digest(study: Study) -> str:
    """Give a digest of all that a score depends on, but for the model.

    Of files it takes size and times, as the index of image folders does: the time of the last change of anything can be set by
    nobody, and a study of a thousand slices is known in milliseconds. Where a file lies is of no matter.
    """
    return digest(
        [
            study.patient_id,
            study.study_id,
            study.time.isoformat() if study.time else None,
            dict(study.cells),
            {name: _plain(one) for name, one in study.evidence.items()},
            {name: reason.code.value for name, reason in study.rejected.items()},
        ]
    )


def _plain(evidence: Evidence) -> Plain:
    cells = None if evidence.cells is None else dict(evidence.cells)
    return [[list(_stamp(file)) for file in evidence.files], list(evidence.counts), cells, evidence.text]


def _stamp(file: Path) -> Stamp:
    try:
        told = file.stat()
    except OSError:
        return GONE
    return told.st_size, told.st_mtime_ns, told.st_ctime_ns
