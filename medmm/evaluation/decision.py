"""From probability to decision: thresholds chosen on the validation split, applied everywhere else."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from medmm.errors import DataError
from medmm.evaluation.metrics import cumulative_counts
from medmm.evaluation.tasks import check
from medmm.settings import Settings
from medmm.types import Array, Scores, Task

THRESHOLDED: tuple[Task, ...] = ("binary", "multilabel", "ordinal")
"""Tasks in which a threshold decides of each class."""


class DecisionSettings(Settings):
    """Where a probability becomes a diagnosis. A multiclass task takes the likeliest class; values and risks have none."""

    rule: Literal["youden", "sensitivity", "specificity"] = "youden"
    """`youden`: largest sensitivity + specificity; `sensitivity` or `specificity`: at least `at_least` of the one on the
    validation split, then as much as possible of the other."""

    at_least: float = Field(0.9, gt=0, le=1)
    """The sensitivity or specificity to keep; `youden` does not use it."""


def choose_thresholds(scores: Scores, task: Task, settings: DecisionSettings) -> tuple[float, ...]:
    """Choose one threshold a class from the scores of the validation split.

    A threshold lies midway between two neighbouring probabilities, so it calls at least one study positive and one negative.
    None is taken that another equals in one rate and betters in the other; of equally good ones the most sensitive is taken.

    Returns:
        (C,) for a binary, multilabel or ordinal task; empty for the others.

    Raises:
        DataError: A class has no positive, no negative, or no threshold that keeps the rule.

    Source:
        Youden, Index for rating diagnostic tests, Cancer 3 (1950) 32-35.
    """
    check(scores, task)
    if task not in THRESHOLDED:
        return ()
    return tuple(
        _threshold(name, scores.predicted[:, column].astype(np.float64), scores.target[:, column], settings)
        for column, name in enumerate(scores.classes)
    )


def decide(probability: Array, thresholds: Sequence[float], task: Task) -> Array:
    """Decide for each study and class: at or above the threshold, or the likeliest class of a multiclass task.

    A grade is reached only where all lower ones are.

    Args:
        probability: (S, C)
        thresholds: (C,); empty for a multiclass task.
        task: One of classes. A multiclass task takes exactly one class, the first of equals.

    Returns:
        (S, C) bool.

    Raises:
        DataError: Thresholds are not one a class.
    """
    classes = probability.shape[1]
    expected = 0 if task == "multiclass" else classes
    if len(thresholds) != expected:
        raise DataError(
            f"{len(thresholds)} thresholds for a {task} task of {classes} classes, expected {expected}: choose them anew "
            "on the validation split"
        )
    if task == "multiclass":
        return np.asarray(np.arange(classes) == probability.argmax(axis=1)[:, np.newaxis])
    # In float64: float32 would round a threshold onto one of the two probabilities it divides.
    above = np.asarray(probability.astype(np.float64) >= np.asarray(thresholds, np.float64))
    return np.minimum.accumulate(above, axis=1) if task == "ordinal" else above


def _threshold(name: str, probability: Array, target: Array, settings: DecisionSettings) -> float:
    positives, negatives = int((target == 1).sum()), int((target == 0).sum())
    if not positives or not negatives:
        raise DataError(
            f"class {name!r} has {positives} positive and {negatives} negative validation studies, so no threshold can be "
            "chosen: enlarge the validation split"
        )
    cuts = _cuts(probability)  # (G - 1,) descending
    true, false = (counts[0, :-1] for counts in cumulative_counts(probability, target, np.ones((1, len(target)), np.uint8)))
    if settings.rule == "youden":
        gain = true * negatives - false * positives  # in whole numbers, so that equals are equal
        kept = gain == gain.max(initial=-np.inf)
    elif settings.rule == "sensitivity":
        kept = true / positives >= settings.at_least
        kept &= false == false[kept].min(initial=np.inf)
    else:
        kept = (negatives - false) / negatives >= settings.at_least
        kept &= true == true[kept].max(initial=-np.inf)
        kept &= false == false[kept].min(initial=np.inf)
    if not kept.any():
        raise DataError(
            f"class {name!r}: no threshold between the {len(cuts) + 1} distinct probabilities of the validation split keeps "
            f"the rule {settings.rule!r} (at_least: {settings.at_least:g}): lower decision.at_least, or train a better model"
        )
    return float(cuts[kept].min())


def _cuts(probability: Array) -> Array:
    distinct = np.unique(probability)[::-1]
    high, low = distinct[:-1], distinct[1:]
    middle = (high + low) / 2
    return np.where(middle > low, middle, high)  # between direct neighbours there is no middle
