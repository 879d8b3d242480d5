"""Penalty rules as numbers that a loss can use. S studies, C classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from medmm.rules.book import Rulebook, limits
from medmm.rules.settings import TRAINING
from medmm.types import Array, Study


class Penalties(NamedTuple):
    """What the probabilities of each study are held to.

    Attributes:
        bounds: (S, C, 2) float32, the lowest and the highest probability; 0 and 1 where no rule speaks.
        weights: (S, C) float32, how much a violation counts; 0 where no rule speaks.
    """

    bounds: Array
    weights: Array


def penalty_bounds(book: Rulebook, studies: Sequence[Study]) -> Penalties:
    """Give the bounds of the penalty rules that fire for each study, after the rules before the model have acted.

    Where several rules speak of one class, the narrowest bounds and the largest weight hold. Two rules may leave no room
    between them; a hinge on both sides then weighs them against each other.

    Args:
        book: The rules of the run.
        studies: As `Rulebook.before` gave them.
    """
    bounds = np.zeros((len(studies), len(book.classes), 2), np.float32)
    bounds[..., 1] = 1
    weights = np.zeros(bounds.shape[:2], np.float32)
    for one in book.some(TRAINING):
        penalty = one.rule.then.penalty
        assert penalty is not None
        low, high = limits(penalty)
        for i, study in enumerate(studies):
            if one.fires(study):
                place = i, one.place
                bounds[place] = max(bounds[place][0], low), min(bounds[place][1], high)
                weights[place] = max(weights[place], penalty.weight)
    return Penalties(bounds, weights)
