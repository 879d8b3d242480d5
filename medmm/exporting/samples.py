"""Made-up studies as inputs prepare them, by which a graph is traced and checked: nobody's data. B studies."""

import numpy as np
import torch

from medmm.dataset.batches import stack
from medmm.inputs import Inputs
from medmm.types import Batch

PRESENT = 0.6
"""Chance that a study has an input."""


def random_studies(inputs: Inputs, count: int, seed: int = 0) -> Batch:
    """Make studies at random: the first has every input, the second none, the others some of them.

    Args:
        inputs: Fitted.
        count: B, at least 2.
        seed: Of chance.
    """
    rng = np.random.default_rng(seed)
    names = sorted(inputs)
    fields = {name: stack([inputs[name].made_up(rng) for _ in range(count)]) for name in names}
    present = {name: torch.from_numpy(rng.random(count) < PRESENT) for name in names}
    for has in present.values():
        has[0], has[1] = True, False
    return Batch(fields, present, None, torch.arange(count))
