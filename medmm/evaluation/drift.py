"""What known studies look like to a model, kept so that later ones can be compared with them.

A sample of validation studies, the fraction that has each input, and the spread of the answers. The sample holds projections of
embeddings and answers; whole patients are drawn, for a test by patient needs all of a patient's studies.

Letters: S studies, I inputs in alphabetical order, P parts: the joint representation, then the inputs; D width, F directions,
C answers.
"""

from dataclasses import dataclass

import numpy as np

from medmm.evaluation.novelty import Embedded
from medmm.types import Array

SAMPLE = 500
"""Validation studies that are kept at most; a difference of a fifth of a standard deviation shows against as many."""

DIRECTIONS = 16
"""Of an embedding that are kept: those in which the training studies vary most."""

PROJECTION = "drift_projection"
"""Column of a scored study with its projections, so that a monitoring need not read the study again."""

QUANTILES = tuple(step / 100 for step in range(0, 101, 5))


@dataclass(frozen=True)
class Drift:
    """What later studies are compared with.

    Attributes:
        inputs: In alphabetical order.
        present_rate: (I,) share of the validation studies that has each input.
        centre: (P, D) subtracted before the projection.
        direction: (P, D, F) onto which embeddings are projected; columns of zeros where there are fewer.
        embedding: (S, P, F) float16, projections of the sample; zeros where the input is absent.
        present: (S, I) which inputs each study of the sample has.
        answers: (S, C) float32, of the sample.
        patient: (S,) numbers from 0 that tell the patients of the sample apart, and stand for nothing else.
        answer_quantiles: (C, Q) of the answers of all validation studies, at `QUANTILES`.
    """

    inputs: tuple[str, ...]
    present_rate: Array
    centre: Array
    direction: Array
    embedding: Array
    present: Array
    answers: Array
    patient: Array
    answer_quantiles: Array

    def project(self, said: Embedded) -> Array:
        """Give the projections of studies: (S, P, F), zeros where the input is absent."""
        return _project(said, self.inputs, self.centre, self.direction)

    def cells(self, said: Embedded) -> list[list[float]]:
        """Give the projections of studies as the sample keeps them, as cells of `PROJECTION`: S lists of P * F numbers.

        Each number is the shortest that rounds to the float16 of the sample, which is short in text too.
        """
        kept = _kept(self.project(said))
        return [[float(str(one)) for one in row] for row in kept.reshape(len(kept), -1)]


def fit_drift(train: Embedded, validation: Embedded, answers: Array, patient: Array, seed: int = 0) -> Drift:
    """Keep what validation studies look like, in directions of the training studies.

    Args:
        train: What the model says of the training studies.
        validation: Of the validation studies.
        answers: (S, C) to the validation studies, as they are given.
        patient: (S,) patients of the validation studies.
        seed: Of the sample.
    """
    names = tuple(sorted(train.pooled))
    known = [train.joint, *(train.pooled[name][train.present[:, i]] for i, name in enumerate(names))]
    fits = [_directions(values) for values in known]
    centre, direction = (np.stack(some).astype(np.float32) for some in zip(*fits, strict=True))
    kept, numbers = _sample(patient, seed)
    projected = _project(validation, names, centre, direction)
    return Drift(
        names,
        validation.present.mean(axis=0).astype(np.float64),
        centre,
        direction,
        _kept(projected[kept]),
        validation.present[kept],
        answers[kept].astype(np.float32),
        numbers,
        np.quantile(answers.astype(np.float64), QUANTILES, axis=0).T,
    )


def _directions(values: Array) -> tuple[Array, Array]:
    width = values.shape[1]
    if not len(values):
        return np.zeros(width), np.zeros((width, DIRECTIONS))
    centre = values.mean(axis=0, dtype=np.float64)
    _, _, right = np.linalg.svd(values - centre, full_matrices=False)
    kept = right[:DIRECTIONS].T  # (D, F)
    signs = np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])  # the same on every machine
    return centre, np.pad(kept * np.where(signs == 0, 1, signs), ((0, 0), (0, DIRECTIONS - kept.shape[1])))


def _project(said: Embedded, names: tuple[str, ...], centre: Array, direction: Array) -> Array:
    parts = []
    for part, values in enumerate([said.joint, *(said.pooled[name] for name in names)]):
        own = np.einsum("sd,df->sf", values - centre[part], direction[part])  # no place in a tile changes a bit, as in BLAS
        parts.append(own if part == 0 else own * said.present[:, part - 1, np.newaxis])
    return np.stack(parts, axis=1)


def _kept(projected: Array) -> Array:
    largest = float(np.finfo(np.float16).max)
    whole = np.nan_to_num(projected, nan=largest)  # of an embedding that overflowed
    return whole.clip(-largest, largest).astype(np.float16)


def _sample(patient: Array, seed: int) -> tuple[Array, Array]:
    """Draw whole patients while they fit, in the order of the studies; a patient with more than all gives the first ones."""
    people = np.random.default_rng(seed).permutation(np.unique(patient))
    place = {int(person): i for i, person in enumerate(people)}
    turn = np.array([place[int(person)] for person in patient], np.int64)
    first = np.argsort(turn, kind="stable")[:SAMPLE]
    kept = np.sort(first)
    return kept, np.unique(turn[kept], return_inverse=True)[1].astype(np.int64)
