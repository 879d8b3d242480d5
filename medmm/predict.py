"""What a model says of studies, with all their inputs or with some. S studies, C classes."""

from collections.abc import Iterable, Sequence
from itertools import chain, combinations

import numpy as np
import torch

from medmm.model import DiagnosisModel
from medmm.types import Array, Batch

Subset = frozenset[str]


def subsets(inputs: Sequence[str]) -> list[Subset]:
    """Give every subset of the inputs but the empty one, the largest first."""
    names = sorted(inputs)
    sizes = range(len(names), 0, -1)
    return [frozenset(some) for some in chain.from_iterable(combinations(names, size) for size in sizes)]


@torch.inference_mode()
def predict(model: DiagnosisModel, batches: Iterable[Batch], keep: Sequence[Subset]) -> tuple[dict[Subset, Array], Array]:
    """Give the logits of every study as if it had only some of its inputs; the encoders run once.

    Args:
        model: In evaluation mode, on the device where it is to run.
        batches: The studies.
        keep: The subsets to ask for.

    Returns:
        Subset -> (S, C) logits, freed from class weights; and (S, I) whether each input, in alphabetical order, was there.
    """
    model.eval()
    device = next(model.parameters()).device
    logits: dict[Subset, list[Array]] = {some: [] for some in keep}
    present: list[Array] = []
    for batch in batches:
        tokens = model.encode(batch.to(device))
        for some in keep:
            logits[some].append(model.evidence(model.fuse(tokens, some).logits).float().cpu().numpy())
        present.append(np.stack([batch.present[name].numpy() for name in sorted(batch.present)], axis=1))
    return {some: np.concatenate(parts) for some, parts in logits.items()}, np.concatenate(present)
