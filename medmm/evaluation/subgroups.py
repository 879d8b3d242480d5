"""Whether a model serves every group of patients alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.intervals import RESAMPLES, Estimate
from medmm.evaluation.results import Result
from medmm.evaluation.tasks import check
from medmm.evaluation.yardstick import YARDSTICKS, too_few
from medmm.types import Array, Scores, Task

MINIMUM = 10
"""Patients with a positive study, and patients with a negative one, that a group needs before a number is given; of a survival
task patients with the event, of a regression patients. With fewer, the intervals are too narrow to be believed."""


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
        thresholds: (C,) the thresholds of the whole, never of the group; empty for a task without them.
        resamples: How often patients are drawn anew.
        seed: Of the draws.

    Returns:
        For each group and class, and for the mean over the classes where there are several: headline metric, sensitivity and
        specificity; for values R² and the mean absolute error, for survival the C-index. Below `MINIMUM` the value is NaN and
        the note says so; a mean needs all its classes.

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
    short = too_few(scores, task, MINIMUM)
    for result in evaluate(scores, task, thresholds, resamples, seed).results:
        if result.metric in YARDSTICKS[task].reported:
            yield _withheld(result, short[result.class_name]) if result.class_name in short else result


def _withheld(result: Result, note: str) -> Result:
    counted = result.estimate
    return replace(result, estimate=Estimate(np.nan, np.nan, np.nan, counted.studies, counted.patients, 0), note=note)
