"""What each input adds to an answer: Shapley values of a game in which inputs join one after the other.

The value of a set of inputs is what the model says of a study of which it is given these alone, on a scale on which evidence
adds up; the value of none is what is said of a study of which nothing is known. An input's share is what it adds, averaged over
every order in which the inputs may come. The shares of a study sum to what is said of it less what is said of nothing.

Letters: S studies, C answers, I inputs.

Source:
    Shapley, A value for n-person games, Contributions to the Theory of Games II (1953) 307-317.
    Castro, Gomez & Tejada, Polynomial calculation of the Shapley value based on sampling, Comput. Oper. Res. 36 (2009) 1726.
    Covert, Lundberg & Lee, Explaining by removing, JMLR 22 (2021) 209.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import factorial

import numpy as np
from scipy.special import logit

from medmm.errors import DataError
from medmm.types import Array, Task

EXACT_UP_TO = 6
"""Inputs of which every subset is weighed: 64 subsets; above, orders are drawn."""

ORDERS = 200
"""Orders drawn above that, each followed by its reverse, which cancels much of the noise."""

CERTAIN = 1e-6
"""A probability is taken as no closer to 0 or 1 than this, where log odds would run off."""

NEARLY = 1e-12
"""The same of a single study, whose contributions no average has to bear."""

SCALES: Mapping[Task, str] = {
    "binary": "log odds",
    "multiclass": "log odds",
    "multilabel": "log odds",
    "ordinal": "log odds",
    "regression": "the value's unit",
    "survival": "log cumulative hazard",
}
"""Task -> the scale on which contributions add up."""


def on_scale(answers: Array, task: Task) -> Array:
    """Give answers on the scale on which evidence adds up.

    Args:
        answers: (..., C) probabilities, values or risks.
        task: A probability becomes its log odds, a risk the logarithm of its cumulative hazard, a value stays.

    Returns:
        (..., C) float64, finite.
    """
    exact = np.asarray(answers, np.float64)
    if task == "regression":
        return exact
    kept = np.clip(exact, CERTAIN, 1 - CERTAIN)
    return np.asarray(np.log(-np.log1p(-kept)) if task == "survival" else logit(kept))


def log_odds(answers: Array, task: Task) -> Array:
    """Give probabilities and risks as log odds, for one study: nearly as certain as they come, values as they are.

    Args:
        answers: (..., C) probabilities, values or risks.
        task: What they mean.

    Returns:
        (..., C) float64, finite.
    """
    exact = np.asarray(answers, np.float64)
    return exact if task == "regression" else np.asarray(logit(np.clip(exact, NEARLY, 1 - NEARLY)))


def coalitions(only: Mapping[frozenset[str], Array], present: Array, nothing: Array, task: Task) -> dict[frozenset[str], Array]:
    """Give the value of every set of inputs for each study, as `shapley` takes it.

    Where a study has no input of a set, the set says of it what is said of nothing; so an input that is absent adds nothing.

    Args:
        only: Subset of inputs, every one but the empty -> (S, C) answers as if each study had only these.
        present: (S, I) which inputs, in alphabetical order, each study has.
        nothing: (C,) the answer for a study of which nothing is known, such as the prevalence among the training studies.
        task: What the answers mean.
    """
    names = sorted(frozenset().union(*only))
    bare = np.broadcast_to(on_scale(nothing, task), next(iter(only.values())).shape)
    values = {frozenset[str](): np.array(bare)}
    for some, answers in only.items():
        has = np.any(present[:, [names.index(name) for name in sorted(some)]], axis=1, keepdims=True)
        values[some] = np.where(has, on_scale(answers, task), bare)
    return values


def shapley(values: Mapping[frozenset[str], Array]) -> dict[str, Array]:
    """Give what each input adds, by every subset: exact.

    Args:
        values: Every subset of the inputs, the empty one among them -> its value, arrays of one shape.

    Returns:
        Input, in alphabetical order -> its share, of that shape.

    Raises:
        DataError: A subset is missing.
    """
    names = _names(values)
    shares: dict[str, Array] = {}
    for name in names:
        share = np.zeros_like(next(iter(values.values())), np.float64)
        for some, value in values.items():
            if name not in some:
                weight = factorial(len(some)) * factorial(len(names) - len(some) - 1) / factorial(len(names))
                share = share + weight * (values[some | {name}] - value)
        shares[name] = share
    return shares


def sampled_shapley(values: Mapping[frozenset[str], Array], orders: int = ORDERS, seed: int = 0) -> dict[str, Array]:
    """Give what each input adds, averaged over orders that are drawn; shares still sum to the whole, study by study.

    Args:
        values: As for `shapley`.
        orders: How many are drawn; the reverse of each counts too.
        seed: Of the draw.
    """
    names = _names(values)
    rng = np.random.default_rng(seed)
    shares = {name: np.zeros_like(next(iter(values.values())), np.float64) for name in names}
    for _ in range(orders):
        order = [names[i] for i in rng.permutation(len(names))]
        for one in (order, order[::-1]):
            steps = [frozenset(one[:count]) for count in range(len(one) + 1)]
            for name, (before, after) in zip(one, pairwise(steps), strict=True):
                shares[name] += (values[after] - values[before]) / (2 * orders)
    return shares


def contributions(values: Mapping[frozenset[str], Array]) -> tuple[dict[str, Array], bool]:
    """Give what each input adds, and whether it is exact: up to `EXACT_UP_TO` inputs it is."""
    exact = len(values) <= 2**EXACT_UP_TO
    return (shapley(values) if exact else sampled_shapley(values)), exact


def _names(values: Mapping[frozenset[str], Array]) -> Sequence[str]:
    names = sorted(frozenset().union(*values))
    if len(values) != 2 ** len(names):
        raise DataError(
            f"{len(values)} subsets of {len(names)} inputs have a value, {2 ** len(names)} are needed: give every subset, the "
            "empty one too"
        )
    return names
