"""How far predicted values lie from the true ones. S studies, R resamples.

Metrics take (S,) predictions, (S,) true values and (R, S) weights, as those of `metrics.py` do, and give (R,).

Source:
    Lin, A concordance correlation coefficient to evaluate reproducibility, Biometrics 45 (1989) 255-268.
    Fleiss & Cohen, The equivalence of weighted kappa and the intraclass correlation coefficient, Educ. Psychol. Meas. 33 (1973)
    613-619: quadratically weighted kappa of two gradings is Lin's coefficient of their numbers.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from medmm.evaluation.metrics import Metric, by_blocks
from medmm.evaluation.results import Result, result_of
from medmm.types import Array, Scores

ROUNDING = 1e-12
"""A variance below this share of a mean square is none: what rounding leaves of values that are all the same."""


def mean_absolute_error(predicted: Array, true: Array, weights: Array) -> Array:
    """Mean distance, in the unit of the value; 0 best."""
    return _mean(np.abs(predicted.astype(np.float64) - true), weights)


def root_mean_squared_error(predicted: Array, true: Array, weights: Array) -> Array:
    """Root of the mean squared distance, in the unit of the value; far misses count more. 0 best."""
    return np.asarray(np.sqrt(_mean((predicted.astype(np.float64) - true) ** 2, weights)))


def r_squared(predicted: Array, true: Array, weights: Array) -> Array:
    """Share of the variance that is explained: 1 best, 0 as good as the mean, below 0 worse; NaN where all values are one."""
    centred = true.astype(np.float64) - true.mean()
    missed = _mean((predicted.astype(np.float64) - true) ** 2, weights)
    return 1 - _ratio(missed, _variance(centred, weights))


def concordance(predicted: Array, true: Array, weights: Array) -> Array:
    """Lin's concordance: correlation, less for each shift and stretch; 1 best. Of grades it is quadratically weighted kappa."""
    middle = true.mean()
    x, y = predicted.astype(np.float64) - middle, true.astype(np.float64) - middle
    spread = _variance(x, weights) + _variance(y, weights) + (_mean(x, weights) - _mean(y, weights)) ** 2
    return 1 - _ratio(_mean((x - y) ** 2, weights), spread)


METRICS: Mapping[str, Metric] = {
    "mae": mean_absolute_error,
    "rmse": root_mean_squared_error,
    "r2": r_squared,
    "concordance": concordance,
}


def value_results(scores: Scores, weights: Array) -> Iterator[Result]:
    """Give the results of a regression.

    Args:
        scores: Of a regression.
        weights: (1 + R, S), the studies as they are, then the resamples.
    """
    predicted, true = scores.predicted[:, 0], scores.target[:, 0]
    for metric, measure in METRICS.items():
        yield result_of(metric, scores.classes[0], measure(predicted, true, weights), scores.patient)


def _mean(values: Array, weights: Array) -> Array:
    return by_blocks(lambda block: (block @ values) / block.sum(axis=1, dtype=np.float64), weights)


def _variance(values: Array, weights: Array) -> Array:
    square = _mean(values**2, weights)
    variance = square - _mean(values, weights) ** 2
    return np.where(variance > ROUNDING * square, variance, 0.0)


def _ratio(part: Array, whole: Array) -> Array:
    return np.asarray(np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0))
