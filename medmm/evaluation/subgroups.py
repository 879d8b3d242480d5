"""Whether a model serves every group of patients alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from medmm.evaluation.evaluate import HEADLINE, Result, evaluate
from medmm.evaluation.intervals import RESAMPLES, Estimate
from medmm.evaluation.tasks import MACRO, check
from medmm.types import Array, Scores, Task

MINIMUM = 10
"""Patients with a positive study, and patients with a negative one, that a group needs before a number is given: with fewer,
the intervals are too narrow to be believed."""

REPORTED = (HEADLINE, "sensitivity", "specificity")
"""What is compared between groups."""


@dataclass(frozen=True)
class Subgroup:
    """One result of one group: the studies whose subgroup `column` has this `value`."""

    column: str
    value: str
    result: Result


def subgroups(
    scores: Scores, task: Task, thresholds: Sequence[float], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Subgroup, ...]:
    """Evaluate each value of each subgroup column on its own, patients resampled within the group.

    Args:
        scores: Of the test split, with its groups.
        task: What the columns mean.
        thresholds: (C,) the thresholds of the whole, never of the group; empty for a multiclass task.
        resamples: How often patients are drawn anew.
        seed: Of the draws.

    Returns:
        For each group and class, and for the mean over the classes where there are several: headline metric, sensitivity and
        specificity. Below `MINIMUM` the value is NaN and the note says so; a mean needs all its classes.

    Raises:
        DataError: The scores or thresholds are not of this task.
    """
    check(scores, task)
    return tuple(
        Subgroup(column, value, result)
        for column, values in scores.groups.items()
        for value, members in _members(values)
        for result in _results(scores.some(members), task, thresholds, resamples, seed)
    )


def subgroup_table(rows: Sequence[Subgroup]) -> pd.DataFrame:
    """Give one row a result: column, group, metric, class, value, low, high, studies, patients, note."""
    return pd.DataFrame([{"column": row.column, "group": row.value, **row.result.row()} for row in rows])


def _members(values: Array) -> Iterator[tuple[str, Array]]:
    texts = np.asarray([str(value) for value in values])
    for value in np.unique(texts):
        yield str(value), np.flatnonzero(texts == value)


def _results(scores: Scores, task: Task, thresholds: Sequence[float], resamples: int, seed: int) -> Iterator[Result]:
    short = {}  # class -> why it has too few
    for name, target in zip(scores.classes, scores.target.T, strict=True):
        positives, negatives = (len(np.unique(scores.patient[target == outcome])) for outcome in (1, 0))
        if min(positives, negatives) < MINIMUM:
            short[name] = f"not enough data: {positives} positive and {negatives} negative patients, {MINIMUM} each are needed"
    if short:
        short[MACRO] = f"not enough data of {len(short)} of {len(scores.classes)} classes"
    for result in evaluate(scores, task, thresholds, resamples, seed).results:
        if result.metric in REPORTED:
            yield _withheld(result, short[result.class_name]) if result.class_name in short else result


def _withheld(result: Result, note: str) -> Result:
    counted = result.estimate
    return replace(result, estimate=Estimate(np.nan, np.nan, np.nan, counted.studies, counted.patients, 0), note=note)
