"""Shapley values: what each of several parts adds to a whole, on average over all orders in which they can join.

Source: Shapley 1953, A Value for n-Person Games.
"""

from collections.abc import Mapping
from itertools import combinations
from math import comb

import numpy as np

from medmm.types import Array


def shapley(values: Mapping[frozenset[str], Array]) -> dict[str, Array]:
    """Give what each part adds; together they add what the whole has over nothing.

    Args:
        values: Every subset of the parts, the empty one too -> what it is worth, an array of any one shape.
    """
    parts = sorted(frozenset[str]().union(*values))
    others = len(parts) - 1
    added: dict[str, Array] = {}
    for part in parts:
        rest = [other for other in parts if other != part]
        total: Array = np.zeros_like(np.asarray(values[frozenset()], np.float64))
        for size in range(others + 1):
            gains = [
                np.asarray(values[frozenset({*some, part})] - values[frozenset(some)]) for some in combinations(rest, size)
            ]
            total = total + sum(gains) / (comb(others, size) * (others + 1))
        added[part] = total
    return added
