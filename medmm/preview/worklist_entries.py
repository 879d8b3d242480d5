"""What a worklist shows of a study, and what stands on top of it: plain values, whoever made them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One answer to a study.

    Attributes:
        name: What is asked about.
        value: The answer, as text.
        share: It as a length from 0 to 1; None for one that has no such length.
        threshold: From which on it is said, from 0 to 1; None for one without.
        decided: Whether it is said; None where nothing decides.
    """

    name: str
    value: str
    share: float | None = None
    threshold: float | None = None
    decided: bool | None = None


@dataclass(frozen=True)
class Entry:
    """One scored study.

    Attributes:
        patient: Its identifier, as in the results.
        study: Likewise.
        lines: Answers, at least one, the one that matters most first.
        more: Answers that are not among them.
        abstains: Whether no answer should be relied on.
        why: The reasons.
        remaining: What cannot be ruled out, in words; "" where nobody knows.
        inputs: Which the study has.
        absent: Which it lacks.
        adds: Input -> what it adds to the answer; None where that is not known.
        adds_for: The answer that is spoken of.
        alerts: What rules say of it.
    """

    patient: str
    study: str
    lines: tuple[Line, ...]
    more: int = 0
    abstains: bool = False
    why: tuple[str, ...] = ()
    remaining: str = ""
    inputs: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    adds: tuple[tuple[str, float | None], ...] = ()
    adds_for: str = ""
    alerts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """One study that must not be scored: why, and the repair."""

    patient: str
    study: str
    row: int
    code: str
    reason: str
    repair: str


@dataclass(frozen=True)
class Head:
    """What stands on top.

    Attributes:
        title: Headline.
        facts: Sentence below it.
        counts: Number, what it counts, and the anchor of the part that shows it or "".
        says: How to read the page, in sentences.
        unit: Of what inputs add.
    """

    title: str
    facts: str
    counts: Sequence[tuple[int, str, str]]
    says: Sequence[str]
    unit: str = "log odds"
