"""What is predicted, and whether scores are fit to be judged.

Letters, here and in the whole package: S studies, C classes, R resamples.
"""

import numpy as np

from medmm.errors import DataError
from medmm.types import Array, Scores, Task

MACRO = "macro"
"""Stands where a class's name would, for the mean over the classes."""

SUM_TOLERANCE = 1e-2
"""How far the classes of a study may sum from one: half precision, rounded C times, stays well inside."""


def check(scores: Scores, task: Task) -> None:
    """Make sure that scores are complete, consistent, and of this task.

    Raises:
        DataError: Shapes disagree, a probability or a target is impossible, or the columns are not those of the task.
    """
    _check_shapes(scores, 2 if task == "survival" else len(scores.classes))
    if task == "regression":
        _check_values(scores)
        return
    if not np.all((scores.predicted >= 0) & (scores.predicted <= 1)):  # NaN fails too
        raise DataError("a probability is missing or outside 0 to 1: apply the head's sigmoid or softmax before evaluation")
    if task == "survival":
        _check_times(scores)
        return
    if not np.isin(scores.target, (0, 1)).all():
        raise DataError("a target is neither 0 nor 1: leave studies without a certain diagnosis out of the evaluation")
    _check_columns(scores, task)


def has_both(target: Array) -> Array:
    """Tell for each column of (S, C) targets whether it holds a positive and a negative.

    Returns:
        (C,) bool.
    """
    positives = np.asarray(target == 1).sum(axis=0)
    return np.asarray((positives > 0) & (positives < len(target)))


def _check_shapes(scores: Scores, numbers: int) -> None:
    expected = (len(scores.patient), len(scores.classes))
    if 0 in expected:
        raise DataError(f"scores of {expected[0]} studies and {expected[1]} classes: at least one of each is needed")
    asked = {"predicted": (scores.predicted.shape, expected), "target": (scores.target.shape, (expected[0], numbers))}
    for name, (shape, wanted) in asked.items():
        if shape != wanted:
            raise DataError(f"{name} has shape {shape}, patients and classes ask for {wanted}: give one row a study")
    for column, values in scores.groups.items():
        if len(values) != expected[0]:
            raise DataError(f"subgroup column {column!r} has {len(values)} values for {expected[0]} studies: give one a study")
    if len({*scores.classes, MACRO}) != len(scores.classes) + 1:
        raise DataError(f"class names {', '.join(scores.classes)} must differ, and differ from {MACRO!r}: rename one")


def _check_columns(scores: Scores, task: Task) -> None:
    count = len(scores.classes)
    if task == "binary" and count != 1:
        raise DataError(f"a binary task has one column, found {count}: keep the positive class only, or set task: multiclass")
    if task == "ordinal":
        _check_order(scores)
    if task != "multiclass":
        return
    if count == 1:
        raise DataError("a multiclass task has at least two columns, found 1: set task: binary")
    if not (scores.target.sum(axis=1) == 1).all():
        raise DataError("a study has no class or several: a multiclass task needs exactly one, or set task: multilabel")
    if np.abs(scores.predicted.sum(axis=1, dtype=np.float64) - 1).max() > SUM_TOLERANCE:
        raise DataError("probabilities of a study do not sum to 1: apply the softmax, or set task: multilabel")


def _check_order(scores: Scores) -> None:
    for name, values in (("target", scores.target), ("prediction", scores.predicted)):
        if (np.diff(values, axis=1) > 0).any():
            raise DataError(f"a {name} of a higher grade is above that of a lower one: give grades in rising order")


def _check_values(scores: Scores) -> None:
    if len(scores.classes) != 1:
        raise DataError(f"a regression has one column, found {len(scores.classes)}: predict one value a run")
    if not np.isfinite(scores.predicted).all() or not np.isfinite(scores.target).all():
        raise DataError("a value is missing or infinite: leave studies without a value out of the evaluation")


def _check_times(scores: Scores) -> None:
    time, event = scores.target.T
    if not (np.isfinite(time) & (time >= 0)).all() or not np.isin(event, (0, 1)).all():
        raise DataError("a time is missing or below 0, or an event is neither 0 nor 1: leave such studies out")
    if (np.diff(scores.predicted, axis=1) < 0).any():
        raise DataError("a risk is lower by a later horizon: give risks by horizons in rising order")
