"""What would be seen if nothing had changed: the same reference and the same batch, drawn anew from both together.

Studies of one patient resemble each other, so patients are drawn, not studies. A night brings one study of most patients
while the reference holds all of theirs, and shuffling patients between the two would then compare like with unlike: a mean
over the shuffled batch scatters less than one over a real night, and every night looks odd. So each side keeps its own make-up:
a patient of k studies is replaced by k studies of a drawn patient who has as many. Patients are drawn with a chance in
proportion to their studies, for so do they come in.

R studies of the reference, N of the batch, B draws.

Source:
    Davison & Hinkley, Bootstrap Methods and their Application (1997), sections 3.8 and 4.4: tests by resampling from the pool.
"""

from typing import NamedTuple

import numpy as np

from medmm.types import Array

DRAWS = 1999
"""With the batch itself 2,000: the smallest p is 0.0005."""

DONORS = 20
"""Patients at least that one of many studies is replaced by; where fewer have as many, those with the most stand in, and a
study of theirs may count twice."""


class Counted(NamedTuple):
    """How often each of the R + N studies, the reference's first, stands on a side.

    Attributes:
        reference: (1 + B, R + N) uint16; row 0 is what was seen.
        batch: (1 + B, R + N)
    """

    reference: Array
    batch: Array


def null_counts(reference: Array, batch: Array, draws: int = DRAWS, seed: int = 0) -> Counted:
    """Draw the two sides anew from both together.

    Args:
        reference: (R,) patients, at least one.
        batch: (N,) patients, at least one; told apart from those of the reference even where the numbers are the same.
        draws: B.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    pool = _Pool(reference, batch)
    sides = []
    for own, first in ((reference, 0), (batch, len(reference))):
        seen = np.zeros((1, pool.studies), np.uint16)
        seen[0, first : first + len(own)] = 1
        sizes = np.unique(own, return_counts=True)[1]
        sides.append(np.concatenate([seen, pool.draw(sizes, draws, rng)]))
    return Counted(*sides)


class _Pool:
    """Patients of both sides.

    Attributes:
        order: (R + N,) studies, patient by patient.
        first: (Q,) place of each patient's first study in it.
        size: (Q,) studies of each.
    """

    def __init__(self, reference: Array, batch: Array) -> None:
        _, one = np.unique(reference, return_inverse=True)
        _, other = np.unique(batch, return_inverse=True)
        patient = np.concatenate([one, other + one.max() + 1])
        self.studies = len(patient)
        self.order = np.argsort(patient, kind="stable")
        self.size = np.bincount(patient)
        self.first = np.cumsum(self.size) - self.size

    def draw(self, sizes: Array, draws: int, rng: np.random.Generator) -> Array:
        """Give (B, R + N) counts for a side whose patients have these numbers of studies."""
        counts = np.zeros(draws * self.studies, np.uint16)
        for size, patients in zip(*np.unique(sizes, return_counts=True), strict=True):
            donors = np.flatnonzero(self.size >= size)
            if len(donors) < DONORS:
                donors = np.argsort(-self.size, kind="stable")[:DONORS]
            chance = self.size[donors] / self.size[donors].sum()
            drawn = donors[rng.choice(len(donors), (draws, patients), p=chance)]  # (B, patients)
            start = (rng.random(drawn.shape) * self.size[drawn]).astype(np.int64)
            for step in range(size):
                place = self.first[drawn] + (start + step) % self.size[drawn]
                flat = np.arange(draws)[:, None] * self.studies + self.order[place]
                counts += np.bincount(flat.ravel(), minlength=len(counts)).astype(np.uint16)
        return counts.reshape(draws, self.studies)
