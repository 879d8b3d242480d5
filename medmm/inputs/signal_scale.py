"""The scale of recorded signals: where the values of each lead lie, learned from the training studies.

Letters: L leads, P segments of a study, S studies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from medmm.errors import DataError
from medmm.settings import Plain
from medmm.types import Array

FARTHEST = 100.0
"""Scaled values end here, in spreads: nothing of the body reaches so far, and it leaves room in half precision."""

STILL = 1e-6
"""A lead whose standard deviation is no larger share of its largest value does not move: that is what rounding leaves."""


@dataclass(frozen=True)
class Scale:
    """Where the values of each lead lie, learned from training studies.

    Attributes:
        centre: (L,)
        spread: (L,) all above 0.
    """

    centre: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def fit(cls, studies: Iterable[Array], leads: Sequence[str], axis: int = 0) -> Self:
        """Learn from studies as they are drawn; only two numbers a lead are kept of each.

        The centre is the median over studies of a study's mean, the spread the median over studies of the root mean square
        distance from that centre. Within a study it is the mean that counts, for the quartiles of an ECG lie between its
        beats and know nothing of them; among studies the median, so that a loose electrode in some of them moves no scale.
        Each study counts alike, however long.

        Args:
            studies: Of each its values, with the leads along `axis`.
            leads: Names of the L leads, for errors.
            axis: 0 for (L, *size), 1 for (P, L, *size).

        Raises:
            DataError: There is no study, or a lead that does not move in half of them.
        """
        means, squares, moves = [], [], []
        for values in studies:
            assert values.shape[axis] == len(leads)
            flat = np.moveaxis(values, axis, 0).reshape(len(leads), -1).astype(np.float64)  # (L, everything else)
            means.append(flat.mean(1))
            squares.append(flat.var(1))
            moves.append(flat.std(1) > STILL * np.abs(flat).max(1))
        if not means:
            raise DataError("no training study has the signal, so its scale cannot be learned: check the path of the input")
        centre = np.median(means, axis=0)  # (L,)
        spread = np.median(np.sqrt(np.array(squares) + (np.array(means) - centre) ** 2), axis=0)  # (L,)
        still = [name for name, share in zip(leads, np.mean(moves, axis=0), strict=True) if share <= 0.5]
        if still:
            raise DataError(f"lead {', '.join(still)} does not move in half of the training studies: leave it out of `leads`")
        return cls(tuple(centre.tolist()), tuple(spread.tolist()))

    @classmethod
    def of(cls, state: Plain) -> Self:
        """Give the scale that `plain` wrote."""
        return cls(tuple(state["centre"]), tuple(state["spread"]))

    def plain(self) -> Plain:
        """Give what JSON can say."""
        return {"centre": list(self.centre), "spread": list(self.spread)}


def scaled(values: Array, scale: Scale, axis: int = 0) -> Array:
    """Move each lead to its centre and divide by its spread, float32 of the same shape, from -FARTHEST to FARTHEST.

    Args:
        values: Leads along `axis`.
        scale: Of these leads.
        axis: 0 for (L, *size), 1 for (P, L, *size).
    """
    centre, spread = _along(scale, values.ndim, axis)
    return np.asarray(np.clip((values - centre) / spread, -FARTHEST, FARTHEST), np.float32)


def unscaled(values: Array, scale: Scale, axis: int = 0) -> Array:
    """Undo `scaled`, but for what it cut off: float32 in the unit of the recording."""
    centre, spread = _along(scale, values.ndim, axis)
    return np.asarray(values * spread + centre, np.float32)


def _along(scale: Scale, axes: int, axis: int) -> tuple[Array, Array]:
    shape = [-1 if place == axis else 1 for place in range(axes)]
    return np.asarray(scale.centre, np.float64).reshape(shape), np.asarray(scale.spread, np.float64).reshape(shape)
