"""Metrics of one class, for many resamples at once.

A weight says how often a study counts, so a metric with whole weights is the metric of the studies repeated that often. Every
metric takes (S,) predictions, (S,) targets of 0 and 1 and (R, S) weights >= 0, and gives (R,) values; NaN where a value is
undefined, because the weighted studies lack positives or negatives.

Memory: weights stay in their own small type (2,000 x 20,000 of one byte are 40 MB) and are widened a block of rows at a time,
`BLOCK_VALUES` float64 of 8 MB an intermediate array, so that a metric needs less than 200 MB beside its weights.

Letters: S studies, R resamples, G distinct probabilities.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from medmm.types import Array

Metric: TypeAlias = Callable[[Array, Array, Array], Array]
"""(S,) predictions, (S,) targets, (R, S) weights -> (R,) values."""

BLOCK_VALUES = 1 << 20
"""Weights that are widened at once; about what fits in a processor's cache is fastest."""

NEEDED: Mapping[str, tuple[int, ...]] = {"auroc": (0, 1), "auprc": (1,), "sensitivity": (1,), "specificity": (0,)}
"""Metrics that are as uncertain as studies of these targets are few; the others rest on all studies."""


def auroc(probability: Array, target: Array, weights: Array) -> Array:
    """Area under the receiver operating characteristic: the chance that a positive outranks a negative, ties counted half.

    Source:
        Hanley & McNeil, Radiology 143 (1982) 29-36.
    """

    def area(block: Array) -> Array:
        true, false = cumulative_counts(probability, target, block)
        height = true - np.diff(true, axis=1, prepend=0) / 2  # (r, G) midway up each step
        return _ratio((np.diff(false, axis=1, prepend=0) * height).sum(axis=1), true[:, -1] * false[:, -1])

    return by_blocks(area, weights)


def average_precision(probability: Array, target: Array, weights: Array) -> Array:
    """Area under the precision-recall curve: precision at each distinct probability, weighted by the recall gained there.

    Steps, not straight lines, which would be too good (Davis & Goadrich, ICML 2006); as scikit-learn defines it.
    """

    def area(block: Array) -> Array:
        true, false = cumulative_counts(probability, target, block)
        called = true + false
        precision = np.divide(true, called, out=np.zeros_like(true), where=called > 0)
        gained = np.diff(true, axis=1, prepend=0)
        return np.where(false[:, -1] > 0, _ratio((gained * precision).sum(axis=1), true[:, -1]), np.nan)

    return by_blocks(area, weights)


def brier(probability: Array, target: Array, weights: Array) -> Array:
    """Mean squared distance of probability and outcome, 0 best; defined for a single class too (Brier, 1950)."""
    return _mean((probability.astype(np.float64) - target) ** 2, weights)


def sensitivity(decided: Array, target: Array, weights: Array) -> Array:
    """Share of the positives that were called positive; `decided` is (S,) bool."""
    positive = target == 1
    return _mean(decided[positive], weights[:, positive])


def specificity(decided: Array, target: Array, weights: Array) -> Array:
    """Share of the negatives that were called negative; `decided` is (S,) bool."""
    negative = target == 0
    return _mean(~decided[negative], weights[:, negative])


def share(values: Array, weights: Array) -> Array:
    """Mean of (S,) values: the accuracy, where they tell which studies are decided right."""
    return _mean(values, weights)


def prevalence(target: Array, weights: Array) -> Array:
    """Share of the studies that are positive."""
    return _mean(target, weights)


def patients_behind(metric: str, target: Array, patient: Array) -> int:
    """Count the patients on whom a metric of a class rests: those of the rarer outcome that it needs, or all."""
    outcomes = [target == outcome for outcome in NEEDED.get(metric, ())] or [np.ones(len(target), bool)]
    return min(len(np.unique(patient[chosen])) for chosen in outcomes)


def cumulative_counts(probability: Array, target: Array, weights: Array) -> tuple[Array, Array]:
    """Count the positives and negatives at or above each distinct probability, the highest first.

    It holds several (R, S) float64 arrays: give it a block of weights.

    Returns:
        (R, G) weight of the true positives and (R, G) of the false positives, the last column holding their totals.
    """
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # (G,) last study of each tie
    counted = weights[:, order].astype(np.float64)
    positive = target[order] == 1
    true = np.cumsum(counted * positive, axis=1)[:, last]
    false = np.cumsum(counted * ~positive, axis=1)[:, last]
    return true, false


def by_blocks(measure: Callable[[Array], Array], weights: Array) -> Array:
    """Apply (r, S) -> (r, ...) to the (R, S) weights a block of rows at a time, and join the results."""
    rows = max(1, BLOCK_VALUES // max(1, weights.shape[1]))
    return np.concatenate([measure(weights[start : start + rows]) for start in range(0, len(weights), rows)])


def _mean(values: Array, weights: Array) -> Array:
    exact = values.astype(np.float64)
    return by_blocks(lambda block: _ratio(block @ exact, block.sum(axis=1, dtype=np.float64)), weights)


def _ratio(part: Array, whole: Array) -> Array:
    return np.asarray(np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0))
