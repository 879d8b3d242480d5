"""In tiles of which size a network says the same of a study whatever stands beside it, bit for bit.

T studies of a tile.
"""

from collections.abc import Iterable
from dataclasses import replace
from math import prod

import numpy as np
import torch

from medmm.model import DiagnosisModel
from medmm.predict import Predicted, predict
from medmm.tiles import filled_batch
from medmm.types import Batch

SIZES = (16, 8, 4, 2, 1)
"""Tried from the largest. On CPUs, multiples of sixteen rows were exact with every network and fusion of medmm, and cost what
32 rows at once do."""

MOST_VALUES = 1 << 22
"""Prepared values in a tile: sixteen volumes of 64^3, four of 96^3. Larger images keep a core busy alone, and a single study
that is asked for costs as much as a tile."""


def exact_tile(model: DiagnosisModel, batch: Batch) -> int:
    """Give the largest tile in which the model is exact on these studies.

    Args:
        model: In evaluation mode, on the device where it is to run.
        batch: Some studies, at least one; sixteen try all neighbours of a full tile.
    """
    values = sum(prod(one.shape[1:]) for fields in batch.inputs.values() for one in fields.values())
    return next(tile for tile in SIZES if tile == 1 or (tile * values <= MOST_VALUES and is_exact(model, batch, tile)))


def is_exact(model: DiagnosisModel, batch: Batch, tile: int) -> bool:
    """Tell whether place and neighbours in a tile change no bit of what is said of these studies."""
    some = filled_batch(_rows(batch, range(min(tile, len(batch.rows)))), tile)
    here = _all_of(model, some, tile)
    for shift in {1, tile // 2, tile - 1}:
        order = np.roll(np.arange(tile), shift)
        if not np.array_equal(_all_of(model, _rows(some, order), tile), here[order], equal_nan=True):
            return False
    return all(
        np.array_equal(_all_of(model, filled_batch(_rows(some, [row]), tile), tile)[0], here[row], equal_nan=True)
        for row in {0, tile // 2, tile - 1}
    )


def _rows(batch: Batch, rows: Iterable[int]) -> Batch:
    some = torch.tensor(list(rows))
    inputs = {name: {key: values[some] for key, values in fields.items()} for name, fields in batch.inputs.items()}
    return replace(
        batch,
        inputs=inputs,
        present={name: has[some] for name, has in batch.present.items()},
        target=None,
        rows=torch.arange(len(some)),
        group=None,
        bounds=None,
        views=(),
    )


def _all_of(model: DiagnosisModel, batch: Batch, tile: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    said: Predicted = predict(model, [batch], [frozenset(model.encoders)], tile=tile)
    parts = [*said.logits.values(), said.joint, *said.pooled.values()]
    return np.concatenate([*parts, *([said.conflict[:, None]] if said.conflict is not None else [])], axis=1)
