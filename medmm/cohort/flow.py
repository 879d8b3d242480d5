"""Who of an export is in a run and who is not: how many patients and studies each step leaves out, and why.

Source: the flow of participants that STARD 2015 (item 19) and TRIPOD+AI (item 20a) ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medmm.errors import Code
from medmm.types import Study

if TYPE_CHECKING:
    import pandas as pd

NO_LABEL, NO_INPUT = "no label", "no input"
"""Why a study is left out that has no label, or none of the inputs."""

CODES = frozenset(code.value for code in Code)

EXPORT, LABELLED, TOLD, READ, SPLIT = (
    "in the studies table",
    "with a label",
    "with an input",
    "that can be read",
    "in the split",
)


@dataclass(frozen=True)
class Count:
    """Patients and studies.

    Attributes:
        name: What they are: a step, why they were left out, or a part of the split.
        patients: With a study among them; of those who were left out, with none that was not.
        studies: How many.
    """

    name: str
    patients: int
    studies: int


@dataclass(frozen=True)
class Step:
    """What is there, and what is left out before the next step.

    Attributes:
        there: What is there.
        left: Why some of it goes no further, the most frequent reason first.
    """

    there: Count
    left: tuple[Count, ...]


@dataclass(frozen=True)
class Flow:
    """The whole way.

    Attributes:
        steps: From the studies table on; steps at which nobody was left out do not stand here, but for the first and the last.
        parts: Of the split; empty where there is none.
    """

    steps: tuple[Step, ...]
    parts: tuple[Count, ...]

    def table(self) -> pd.DataFrame:
        """Give a row a step, reason and part."""
        import pandas as pd

        rows: list[dict[str, object]] = []
        for step in self.steps:
            rows.append({"step": step.there.name, "left_out": "", **_numbers(step.there)})
            rows += [{"step": step.there.name, "left_out": one.name, **_numbers(one)} for one in step.left]
        return pd.DataFrame([*rows, *({"step": f"part: {one.name}", "left_out": "", **_numbers(one)} for one in self.parts)])


def make_flow(studies: Sequence[Study], left_out: Mapping[int, str], parts: Mapping[str, Sequence[int]]) -> Flow:
    """Count who goes how far.

    Args:
        studies: All of the studies table.
        left_out: Index of a study -> why it is left out, in a word.
        parts: Part of the split -> indices of its studies; empty where there is no split.
    """
    remaining = list(range(len(studies)))
    steps: list[Step] = []
    there = _count(EXPORT, studies, remaining)
    for nature, after in ((CODES, READ), ({NO_LABEL}, LABELLED), ({NO_INPUT}, TOLD), (None, SPLIT)):
        reasons: dict[str, list[int]] = {}
        for i in remaining:
            if i in left_out and (nature is None or left_out[i] in nature):
                reasons.setdefault(left_out[i], []).append(i)
        if reasons:
            gone = {i for some in reasons.values() for i in some}
            remaining = [i for i in remaining if i not in gone]
            staying = {studies[i].patient_id for i in remaining}
            left = [_count(why, studies, some, staying) for why, some in reasons.items()]
            steps.append(Step(there, tuple(sorted(left, key=lambda one: (-one.studies, one.name)))))
            there = _count(after, studies, remaining)
    last = Count("in use", there.patients, there.studies) if steps else there
    return Flow((*steps, Step(last, ())), tuple(_count(part, studies, rows) for part, rows in parts.items()))


def is_rejected(why: str | None) -> bool:
    """Tell whether a study is left out for what a scoring would reject it for: its data, or that it has none of the inputs."""
    return why in CODES or why == NO_INPUT


def _count(name: str, studies: Sequence[Study], rows: Sequence[int], staying: set[str] | frozenset[str] = frozenset()) -> Count:
    return Count(name, len({studies[i].patient_id for i in rows} - staying), len(rows))


def _numbers(one: Count) -> dict[str, object]:
    return {"patients": one.patients, "studies": one.studies}
