"""Grades: how far the decided ones lie from the true ones. S studies, C grades but the lowest.

Source: Cohen, Weighted kappa, Psychol. Bull. 70 (1968) 213-220, with weights that grow as the square of the distance.
"""

from collections.abc import Iterator

import numpy as np

from medmm.evaluation.results import Result, result_of
from medmm.evaluation.values import concordance, mean_absolute_error
from medmm.types import Array, Scores

GRADE = "grade"
"""Stands where a class's name would, for what is said of the grade as a whole."""


def grade_of(reached: Array) -> Array:
    """Give the grade (S,), from 0, of (S, C) whether each grade but the lowest is reached; none is without the one before."""
    return np.asarray(np.minimum.accumulate(reached == 1, axis=1).sum(axis=1))


def grade_results(scores: Scores, decided: Array, weights: Array) -> Iterator[Result]:
    """Give quadratically weighted kappa and the mean absolute error in grades.

    Args:
        scores: Of an ordinal task.
        decided: (S, C) bool.
        weights: (1 + R, S), the studies as they are, then the resamples.
    """
    said, true = grade_of(decided), grade_of(scores.target)
    for metric, measure in (("kappa", concordance), ("grade_error", mean_absolute_error)):
        yield result_of(metric, GRADE, measure(said, true, weights), scores.patient)
