"""How well something tells of the label by itself: an AUROC by patient, out of fold where anything is fitted.

Letters: S studies, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medmm.types import Array

FOLDS = 5
LEAST_PATIENTS = 10
"""Of each side of the label: below it an AUROC says nothing."""

LEVEL = 0.05
"""Chance that an AUROC lies below the low end of its one-sided interval."""


@dataclass(frozen=True)
class Association:
    """How well something tells of a label.

    Attributes:
        auroc: With the same weight for each patient. 0.5 tells nothing; below it where a fit does worse on patients that it
            has not seen.
        low: Low end of its one-sided 95 % interval, with the number of patients as the number of observations.
        studies, patients: On which it was found.
    """

    auroc: float
    low: float
    studies: int
    patients: int

    def __str__(self) -> str:
        return f"AUROC {self.auroc:.2f}, at least {self.low:.2f}, {self.patients} patients"


def of_number(values: Array, label: Array, patient: Array, tried: int = 1) -> Association | None:
    """Tell how well one number separates the label, in the direction in which it does so better.

    Args:
        values: (S,) NaN where it is missing.
        label: (S,) of 0 and 1.
        patient: (S,) whole numbers.
        tried: Of how many numbers this is the best; the interval holds for all of them (Bonferroni).

    Returns:
        None where fewer than `LEAST_PATIENTS` of either side have a value.
    """
    known = ~np.isnan(values)
    found = _association(values[known], label[known], patient[known], tried)
    if found is None or found.auroc >= 0.5:
        return found
    return _association(-values[known], label[known], patient[known], tried)


def of_features(features: Array, label: Array, patient: Array, tried: int = 1) -> Association | None:
    """Tell how well features separate the label of patients on whom nothing was fitted (logistic regression).

    Args:
        features: (S, F), dense or a scipy sparse matrix.
        label: (S,) of 0 and 1.
        patient: (S,) whole numbers.
        tried: As with `of_number`.

    Returns:
        None where there are fewer than `LEAST_PATIENTS` on either side.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.preprocessing import MaxAbsScaler

    if not _suffice(label, patient) or not features.shape[1]:
        return None
    scaled = MaxAbsScaler().fit_transform(features)
    score, weight = np.zeros(len(label)), _weight(label, patient)
    for learn, judge in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(scaled, label, patient):
        if label[learn].min() < label[learn].max():
            model = LogisticRegression(class_weight="balanced", max_iter=1000)
            score[judge] = model.fit(scaled[learn], label[learn], weight[learn]).decision_function(scaled[judge])
    return _association(score, label, patient, tried)


def _association(score: Array, label: Array, patient: Array, tried: int = 1) -> Association | None:
    from scipy.stats import norm
    from sklearn.metrics import roc_auc_score

    if not _suffice(label, patient):
        return None
    auroc = float(roc_auc_score(label, score, sample_weight=_weight(label, patient)))
    positive, negative = (len(np.unique(patient[label == side])) for side in (1, 0))
    low = auroc - float(norm.isf(LEVEL / tried)) * _standard_error(auroc, positive, negative)
    return Association(auroc, low, len(label), len(np.unique(patient)))


def _weight(label: Array, patient: Array) -> Array:
    """Give each patient the same weight on a side of the label, however many studies it has there (mean 1)."""
    _, place, count = np.unique(np.stack([label, patient]), axis=1, return_inverse=True, return_counts=True)
    weight = 1 / count[place.ravel()]
    return np.asarray(weight / weight.mean())


def _standard_error(auroc: float, positive: int, negative: int) -> float:
    """Give the standard error of an AUROC (Hanley & McNeil, Radiology 143 (1982) 29-36)."""
    both_positive = auroc / (2 - auroc)
    both_negative = 2 * auroc**2 / (1 + auroc)
    variance = auroc * (1 - auroc) + (positive - 1) * (both_positive - auroc**2) + (negative - 1) * (both_negative - auroc**2)
    return float(np.sqrt(max(variance, 0) / (positive * negative)))


def _suffice(label: Array, patient: Array) -> bool:
    return all(len(np.unique(patient[label == side])) >= LEAST_PATIENTS for side in (0, 1))
