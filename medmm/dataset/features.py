"""What a frozen backbone says of each study, computed once and kept on disk: epochs then run what follows it alone.

Letters: S studies that have the input, P pieces of a study, N tokens, H width of the backbone.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import nn

from medmm import __version__
from medmm.dataset.batches import Batches
from medmm.dataset.cache import ABSENT, PreparedInput, Progress
from medmm.encoders.adapted import Adapted
from medmm.encoders.several import THERE, Several
from medmm.files import digest, digest_file, write_json, writing_folder
from medmm.inputs.base import Input
from medmm.types import Array

FORMAT = 1
NOTES = "features.json"
KEPT = frozenset({THERE, "mask"})
"""Fields of an input that still tell which pieces a study has."""


def backbone_of(network: nn.Module) -> Adapted | None:
    """Give the backbone of an encoder, be it of one piece or of several; None where it has none that came from elsewhere."""
    inner = network.network if isinstance(network, Several) else network
    return inner if isinstance(inner, Adapted) else None


def kept_features(
    prepared: PreparedInput,
    one: Input[object],
    backbone: Adapted,
    folder: Path,
    batch_size: int,
    device: torch.device,
    progress: Progress | None = None,
) -> PreparedInput:
    """Give the input with the tokens of its frozen backbone in place of what the backbone reads.

    Images are not augmented then: the backbone sees each of them once.

    Args:
        prepared: The input of all studies.
        one: The fitted input.
        backbone: Of its encoder, frozen, weights loaded.
        folder: Of the cache.
        batch_size: Studies at a time.
        device: Where to compute.
        progress: Told how many studies are done.
    """
    assert backbone.frozen
    rows = np.flatnonzero(prepared.place[:, 0] != ABSENT)
    key = digest([FORMAT, __version__, one.portable(), list(prepared.digests), _weights_digest(backbone.backbone)])
    path = folder / f"{one.name}-features" / key[:32]
    if not _is_whole(path):
        _fill(path, Batches({one.name: prepared}, rows.tolist(), None, batch_size), backbone.to(device), one.name, progress)
    elif progress is not None:
        progress(len(rows), len(rows))
    place = np.full_like(prepared.place, ABSENT)
    place[rows] = np.stack([np.zeros_like(rows), np.arange(len(rows))], axis=1)
    shard = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in json.loads((path / NOTES).read_text())}
    return PreparedInput(place, (shard,), prepared.rejected, prepared.digests)


@torch.inference_mode()
def _fill(path: Path, batches: Batches, backbone: Adapted, name: str, progress: Progress | None) -> None:
    device = next(backbone.parameters()).device
    done = 0
    with writing_folder(path) as temporary:
        columns: dict[str, Array] = {}
        for batch in batches:
            made = _features(backbone.eval(), batch.to(device).inputs[name])
            for field, values in made.items():
                if field not in columns:
                    file, shape = temporary / f"{field}.npy", (batches.studies, *values.shape[1:])
                    columns[field] = open_memmap(file, "w+", values.cpu().numpy().dtype, shape)
                columns[field][done : done + len(values)] = values.cpu().numpy()
            done += len(batch.rows)
            if progress is not None:
                progress(done, batches.studies)
        for column in columns.values():
            column.flush()  # type: ignore[attr-defined]
        write_json(temporary / NOTES, {field: digest_file(temporary / f"{field}.npy") for field in columns})
    backbone.cpu()


def _features(backbone: Adapted, fields: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give {"features": (B, N, H), "features_mask": (B, N)}, with P after B where a study has several pieces, and `KEPT`."""
    there = fields[THERE] > 0 if THERE in fields else _chunks_there(fields)
    kept = {name: values for name, values in fields.items() if name in KEPT}
    if there is None:
        tokens = backbone.hidden(fields)
        return {**kept, "features": tokens.values.float(), "features_mask": tokens.mask.to(torch.uint8)}
    own = {name: values[there] for name, values in fields.items() if name != THERE and values.shape[:2] == there.shape}
    tokens = backbone.hidden(own)
    values = tokens.values.new_zeros((*there.shape, *tokens.values.shape[1:]), dtype=torch.float32)
    mask = torch.zeros((*there.shape, tokens.mask.shape[1]), dtype=torch.uint8, device=there.device)
    values[there], mask[there] = tokens.values.float(), tokens.mask.to(torch.uint8)
    return {**kept, "features": values, "features_mask": mask}


def _chunks_there(fields: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Tell which chunks (B, P) a note of several has; None for an input of one piece."""
    mask = fields.get("mask")
    return (mask > 0).any(2) if mask is not None and mask.ndim == 3 else None


def _weights_digest(network: nn.Module) -> str:
    return digest([[name, digest(value.contiguous().cpu().numpy().tobytes())] for name, value in network.state_dict().items()])


def _is_whole(path: Path) -> bool:
    if not (path / NOTES).is_file():
        return False
    files = json.loads((path / NOTES).read_text())
    return all((path / f"{name}.npy").is_file() and digest_file(path / f"{name}.npy") == known for name, known in files.items())
