"""What pretraining reached on the validation studies, in words that people understand.

Letters: S studies, E width of the projections.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch

from medmm.dataset.batches import Batches
from medmm.evaluation.intervals import Estimate, interval
from medmm.training.pretraining.base import Pretraining, validation_chance
from medmm.training.pretraining.contrastive import Alignment
from medmm.training.pretraining.masked import Restoration
from medmm.types import Array


@dataclass(frozen=True)
class Measured:
    """One measure of the validation studies.

    Attributes:
        name: `retrieval/A-B`: how often, given A, the right study is the first of all by B. `restored/A`: error on hidden parts
            of A over the error of who says what is usual; below 1 something was learned.
        estimate: The value with its interval by patient, its studies and patients.
        guess: What chance gives.
    """

    name: str
    estimate: Estimate
    guess: float


@torch.inference_mode()
def measure(objective: Pretraining, batches: Batches, patients: Sequence[int], resamples: int) -> list[Measured]:
    """Measure what the parts of a method reached.

    Args:
        objective: After training.
        batches: The validation studies.
        patients: (S,) number of each study's patient.
        resamples: Of the intervals.
    """
    objective.eval()
    align, restore = objective.part("contrastive"), objective.part("masked")
    measured: list[Measured] = []
    if isinstance(align, Alignment):
        measured += _retrieval(objective, align, batches, patients, resamples)
    if isinstance(restore, Restoration):
        measured += _restoration(objective, restore, batches, patients, resamples)
    return measured


def first_is_own(first: Array, second: Array, patient: Array) -> Array:
    """Tell for each study (S,) whether of all studies its own is the most similar one.

    Args:
        first: (S, E) unit vectors of the input that asks.
        second: (S, E) of the one that answers.
        patient: (S,) other studies of the same patient do not take part.
    """
    similarity = first @ second.T
    same = patient[:, None] == patient
    others = np.where(same, -np.inf, similarity).max(1)
    return np.asarray(np.diagonal(similarity) > others)


def _retrieval(
    objective: Pretraining, align: Alignment, batches: Batches, patients: Sequence[int], resamples: int
) -> list[Measured]:
    found: dict[str, list[Array]] = {}
    rows: list[Array] = []
    for batch in batches:
        rows.append(batch.rows.numpy())
        for name, (values, has) in align.project(objective.encoders.encode(batch.inputs, batch.present)).items():
            found.setdefault(name, []).append(np.where(has[:, None].numpy(), values.numpy(), np.nan))
    patient = np.asarray(patients)[np.concatenate(rows)]
    whole = {name: np.concatenate(parts) for name, parts in found.items()}
    measured = []
    for a, b in permutations(sorted(whole), 2):
        both = np.isfinite(whole[a]).all(1) & np.isfinite(whole[b]).all(1)
        if len(np.unique(patient[both])) >= 2:
            right = first_is_own(whole[a][both], whole[b][both], patient[both]).astype(float)
            estimate = interval(lambda w, right=right: w @ right / w.sum(1, dtype=float), patient[both], resamples)  # type: ignore[misc]
            measured.append(Measured(f"retrieval/{a}-{b}", estimate, 1 / int(both.sum())))
    return measured


def _restoration(
    objective: Pretraining, restore: Restoration, batches: Batches, patients: Sequence[int], resamples: int
) -> list[Measured]:
    found: Mapping[str, list[Array]] = {name: [] for name in restore.restorers}
    for batch in batches:
        for name, one in restore.restore(objective.encoders, batch, validation_chance(batch)).items():
            own = np.asarray(patients)[batch.rows.numpy()]
            found[name].append(np.stack([one.error.numpy(), one.usual.numpy(), own], axis=1)[one.has.numpy()])
    measured = []
    for name, parts in found.items():
        rows = np.concatenate(parts) if parts else np.empty((0, 3))
        if len(rows):
            error, usual, patient = rows.T
            estimate = interval(
                lambda w, error=error, usual=usual: (w @ error) / np.maximum(w @ usual, 1e-12),  # type: ignore[misc]
                patient.astype(np.int64),
                resamples,
            )
            measured.append(Measured(f"restored/{name}", estimate, 1.0))
    return measured
