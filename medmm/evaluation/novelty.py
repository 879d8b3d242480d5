"""How unlike the training studies a study is, for each input and as a whole, by what the network makes of it.

The distance is Mahalanobis', from the mean of the training studies' embeddings, with a covariance shrunk towards a sphere. It
was chosen by reason, not by a test: it is defined for each input, as energy of the logits is not; it sees directions in which
training studies hardly vary, where what is foreign shows and which Euclidean neighbours overlook; shrinkage keeps it defined
for fewer studies than dimensions; and it is a mean and a matrix, however many studies there were. Nearest neighbours and energy
stand beside it in the evaluation.

Distances are divided by their 95 % limit on the validation studies, so that inputs can be compared: above 1 lies what 5 % of
known studies exceed. That of a study is its greatest, over the inputs that it has and the joint representation, with a limit of
its own, for the greatest of several exceeds 1 more often.

Letters: S studies, I inputs in alphabetical order, P parts: the joint representation, then the inputs; D width.

Source:
    Lee, Lee, Lee & Shin, A simple unified framework for detecting out-of-distribution samples, NeurIPS 2018, section 2.1.
    Ledoit & Wolf, A well-conditioned estimator for large-dimensional covariance matrices, J. Multivar. Anal. 88 (2004) 365-411.
    Sun, Ming, Zhu & Li, Out-of-distribution detection with deep nearest neighbors, ICML 2022.
    Liu, Wang, Owens & Li, Energy-based out-of-distribution detection, NeurIPS 2020.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from medmm.evaluation.conformal import patient_quantile
from medmm.types import Array, Task

ACCEPTED = 0.95
"""Share of known studies that are to pass."""

LEAST_STUDIES = 20
"""Training studies with an input that its distance rests on; with fewer the input has none."""

JOINT = "joint representation"
"""The part that no single input is."""

NEIGHBOURS = 10
"""Whose farthest tells how unlike all a study is; one alone could be an outlier itself."""

FLOOR = 1e-6
"""Least variance of a direction, of the mean variance: where no training study varies, rounding would decide."""


class Embedded(Protocol):
    """What the network makes of S studies."""

    @property
    def joint(self) -> Array:
        """(S, D) representation of each study."""

    @property
    def pooled(self) -> Mapping[str, Array]:
        """Input -> (S, D) mean of its tokens."""

    @property
    def present(self) -> Array:
        """(S, I) whether each input, in alphabetical order, is there."""


@dataclass(frozen=True)
class Novelty:
    """What tells studies that are unlike those of the training.

    Attributes:
        inputs: In alphabetical order.
        mean: (P, D) of the training studies.
        whiten: (P, D, D) makes lengths of differences from the mean distances; NaN for a part without enough studies.
        limit: (P,) distance that a study of a new patient keeps within with a probability of `ACCEPTED`; infinite where there
            are too few validation patients to tell, then nothing is beyond it.
        threshold: The same for a study as a whole, in units of the limits.
    """

    inputs: tuple[str, ...]
    mean: Array
    whiten: Array
    limit: Array
    threshold: float

    @property
    def parts(self) -> tuple[str, ...]:
        """What a distance is given of, in the order of the columns."""
        return (JOINT, *self.inputs)

    def of(self, said: Embedded) -> Array:
        """Give the distance of each part of studies, in units of its limit: (S, P); NaN where the input is absent."""
        return np.asarray(_distances(said, self.inputs, self.mean, self.whiten) / self.limit)

    def beyond(self, distance: Array) -> Array:
        """Tell which parts (S, P) of distances (S, P) make a study a novel one."""
        return np.asarray(distance > self.threshold)


def whole(distance: Array) -> Array:
    """Give the distance (S,) of studies as wholes from those of their parts (S, P): the greatest, 0 where there is none."""
    return np.asarray(np.nan_to_num(distance, nan=0.0).max(axis=1, initial=0.0))


def fit_novelty(train: Embedded, validation: Embedded, patient: Array) -> Novelty:
    """Fit means and covariances on training studies, and limits on validation studies.

    Args:
        train: What the model says of the training studies.
        validation: Of the validation studies.
        patient: (S,) patients of the validation studies.
    """
    names = tuple(sorted(train.pooled))
    fits = [_fit(values) for values in _embeddings(train, names)]
    mean, whiten = (np.stack(some).astype(np.float32) for some in zip(*fits, strict=True))
    distance = _distances(validation, names, mean, whiten)
    limit = np.array([_limit(distance[:, part], patient) for part in range(len(fits))])
    return Novelty(names, mean, whiten, limit, patient_quantile(whole(distance / limit), patient, ACCEPTED))


def neighbour_distance(train: Array, values: Array) -> Array:
    """Give the distance (S,) of embeddings (S, D) to the tenth nearest of the training studies (N, D), all of length 1."""
    from sklearn.neighbors import NearestNeighbors  # scoring has no need of scikit-learn

    count = min(NEIGHBOURS, len(train))
    found = NearestNeighbors(n_neighbors=count).fit(_unit(train)).kneighbors(_unit(values))[0]
    return np.asarray(found[:, -1])


def energy(logits: Array, task: Task) -> Array | None:
    """Give the energy (S,) of logits (S, K), greater for what the model knows less; None for a task without classes.

    Of a yes-no question with logit z it is that of two classes with -z / 2 and z / 2, so that neither answer looks foreign.
    """
    if task in ("regression", "survival"):
        return None
    exact = np.asarray(logits, np.float64)
    if task == "multiclass":
        return np.asarray(-logsumexp(exact, axis=1))
    return np.asarray(-np.logaddexp(exact / 2, -exact / 2).sum(axis=1))


def _embeddings(said: Embedded, names: tuple[str, ...]) -> list[Array]:
    return [said.joint, *(said.pooled[name][said.present[:, place]] for place, name in enumerate(names))]


def _fit(values: Array) -> tuple[Array, Array]:
    from sklearn.covariance import LedoitWolf

    width = values.shape[1]
    if len(values) < LEAST_STUDIES:
        return np.zeros(width), np.full((width, width), np.nan)
    fitted = LedoitWolf().fit(values.astype(np.float64))
    variance, direction = np.linalg.eigh(fitted.covariance_)
    floor = max(FLOOR * variance.mean(), np.finfo(np.float32).tiny)
    return fitted.location_, direction / np.sqrt(np.maximum(variance, floor))


def _distances(said: Embedded, names: tuple[str, ...], mean: Array, whiten: Array) -> Array:
    columns = []
    for part, values in enumerate([said.joint, *(said.pooled[name] for name in names)]):
        distance = np.linalg.norm((values - mean[part]) @ whiten[part], axis=1)
        if np.isfinite(whiten[part]).all():
            distance = np.nan_to_num(distance, nan=np.inf)  # of an embedding that overflowed
        columns.append(distance if part == 0 else np.where(said.present[:, part - 1], distance, np.nan))
    return np.stack(columns, axis=1).astype(np.float64)


def _limit(distance: Array, patient: Array) -> float:
    has = np.isfinite(distance)
    limit = patient_quantile(distance[has], patient[has], ACCEPTED)
    return limit if limit > 0 else float("inf")  # no study varies, so none can be told from the others


def _unit(values: Array) -> Array:
    exact = values.astype(np.float64)
    length = np.linalg.norm(exact, axis=1, keepdims=True)
    return exact / np.where(length > 0, length, 1.0)
