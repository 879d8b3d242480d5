"""The training studies that lie nearest to a study in the model's own representation. S training studies, D width."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmm.types import Array

NEAREST = 5


@dataclass(frozen=True)
class Neighbour:
    """A training study.

    Attributes:
        row: Its number in the studies table of the training.
        label: Its recorded target, in words; "" where unknown.
        likeness: Cosine of the angle between the two representations, at most 1.
    """

    row: int
    label: str
    likeness: float


def nearest(
    joint: Array, embeddings: Array, rows: Array, k: int = NEAREST, labels: Sequence[str] | None = None
) -> tuple[Neighbour, ...]:
    """Give the k nearest training studies, the nearest first, of equals the one with the lower row.

    Args:
        joint: (D,) of the study.
        embeddings: (S, D) of the training studies.
        rows: (S,) numbers of these in their table.
        k: How many, at most.
        labels: (S,) their targets in words.
    """
    known = np.asarray(embeddings, np.float64)
    if not len(known):
        return ()
    own = np.asarray(joint, np.float64)
    lengths = np.linalg.norm(known, axis=1) * np.linalg.norm(own)
    likeness = np.divide(known @ own, lengths, out=np.zeros(len(known)), where=lengths > 0)
    order = np.lexsort((np.asarray(rows), -likeness))[:k]
    return tuple(Neighbour(int(rows[i]), "" if labels is None else labels[i], float(likeness[i])) for i in order)
