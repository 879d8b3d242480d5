"""Does an explanation tell the truth? What it calls important is taken away step by step, against random orders.

Letters: P parts of an input (patches, cells, words), N orders, T steps.

Sources: Samek et al. 2017, Evaluating the Visualization of What a Deep Neural Network Has Learned; Petsiuk et al. 2018, RISE
(the area under the deletion curve).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np

from medmm.types import Array

RANDOM_ORDERS = 39
"""Drawn where there are too many orders to try them all: p is 0.025 at best, for some 270 questions to the model an input."""

EVERY_ORDER = 5
"""Up to this many parts all orders are tried, so that the p-value is exact."""

LEAST_PARTS = 4
"""Of three parts there are six orders, of which the best has p = 1/6: no explanation could pass."""

STEPS = 8
"""Of many parts first one is taken, then ever more at once: a single telling word among fifty must not go with five others."""

ALPHA = 0.05

IDLE = 0.01
"""Change of a probability that is next to nothing; of a value, the share of its own spread."""

Lost = Callable[[Array], Array]
"""Which parts are gone (B, P) bool -> what the model then says (B,) for its answer, as a probability or value."""


@dataclass(frozen=True)
class Deletion:
    """How an explanation fared.

    Attributes:
        parts: P.
        removed: (T + 1,) share of the parts that is gone at each step, from 0 to 1.
        curve: (T + 1,) what the model says for its answer, by the order of the explanation.
        random: (T + 1,) the same, the mean over random orders.
        drop: Mean fall over the steps, by the order of the explanation.
        random_drop: Mean of that over random orders.
        orders: How many there were.
        unit: What counts as 1: of a value the standard deviation of the training studies.
        p: Share of random orders that fall at least as fast; None where there were too few parts.
    """

    parts: int
    removed: tuple[float, ...]
    curve: tuple[float, ...]
    random: tuple[float, ...]
    drop: float
    random_drop: float
    orders: int
    unit: float
    p: float | None

    @property
    def passed(self) -> bool | None:
        """Whether the explanation is better than chance; None where it could not be tested."""
        return None if self.p is None else self.p <= ALPHA

    @property
    def idle(self) -> bool:
        """Whether taking parts away, however many, changes next to nothing."""
        return bool(self.curve) and max(abs(one - self.curve[0]) for one in (*self.curve, *self.random)) < IDLE * self.unit

    def says(self, parts: str, noun: str) -> str:
        """Say how it went in a sentence, for parts called so and an answer called so."""
        if self.p is None:
            return (
                f"Deletion test: not tested, for there are too few {parts} ({self.parts}); "
                f"{LEAST_PARTS} are needed to tell an explanation from chance."
            )
        exact = self.parts <= EVERY_ORDER
        against = f"all {self.orders} possible orders" if exact else f"{self.orders} random orders"
        found = (
            f"the {noun} {_moves(self.drop)} on average when the {parts} are taken away in the order of this explanation, and "
            f"{_moves(self.random_drop)} in random order (p = {self.p:.3f}, against {against})"
        )
        idle = f" All of these {parts} together hardly matter for this answer." if self.idle else ""
        if self.passed:
            return f"Deletion test passed: {found}.{idle}"
        told = "What is marked here is no better than chance; do not rely on it."
        if exact:
            told = f"Of so few {parts} little more than the best order of all could pass: no proof against it, and none for it."
        return f"Deletion test: did not pass: {found}. {told}{idle}"


def deletion(lost: Lost, weight: Array, rng: np.random.Generator, unit: float = 1.0) -> Deletion:
    """Take parts away by their weight, the largest first, and compare the fall with that of other orders.

    Args:
        lost: Asks the model.
        weight: (P,) how much each part speaks for the answer.
        rng: Of the random orders, and of the order among equals.
        unit: What counts as 1.
    """
    parts = len(weight)
    if parts < LEAST_PARTS:
        return Deletion(parts, (), (), (), 0.0, 0.0, 0, unit, None)
    exact = parts <= EVERY_ORDER
    tie = rng.permutation(parts)
    own = tie[np.argsort(-np.asarray(weight)[tie], kind="stable")]
    if exact:
        others = np.array(list(permutations(range(parts))))
    else:
        others = np.array([rng.permutation(parts) for _ in range(RANDOM_ORDERS)])  # (N, P)
    counts = np.arange(parts + 1) if parts <= STEPS else np.unique([0, *np.geomspace(1, parts, STEPS).round().astype(int)])
    curves = _curves(lost, np.concatenate([own[None], others]), counts)  # (1 + N, T + 1)
    drops = (curves[:, :1] - curves[:, 1:]).mean(1)
    slack = 1e-9 * max(1.0, float(np.abs(drops).max()))
    better = int((drops[1:] >= drops[0] - slack).sum())
    p = better / factorial(parts) if exact else (1 + better) / (1 + len(others))
    removed, curve, chance = counts / parts, curves[0], curves[1:].mean(0)
    return Deletion(
        parts,
        tuple(removed),
        tuple(curve),
        tuple(chance),
        float(drops[0]),
        float(drops[1:].mean()),
        len(others),
        unit,
        float(p),
    )


def _curves(lost: Lost, orders: Array, counts: Array) -> Array:
    """Give what is said (N, T + 1) after each number of parts is gone; every set of parts is asked for once."""
    rank = np.argsort(orders, axis=1)  # (N, P): when each part goes
    gone = rank[:, None, :] < counts[None, :, None]  # (N, T + 1, P)
    flat = gone.reshape(-1, orders.shape[1])
    distinct, place = np.unique(flat, axis=0, return_inverse=True)
    return np.asarray(lost(distinct))[place.reshape(gone.shape[:2])]


def _moves(drop: float) -> str:
    return f"{'falls' if drop >= 0 else 'rises'} by {abs(drop):.3f}"
