"""How far a batch lies from the reference, for many draws of both at once.

n studies of both, B draws, F directions of an embedding. Every measure takes how often each study counts on either side,
(1 + B, n) twice, and gives (1 + B,) values >= 0.

Source:
    Gretton et al., A kernel two-sample test, JMLR 13 (2012) 723-773: maximum mean discrepancy, median heuristic (section 8).
"""

import numpy as np

from medmm.monitoring.null import Counted
from medmm.types import Array

FLAT = 1e-3
"""A direction whose deviation is a smaller share of the largest does not vary: rounding, which differs from machine to machine,
would be made as large as what the model sees."""

MOST_PAIRED = 250
"""Studies whose distances the median is taken of; it hardly moves beyond."""


def kolmogorov_smirnov(values: Array, counted: Counted) -> Array:
    """Give the largest difference between the shares of studies at or below a value (n,), in [0, 1]."""
    order = np.argsort(values, kind="stable")
    last = np.flatnonzero(np.append(np.diff(values[order]) > 0, True))  # of each tie
    difference = np.cumsum(_shares(counted)[:, order], axis=1)[:, last]
    return np.asarray(np.abs(difference).max(axis=1))


def rate_difference(has: Array, counted: Counted) -> Array:
    """Give the difference between the shares of studies that have something, (n,) bool, without its sign."""
    return np.asarray(np.abs(_shares(counted) @ has.astype(np.float32)))


def discrepancy(values: Array, counted: Counted) -> Array:
    """Give the squared maximum mean discrepancy of embeddings (n, F), in [0, 2].

    The kernel is the mean of two Gaussian ones with the median of distances as their width. One sees the embedding as it is,
    and in it the directions in which the model's evidence varies most; one sees every direction alike, for a scanner may shift
    one in which little varied.
    """
    weights = _shares(counted)
    return np.asarray(np.einsum("bn,bn->b", weights @ _kernel(values), weights).clip(0))


def mean_shift(values: Array, counted: Counted) -> float:
    """Give how far the means of embeddings (n, F) lie apart, in standard deviations, less what chance alone would show."""
    alike = standardised(values)
    squared = ((_shares(counted) @ alike) ** 2).sum(axis=1)
    return float(np.sqrt(max(0.0, squared[0] - squared[1:].mean())))


def _shares(counted: Counted) -> Array:
    """Give (1 + B, n) by how much the batch's share of each study exceeds the reference's; zeros where a side has none.

    The draws are centred: where the sides differ in studies a patient, only patients of one side can stand in for those of many
    studies, so that a part of what was seen would stay in the mean of the draws, and the test would be blind to it.
    """
    sums = [side.sum(axis=1, keepdims=True, dtype=np.float32) for side in counted]
    told = (sums[0] > 0) & (sums[1] > 0)
    reference, batch = (side / np.maximum(total, 1) for side, total in zip(counted, sums, strict=True))
    shares = np.where(told, batch - reference, 0).astype(np.float32)
    shares[1:] -= shares[1:].mean(axis=0)
    return shares


def standardised(values: Array) -> Array:
    """Give embeddings (n, F) with mean 0 and deviation 1 in each direction that varies, the others left out."""
    deviation = values.std(axis=0, dtype=np.float64)
    varies = deviation > FLAT * deviation.max(initial=0)
    exact = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    return np.asarray(exact[:, varies] / deviation[varies], np.float32)


def _kernel(values: Array) -> Array:
    return (_gaussian(values.astype(np.float32)) + _gaussian(standardised(values))) / 2


def _gaussian(values: Array) -> Array:
    squares = (values.astype(np.float64) ** 2).sum(axis=1)
    apart = np.maximum(squares[:, None] + squares - 2 * (values @ values.T), 0)
    np.fill_diagonal(apart, 0)  # but for rounding it is
    some = apart[:: max(1, len(apart) // MOST_PAIRED), :: max(1, len(apart) // MOST_PAIRED)]
    middle = float(np.median(some[some > 0])) if (some > 0).any() else 1.0
    return np.asarray(np.exp(-apart / middle), np.float32)
