"""By which number the models of a task are compared. Of each, more is better.

Letters: S studies, R resamples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from medmm.evaluation.survival import c_index
from medmm.evaluation.tasks import MACRO, has_both
from medmm.evaluation.values import r_squared
from medmm.evaluation.within_folds import headline_within
from medmm.types import Array, Scores, Task


@dataclass(frozen=True)
class Yardstick:
    """A number, and what must be known to judge by it.

    Attributes:
        metric: Its name in results and in MLflow.
        label: Its name for the eye.
        nothing: What a model that knows nothing reaches.
        within: (scores, (S,) fold, (R, S) weights) -> (R,): studies are compared with those of their own fold only.
        rests_on: Counts the patients on whom it rests.
        counted: Who these are, after "have".
        reported: Metrics that are given of each subgroup.
        shares_a_scale: Whether what two models say can be compared across folds.
    """

    metric: str
    label: str
    nothing: float
    within: Callable[[Scores, Array, Array], Array]
    rests_on: Callable[[Scores], int]
    counted: str
    reported: tuple[str, ...]
    shares_a_scale: bool = False

    def of(self, scores: Scores, weights: Array) -> Array:
        """Give the number for (R, S) weights: (R,)."""
        return self.within(scores, np.zeros(len(scores.patient), np.int64), weights)


def rarer_patients(scores: Scores) -> int:
    """Count the patients who have a study of the rarer outcome; the least over the classes with positives and negatives."""
    outcomes = [scores.target[:, c] == outcome for c in np.flatnonzero(has_both(scores.target)) for outcome in (0, 1)]
    return min((len(np.unique(scores.patient[chosen])) for chosen in outcomes), default=0)


def _r_squared(scores: Scores, _: Array, weights: Array) -> Array:
    return r_squared(scores.predicted[:, 0], scores.target[:, 0], weights)


def _c_index(scores: Scores, fold: Array, weights: Array) -> Array:
    return c_index(scores.predicted[:, -1], scores.target, weights, fold)


def _patients(scores: Scores) -> int:
    return len(np.unique(scores.patient))


def _patients_with_the_event(scores: Scores) -> int:
    return len(np.unique(scores.patient[scores.target[:, 1] == 1]))


AUROC = Yardstick(
    "auroc",
    "AUROC",
    0.5,
    headline_within,
    rarer_patients,
    "a study of the rarer outcome",
    ("auroc", "sensitivity", "specificity"),
)
R_SQUARED = Yardstick("r2", "R²", 0.0, _r_squared, _patients, "a value", ("r2", "mae"), shares_a_scale=True)
C_INDEX = Yardstick("c_index", "C-index", 0.5, _c_index, _patients_with_the_event, "the event", ("c_index",))

YARDSTICKS: Mapping[Task, Yardstick] = {
    "binary": AUROC,
    "multiclass": AUROC,
    "multilabel": AUROC,
    "ordinal": AUROC,
    "regression": R_SQUARED,
    "survival": C_INDEX,
}


def headline(scores: Scores, weights: Array, yardstick: Yardstick = AUROC) -> Array:
    """Give the number by which models are compared, for (R, S) weights: (R,)."""
    return yardstick.of(scores, weights)


def too_few(scores: Scores, task: Task, least: int) -> dict[str, str]:
    """Tell which results rest on too few patients to be given, and why: name of the column, or `MACRO` -> why.

    Args:
        scores: Of a group.
        task: What the columns mean.
        least: Patients of each outcome that a class needs, with an event, or at all.
    """
    yardstick = YARDSTICKS[task]
    if yardstick is not AUROC:
        few = yardstick.rests_on(scores)
        why = f"not enough data: {few} patients have {yardstick.counted}, {least} are needed"
        return dict.fromkeys(scores.classes, why) if few < least else {}
    short = {}
    for name, target in zip(scores.classes, scores.target.T, strict=True):
        positives, negatives = (len(np.unique(scores.patient[target == outcome])) for outcome in (1, 0))
        if min(positives, negatives) < least:
            short[name] = f"not enough data: {positives} positive and {negatives} negative patients, {least} each are needed"
    if short:
        short[MACRO] = f"not enough data of {len(short)} of {len(scores.classes)} classes"
    return short
