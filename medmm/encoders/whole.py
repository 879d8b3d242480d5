"""Encoding without a choice of rows: what an exported graph needs, where no shape may depend on a value. B rows, N tokens."""

from collections.abc import Callable, Mapping

import torch

from medmm.types import Tokens


def encode_whole(
    network: Callable[[Mapping[str, torch.Tensor]], Tokens], fields: Mapping[str, torch.Tensor], has: torch.Tensor
) -> Tokens:
    """Encode every row, and give those that are not there masked tokens of zeros; their filler reaches nothing, NaN included.

    Args:
        network: The encoder.
        fields: (B, ...) prepared tensors.
        has: (B,) which rows are there.
    """
    tokens = network({name: readable(values, has) for name, values in fields.items()})
    mask = tokens.mask & has[:, None]
    return Tokens(torch.where(mask[..., None], tokens.values, 0.0), mask)


def readable(values: torch.Tensor, has: torch.Tensor) -> torch.Tensor:
    """Put what any encoder reads without harm in the rows (B, ...) that are not there.

    0 stands for measurements; 1 for whole numbers, by which masks and flags are set, so that attention has something to look
    at, and codes are known ones.
    """
    return torch.where(has.view(-1, *[1] * (values.ndim - 1)), values, 0 if values.is_floating_point() else 1)
