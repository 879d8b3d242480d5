"""What went into a run: a row a study, without any identifier, and one digest over everything that a run depends on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medmm.files import digest
from medmm.types import Study

if TYPE_CHECKING:
    import pandas as pd

LEFT_OUT = "left out"
DIGITS = 32  # of a content digest; 128 bits do not collide


@dataclass(frozen=True)
class Manifest:
    """The studies of a run.

    Attributes:
        table: row, patient (a running number), part, reason, label, and for each input `present`, `absent` or the code of its
            rejection. It names nobody: only who has the studies table can tell who stands in a row.
        digest: SHA-256 over identifiers, labels, times, parts and the content of every file, cell and note in use.
        files: Content digests of the file inputs of each study, by which a later evaluation knows a study again under any
            name. Cells and notes give none: too many patients share them.
    """

    table: "pd.DataFrame"
    digest: str
    files: tuple[frozenset[str], ...]


def make_manifest(
    studies: Sequence[Study],
    parts: Mapping[int, str],
    reasons: Mapping[int, str],
    evidence: Mapping[str, Sequence[str | None]],
) -> Manifest:
    """Describe the studies of a run.

    Args:
        studies: All of the studies table.
        parts: Index of a study -> its part of the split; the others are left out.
        reasons: Index of a study that is left out -> why, in a word.
        evidence: Input -> content digest of each study's, None where it is absent or not used.
    """
    import pandas as pd

    numbers = patient_numbers(studies)
    rows = [
        {
            "row": study.row,
            "patient": numbers[i],
            "part": parts.get(i, LEFT_OUT),
            "reason": reasons.get(i, ""),
            "label": "" if study.label is None else " ".join(f"{value:g}" for value in study.label),
            **{name: _state(study, name) for name in evidence},
        }
        for i, study in enumerate(studies)
    ]
    whole = digest(
        [
            [
                s.patient_id,
                s.study_id,
                str(s.time),
                s.label,
                parts.get(i),
                [evidence[name][i] for name in sorted(evidence) if i in parts],
            ]
            for i, s in enumerate(studies)
        ]
    )
    files = tuple(
        frozenset(str(evidence[name][i])[:DIGITS] for name, one in study.evidence.items() if one.files and evidence[name][i])
        for i, study in enumerate(studies)
    )
    return Manifest(pd.DataFrame(rows), whole, files)


def patient_numbers(studies: Sequence[Study]) -> list[int]:
    """Number the patients in the order of their first study, from 1; the same person has the same number."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(study.patient_id, len(numbers) + 1) for study in studies]


def _state(study: Study, name: str) -> str:
    if name in study.rejected:
        return study.rejected[name].code.value
    return "present" if name in study.evidence else "absent"
