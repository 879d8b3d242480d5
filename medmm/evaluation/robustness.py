"""How far the headline falls as an input is damaged more and more. S studies, R resamples."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medmm.evaluation.intervals import Estimate, summarise
from medmm.evaluation.metrics import share
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.types import Array, Scores, Task


@dataclass(frozen=True)
class Step:
    """What a model says at one severity of a damage.

    Attributes:
        severity: 0 for the input as it is.
        headline: Of the studies that were not refused.
        drop: How much lower it is than that of the same studies undamaged, paired by patient.
        refused: Share of the studies that were refused, which is the right answer to what cannot be.
    """

    severity: float
    headline: Estimate
    drop: Estimate
    refused: Estimate


@dataclass(frozen=True)
class Curve:
    """One input under one damage, from undamaged to hard.

    Attributes:
        source: Name of the input.
        damage: Name of the damage.
        label: The damage for the eye.
        unit: What the severity counts.
        steps: By severity, the first undamaged.
    """

    source: str
    damage: str
    label: str
    unit: str
    steps: tuple[Step, ...]

    @property
    def worst(self) -> Step | None:
        """The step with the largest drop; None where no drop is defined."""
        defined = [one for one in self.steps[1:] if np.isfinite(one.drop.value)]
        return max(defined, key=lambda one: one.drop.value, default=None)


def judge(clean: Scores, damaged: Array, kept: Array, severity: float, task: Task, weights: Array) -> Step:
    """Judge what is said of damaged studies beside what was said of them before.

    With fewer than `MINIMUM` patients of each outcome among those who were not refused, headline and drop are NaN.

    Args:
        clean: Scores of the studies as they are.
        damaged: (S, C) what is said of them damaged; anything where a study was refused.
        kept: (S,) which studies were not refused.
        severity: Of the damage.
        task: What the columns mean.
        weights: (1 + R, S), of `sample_and_resamples`.
    """
    yardstick = YARDSTICKS[task]
    patient = clean.patient[kept]
    before = clean.some(kept)
    after = Scores(before.classes, damaged[kept], before.target, before.patient)
    headline = drop = np.full(len(weights), np.nan)
    few = yardstick.rests_on(before) if kept.any() else 0
    if few >= MINIMUM:
        headline = yardstick.of(after, weights[:, kept])
        drop = yardstick.of(before, weights[:, kept]) - headline
    refused = summarise(share(~kept, weights), clean.patient)
    found, lost = (summarise(one, patient, rests_on=few) for one in (headline, drop))
    return Step(severity, found, lost, refused)


def curve_table(curves: list[Curve]) -> pd.DataFrame:
    """Give one row a severity: input, damage, severity, headline, drop and share refused with limits, studies, patients."""
    return pd.DataFrame(
        [
            {
                "input": curve.source,
                "damage": curve.damage,
                "severity": one.severity,
                "counts": curve.unit,
                **{
                    f"{name}{end}": getattr(estimate, part)
                    for name, estimate in (("headline", one.headline), ("drop", one.drop), ("refused", one.refused))
                    for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
                },
                "studies": one.headline.studies,
                "patients": one.headline.patients,
                "damaged_studies": one.refused.studies,
            }
            for curve in curves
            for one in curve.steps
        ]
    )
