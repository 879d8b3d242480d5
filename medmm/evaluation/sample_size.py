"""How sure the numbers of a test set of this size can be, and how many patients a sharper answer takes.

The variance of an AUROC is that of Hanley & McNeil for so many positives and negatives, times how much larger Obuchowski's is
on these studies, whose patients have several each. That of a sensitivity or specificity is binomial, times the design effect:
how much larger it is where the patient is the unit. Of other metrics the interval found shrinks with the root of the patients.
New patients are taken to be like those at hand: as many studies each, as often positive.

Source:
    Hanley & McNeil, Radiology 143 (1982) 29-36.
    Obuchowski, Biometrics 53 (1997) 567-578.
    Agresti & Coull, Am. Stat. 52 (1998) 119-126: two successes and two failures added, so that 20 of 20 is not called certain.
    Rao & Scott, Biometrics 48 (1992) 577-585: design effects of clustered proportions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from medmm.evaluation.decision import decide
from medmm.evaluation.delong import aurocs, placements
from medmm.evaluation.intervals import LEVEL, Estimate
from medmm.evaluation.tasks import has_both
from medmm.types import Array, Scores, Task

HALF_WIDTH = 0.05
"""Half a 95 % interval that calls a number known: 0.80 is then not 0.70 and not 0.90."""

TIMES = (1, 2, 4)
"""So many times the patients at hand."""

MOST_TIMES = 1e6
"""Beyond this nobody asks how many patients it takes."""


@dataclass(frozen=True)
class Expected:
    """How wide the interval of a metric is expected to be.

    Attributes:
        metric: Such as `auroc`.
        class_name: Column of the answers.
        value: That was found, and is taken to be true.
        patients: On whom it rests: with a positive study for an AUROC or a sensitivity, with a negative one for a specificity.
        counted: Who these are, after "patients".
        half_widths: For each of `TIMES`.
        needed: Such patients for a half width of `HALF_WIDTH`; None where no number of patients can be told.
    """

    metric: str
    class_name: str
    value: float
    patients: int
    counted: str
    half_widths: tuple[float, ...]
    needed: int | None

    def row(self) -> dict[str, object]:
        """Give it as cells of a table."""
        widths = {f"half_width_at_{times}x": half for times, half in zip(TIMES, self.half_widths, strict=True)}
        return {
            "metric": self.metric,
            "class": self.class_name,
            "value": self.value,
            "patients": self.patients,
            "counted": self.counted,
            **widths,
            "needed_for_half_width": HALF_WIDTH,
            "needed_patients": self.needed,
        }


def expected_widths(scores: Scores, task: Task, thresholds: Sequence[float]) -> Iterator[Expected]:
    """Tell how wide the intervals of AUROC, sensitivity and specificity are expected to be, of each class with both outcomes.

    Args:
        scores: Of a task of classes.
        task: What the columns mean.
        thresholds: (C,); empty for a multiclass task.
    """
    decided = decide(scores.predicted, thresholds, task)
    for column in np.flatnonzero(has_both(scores.target)):
        name, target = scores.classes[column], scores.target[:, column]
        yield _of_auroc(name, scores.predicted[:, column], target, scores.patient)
        for metric, outcome, counted in (
            ("sensitivity", 1, "with a positive study"),
            ("specificity", 0, "with a negative study"),
        ):
            chosen = target == outcome
            right = decided[chosen, column] == outcome
            yield _of_share(metric, name, right, scores.patient[chosen], counted)


def expected_from(metric: str, name: str, estimate: Estimate, patients: int, counted: str) -> Expected:
    """Tell the same of any other metric, from the interval found, which shrinks with the root of the patients.

    Args:
        metric: Its name.
        name: Column of the answers.
        estimate: What was found.
        patients: On whom it rests.
        counted: Who these are.
    """
    half = (estimate.high - estimate.low) / 2
    return _expected(metric, name, estimate.value, patients, counted, lambda times: half / np.sqrt(times))


def hanley_mcneil(area: float, positives: float, negatives: float) -> float:
    """Give the standard error of an AUROC of so many independent studies.

    Args:
        area: The AUROC.
        positives: Studies.
        negatives: Studies.
    """
    both_positive, both_negative = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (both_positive - area**2) + (negatives - 1) * (both_negative - area**2)
    return float(np.sqrt(max(0.0, variance) / (positives * negatives)))


def clustered_variance(right: Array, patient: Array) -> float:
    """Give the variance of a share with the patient as the unit; NaN of one patient.

    Args:
        right: (n,) bool.
        patient: (n,) whole numbers that tell patients apart.
    """
    patients, index = np.unique(patient, return_inverse=True)
    if len(patients) < 2:
        return np.nan
    off = np.bincount(index, right - np.mean(right))  # (P,)
    return float((off**2).sum() / len(right) ** 2 * len(patients) / (len(patients) - 1))


def _of_auroc(name: str, probability: Array, target: Array, patient: Array) -> Expected:
    found = aurocs(placements(probability, target)[np.newaxis, :, np.newaxis], target[:, np.newaxis], patient)
    area, positives = float(found.value[0]), int((target == 1).sum())
    negatives = len(target) - positives
    independent = hanley_mcneil(area, positives, negatives)
    clustered = float(np.sqrt(max(0.0, found.covariance[0, 0])))  # max keeps NaN out: then Hanley & McNeil alone
    effect = clustered / independent if independent > 0 and clustered > 0 else 1.0
    patients = len(np.unique(patient[target == 1]))
    half = float(norm.ppf((1 + LEVEL) / 2)) * effect
    return _expected(
        "auroc",
        name,
        area,
        patients,
        "with a positive study",
        lambda times: half * hanley_mcneil(area, times * positives, times * negatives),
    )


def _of_share(metric: str, name: str, right: Array, patient: Array, counted: str) -> Expected:
    value, count = float(right.mean()), len(right)
    effect = clustered_variance(right, patient) / (value * (1 - value) / count) if 0 < value < 1 else 1.0
    if not effect > 0:
        effect = 1.0
    planned = (right.sum() + 2) / (count + 4)
    half = float(norm.ppf((1 + LEVEL) / 2) * np.sqrt(effect * planned * (1 - planned) / count))
    return _expected(metric, name, value, len(np.unique(patient)), counted, lambda times: half / np.sqrt(times))


def _expected(
    metric: str, name: str, value: float, patients: int, counted: str, half_width: Callable[[float], float]
) -> Expected:
    halves = tuple(float(half_width(times)) for times in TIMES)
    return Expected(metric, name, value, patients, counted, halves, _needed(patients, half_width))


def _needed(patients: int, half_width: Callable[[float], float]) -> int | None:
    if not half_width(1) > 0 or half_width(MOST_TIMES) > HALF_WIDTH:
        return None
    least = 1 / patients  # one such patient
    if half_width(least) <= HALF_WIDTH:
        return 1
    times = brentq(lambda log: half_width(np.exp(log)) - HALF_WIDTH, np.log(least), np.log(MOST_TIMES), xtol=1e-9)
    return int(np.ceil(np.exp(times) * patients - 1e-6))
