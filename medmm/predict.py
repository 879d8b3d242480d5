"""What a model says of studies, with all their inputs or with some. S studies, D width, K outputs of a head."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, combinations
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch.nn.functional import pad

from medmm.fusion.base import pooled
from medmm.model import DiagnosisModel, Output, encode_present
from medmm.types import Array, Batch, Tokens

Subset = frozenset[str]

Said: TypeAlias = tuple[Array, ...]
"""What a fusion says of a batch."""


def subsets(inputs: Sequence[str]) -> list[Subset]:
    """Give every subset of the inputs but the empty one, the largest first."""
    names = sorted(inputs)
    sizes = range(len(names), 0, -1)
    return [frozenset(some) for some in chain.from_iterable(combinations(names, size) for size in sizes)]


class Predicted(NamedTuple):
    """What a model says of S studies.

    Attributes:
        logits: Subset of inputs -> (S, K), freed from what the loss has put into them.
        present: (S, I) whether each input, in alphabetical order, was there.
        conflict: (S,) in [0, 1], how far the inputs of a study contradict each other in the first subset asked for; None where
            the fusion cannot tell.
        joint: (S, D) representation of each study, by the first subset asked for.
        pooled: Input -> (S, D) mean of its tokens; zeros where it is absent.
    """

    logits: dict[Subset, Array]
    present: Array
    conflict: Array | None
    joint: Array
    pooled: dict[str, Array]


@torch.inference_mode()
def predict(
    model: DiagnosisModel,
    batches: Iterable[Batch],
    keep: Sequence[Subset],
    *,
    within_fusion: bool = False,
    tile: int | None = None,
) -> Predicted:
    """Give the logits of every study as if it had only some of its inputs; the encoders run once.

    Args:
        model: In evaluation mode, on the device where it is to run.
        batches: The studies; there may be none.
        keep: The subsets to ask for, at least one.
        within_fusion: Free the logits only as far as inputs of a fusion see each other's.
        tile: Studies that a network sees at once (`medmm.tiles`); every batch then has as many. None for batches of any size.
    """
    model.eval()
    device = _device(model)
    free = model.criterion.free if within_fusion else model.evidence
    logits: dict[Subset, list[Array]] = {some: [] for some in keep}
    present: list[Array] = []
    conflict: list[Array] = []
    joint: list[Array] = []
    means: dict[str, list[Array]] = {name: [] for name in sorted(model.encoders)}
    for batch in batches:
        assert tile in {None, len(batch.rows)}
        tokens = model.encode(batch.to(device), tile)
        for name, own in means.items():
            own.append(pooled(tokens[name]).float().cpu().numpy())
        present.append(np.stack([batch.present[name].cpu().numpy() for name in sorted(batch.present)], axis=1))
        said: dict[Subset, Said] = {}
        for some in keep:
            parts = []
            for subset, rows in _by_subset(some, present[-1] if tile else None, sorted(batch.present)).items():
                if subset not in said:
                    said[subset] = _said(model.fuse(tokens, subset), free)
                parts.append((rows, said[subset]))
            logits[some].append(_joined(parts, 0))
            if some == keep[0]:
                joint.append(_joined(parts, 1))
                if len(parts[0][1]) > 2:
                    conflict.append(_joined(parts, 2))
    none = np.empty((0, model.head.out_features), np.float32)
    bare = np.empty((0, model.head.in_features), np.float32)
    return Predicted(
        logits={some: np.concatenate([none, *parts]) for some, parts in logits.items()},
        present=np.concatenate([np.empty((0, len(model.encoders)), bool), *present]),
        conflict=np.concatenate(conflict) if conflict else None,
        joint=np.concatenate([bare, *joint]),
        pooled={name: np.concatenate([bare, *own]) for name, own in means.items()},
    )


def _device(model: DiagnosisModel) -> torch.device:
    """Give where a model runs, and have a GPU compute there what a CPU does.

    By default it does not. cuDNN convolves in TF32, which keeps 10 of 23 bits; and in the fast path of a transformer block it
    computes GELU by its tanh formula (Hendrycks & Gimpel 2016), which moved a probability by 6e-4, as that does on a CPU.
    """
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.mha.set_fastpath_enabled(False)
    return device


def _by_subset(some: Subset, present: Array | None, names: Sequence[str]) -> dict[Subset, Array]:
    """Give the subsets to ask with, and the rows that each is asked of: those of the studies' own inputs that are to be kept.

    An input that a study lacks has as many masked tokens as its neighbours have real ones, and where no neighbour has it, one.
    In a tile it always has one, so that the shape of a study's tokens, too, hangs on nothing but the study.

    Args:
        some: Inputs to keep.
        present: (B, I) of a tile; None where neighbours may change the last bits.
        names: I inputs.
    """
    if present is None:
        return {some: np.array([], int)}
    found: dict[Subset, list[int]] = {}
    for row, has in enumerate(present):
        found.setdefault(some & {name for name, one in zip(names, has, strict=True) if one}, []).append(row)
    return {subset: np.array(rows) for subset, rows in found.items()}


def _said(output: Output, free: Callable[[torch.Tensor], torch.Tensor]) -> Said:
    """Give logits (B, K), representation (B, D) and, where there is one, conflict (B,)."""
    fused = output.fused
    parts = [free(output.logits), fused.joint, *([fused.conflict] if fused.conflict is not None else [])]
    return tuple(part.float().cpu().numpy() for part in parts)


def _joined(parts: Sequence[tuple[Array, Said]], which: int) -> Array:
    """Put together what was said of the rows of a batch; of one part without rows it is all of it."""
    whole = parts[0][1][which].copy()
    for rows, said in parts:
        whole[rows] = said[which][rows]
    return whole


@torch.inference_mode()
def encoded(model: DiagnosisModel, name: str, batches: Iterable[Batch]) -> Tokens:
    """Give the tokens of one input of S studies, so that a model can be asked again with other inputs changed.

    Args:
        model: On the device where it is to run.
        name: Of the input.
        batches: The studies with this input; at least one.

    Returns:
        Tokens on the CPU; studies with fewer tokens than others are filled up with masked ones.
    """
    model.eval()
    device = _device(model)
    parts: list[Tokens] = []
    for batch in batches:
        own = batch.to(device)
        tokens = encode_present(model.encoders[name], own.inputs[name], own.present[name], model.head.in_features)
        parts.append(Tokens(tokens.values.float().cpu(), tokens.mask.cpu()))
    longest = max(one.mask.shape[1] for one in parts)
    fill = [longest - one.mask.shape[1] for one in parts]
    values = torch.cat([pad(one.values, (0, 0, 0, more)) for one, more in zip(parts, fill, strict=True)])
    return Tokens(values, torch.cat([pad(one.mask, (0, more)) for one, more in zip(parts, fill, strict=True)]))


@torch.inference_mode()
def predict_encoded(model: DiagnosisModel, tokens: Mapping[str, Tokens], batch_size: int) -> Array:
    """Give the logits (S, K) of studies from the tokens of all their inputs, as `predict` does from batches."""
    model.eval()
    device = _device(model)
    parts: list[Array] = [np.empty((0, model.head.out_features), np.float32)]
    for start in range(0, len(next(iter(tokens.values())).mask), batch_size):
        here = slice(start, start + batch_size)
        own = {name: Tokens(one.values[here].to(device), one.mask[here].to(device)) for name, one in tokens.items()}
        parts.append(model.evidence(model.fuse(own).logits).float().cpu().numpy())
    return np.concatenate(parts)
