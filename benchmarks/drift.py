"""How often `medmm monitor` raises an alarm: of batches in which nothing has changed, and of batches with a planted drift.

A simulated hospital: patients with one to five studies share what the model sees of them, so their studies are far from
independent. Three inputs, each absent by a chance of the patient's own; embeddings of 32 numbers in which few directions vary
much. Each batch has a hospital of its own: a training of 400 studies, 600 validation studies of which the package keeps 500,
and a batch either of one study a patient, as a night brings it, or of all studies of its patients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import binomtest, norm

from medmm.evaluation.drift import fit_drift
from medmm.monitoring.drift_tests import Batch, drift_findings, has_enough
from medmm.types import Array

WIDTH = 32
INPUTS = ("image", "labs", "notes")
ABSENT = (0.05, 0.15, 0.3)
STUDIES_EACH = (1, 5)
SPECTRUM = 1 / np.sqrt(1 + np.arange(WIDTH))
TRAINING, VALIDATION = 400, 600
ALPHA = 0.04
"""What `medmm monitor` leaves drift of its 0.05 where there are no labels: shares of studies have the rest."""
BATCHES, EACH, DRAWS = 200, 50, 499
"""Batches in which nothing has changed, and with each of the four drifts."""
SIZES = (30, 1000)
CURVE_SIZES, CURVE_BATCHES = (30, 100, 300), 30


@dataclass(frozen=True)
class Change:
    """What is planted.

    Attributes:
        scanner: Shift of the image's embedding in a direction of its own, in root mean squared distances of the patients
            without the illness from their mean.
        share: Of the studies that it meets.
        absent: Further share of studies that lose their laboratory values.
        prevalence: Share of the studies that are ill.
        logit: Added to the log odds of every answer.
    """

    scanner: float = 0.0
    share: float = 1.0
    absent: float = 0.0
    prevalence: float = 0.2
    logit: float = 0.0


NOTHING = Change()
PLANTED: Mapping[str, Sequence[tuple[str, Change]]] = {
    "another scanner": [
        ("0.25 SD", Change(scanner=0.25)),
        ("0.5 SD", Change(scanner=0.5)),
        ("1 SD", Change(scanner=1.0)),
        ("1 SD, of a third of the studies", Change(scanner=1.0, share=1 / 3)),
    ],
    "laboratory values go absent (15 % before)": [
        ("25 %", Change(absent=0.118)),
        ("40 %", Change(absent=0.294)),
        ("all", Change(absent=1.0)),
    ],
    "prevalence (20 % before)": [
        ("30 %", Change(prevalence=0.3)),
        ("50 %", Change(prevalence=0.5)),
        ("80 %", Change(prevalence=0.8)),
    ],
    "all log odds shifted": [("0.7", Change(logit=0.7)), ("1.5", Change(logit=1.5)), ("2.5", Change(logit=2.5))],
}
FOUND = ("1 SD", "all", "80 %", "2.5")
"""Of each drift the size that is to be found in batches of every size."""


class Studies(NamedTuple):
    """Simulated studies: what a model would say of them, whose they are, its answers (S, 1)."""

    joint: Array
    pooled: dict[str, Array]
    present: Array
    patient: Array
    answers: Array


def simulate(rng: np.random.Generator, studies: int, change: Change = NOTHING, *, one_each: bool = False) -> Studies:
    """Draw studies, of one or of several a patient."""
    each = np.ones(studies, int) if one_each else rng.integers(STUDIES_EACH[0], STUDIES_EACH[1] + 1, studies)
    patient = np.repeat(np.arange(studies), each)[:studies]
    people = int(patient.max()) + 1
    mix = np.linalg.qr(np.random.default_rng(99).normal(size=(WIDTH, WIDTH)))[0]
    ill = rng.random(people)[patient] < change.prevalence
    severity = 2.0 * ill + 0.6 * rng.normal(size=people)[patient] + 0.6 * rng.normal(size=studies)
    likely = 0.6 * rng.normal(size=(people, len(INPUTS)))[patient] + 0.8 * rng.normal(size=(studies, len(INPUTS)))
    present = likely > norm.ppf(ABSENT)
    present[:, 1] &= rng.random(studies) >= change.absent
    pooled = {}
    for place, name in enumerate(INPUTS):
        inner = 0.6 * rng.normal(size=(people, WIDTH))[patient] + 0.8 * rng.normal(size=(studies, WIDTH))
        inner[:, 0] = 0.7 * inner[:, 0] + severity
        values = (inner * SPECTRUM) @ mix
        if name == "image":
            other = rng.random(studies) < change.share
            direction = np.random.default_rng(7).normal(size=WIDTH)
            length = change.scanner * np.sqrt((SPECTRUM**2).sum())
            values += np.outer(other, direction / np.linalg.norm(direction) * length)
        pooled[name] = np.where(present[:, [place]], values, 0).astype(np.float32)
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)
    joint = (np.sum(list(pooled.values()), axis=0) / count).astype(np.float32)
    seen = (joint @ mix.T)[:, 0]
    return Studies(joint, pooled, present, patient, expit(-2.2 + 2.0 * seen + change.logit)[:, None])


def has_alarm(seed: Sequence[int], studies: int, change: Change, *, one_each: bool, draws: int = DRAWS) -> bool | None:
    """Tell whether a batch raises an alarm; None where it has too few patients for a verdict."""
    rng = np.random.default_rng(seed)
    training, validation = simulate(rng, TRAINING), simulate(rng, VALIDATION)
    known = fit_drift(training, validation, validation.answers, validation.patient)
    new = simulate(rng, studies, change, one_each=one_each)
    if not has_enough(new.patient):
        return None
    embedding = np.array(known.cells(new), np.float16).reshape(studies, len(INPUTS) + 1, -1)
    batch = Batch(new.patient, new.answers, new.present, embedding)
    return any(one.adjusted <= ALPHA for one in drift_findings(known, ("ill",), batch, draws, int(seed[-1])))


def alarms(change: Change, name: int, batches: int = BATCHES, *, one_each: bool) -> tuple[int, int]:
    """Count alarms, and verdicts, of batches whose sizes lie evenly, in ratios, from 30 to 1,000."""
    sizes = np.geomspace(*SIZES, batches).round().astype(int)
    seeds = ((name, int(one_each), number) for number in range(batches))
    answers = [has_alarm(seed, size, change, one_each=one_each) for seed, size in zip(seeds, sizes, strict=True)]
    return sum(one is True for one in answers), sum(one is not None for one in answers)


@dataclass(frozen=True)
class Table:
    """A table, with a sentence below it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]] = field(default_factory=list)
    verdict: str = ""

    def markdown(self) -> str:
        """Give the table."""
        lines = [f"**{self.title}**", "", f"| {' | '.join(self.columns)} |", f"|{' --- |' * len(self.columns)}"]
        lines += [f"| {' | '.join(map(str, row))} |" for row in self.rows]
        return "\n".join([*lines, *(["", self.verdict] if self.verdict else [])])


def told(count: int, of: int) -> tuple[int, str]:
    """Give the number of verdicts, and the share of alarms with its exact 95 % interval (Clopper & Pearson)."""
    limits = binomtest(count, of).proportion_ci(0.95)
    return of, f"{count / of:.1%} [{limits.low:.1%}, {limits.high:.1%}]"


def run() -> list[Table]:
    """Plant nothing, then each drift."""
    rows = []
    kinds = {"one study a patient": True, "one to five studies a patient": False}
    for kind, one_each in kinds.items():
        rows.append(("nothing", kind, *told(*alarms(NOTHING, 0, one_each=one_each))))
    for kind, one_each in kinds.items():
        total = judged = 0
        for number, (name, sizes) in enumerate(PLANTED.items(), 1):
            size, change = next(one for one in sizes if one[0] in FOUND)
            found, of = alarms(change, number, EACH, one_each=one_each)
            total, judged = total + found, judged + of
            rows.append((f"{name}: {size}", kind, *told(found, of)))
        rows.append(("any of the four", kind, *told(total, judged)))
    first = Table(
        f"Batches of {SIZES[0]} to {SIZES[1]:,} studies, {BATCHES} with nothing planted, {EACH} a drift; alpha {ALPHA:.0%}",
        ("planted", "batch", "verdicts", "alarms"),
        rows,
        "A batch of fewer than 20 patients gets no verdict, and does not count.",
    )
    curves = []
    for number, (name, sizes) in enumerate(PLANTED.items(), 10):
        for place, (size, change) in enumerate(sizes):
            found = [_found(change, (number, place), studies) for studies in CURVE_SIZES]
            curves.append((f"{name}: {size}", *(f"{one:.0%}" for one in found)))
    second = Table(
        f"Share of {CURVE_BATCHES} batches, one study a patient, that raise an alarm, by their studies",
        ("planted", *(f"{one:,}" for one in CURVE_SIZES)),
        curves,
        f"A share of {CURVE_BATCHES} batches is known to within 18 points.",
    )
    return [first, second]


def _found(change: Change, seed: tuple[int, int], studies: int) -> float:
    hits = [has_alarm((*seed, studies, number), studies, change, one_each=True) for number in range(CURVE_BATCHES)]
    return float(np.mean([one is True for one in hits]))
