"""A transformer over patches of time: one token a patch, of all leads and bands together, with a learned place.

Sources: Dosovitskiy et al. 2021, An Image is Worth 16x16 Words, along one axis; Nie et al. 2023, A Time Series is Worth 64
Words (PatchTST), which keeps leads apart: here they stand side by side, as a diagnosis reads them against each other.

Letters: B studies, L leads, N patches, H width inside.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.adapted import Adapted, all_real
from medmm.encoders.attention import attend, blocks
from medmm.encoders.base import SignalEncoderSettings
from medmm.encoders.tuning import Tuning
from medmm.errors import ConfigError
from medmm.types import Tokens


class PatchTransformer(SignalEncoderSettings):
    """Patches as tokens, of traces and of spectrograms; wants more studies than a convolutional encoder."""

    axes: ClassVar[frozenset[int]] = frozenset({1, 2})

    name: Literal["patch_transformer"] = "patch_transformer"
    """Which one."""

    patch: int = Field(25, ge=1)
    """Samples, or frames, of a patch; the signal is a multiple of it."""

    hidden: int = Field(96, ge=8)
    """Width inside the encoder."""

    layers: int = Field(3, ge=1)
    """Transformer blocks."""

    heads: int = Field(4, ge=1)
    """Attention heads; divides `hidden`."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the blocks."""

    def build(self, width: int, leads: int, size: Sequence[int]) -> Adapted:
        """Build the network.

        Raises:
            ConfigError: The signal is not made of whole patches, or heads do not divide `hidden`.
        """
        if self.hidden % self.heads:
            raise ConfigError(f"encoder.hidden: {self.hidden} is not a multiple of heads {self.heads}: change one of the two")
        length = size[-1]
        if length % self.patch:
            raise ConfigError(
                f"size {tuple(size)}: its {length} samples or frames are not a multiple of patch {self.patch}: "
                f"give {length - length % self.patch or self.patch} of them, or a patch such as {_divisor(length, self.patch)}"
            )
        rows = leads * size[0] if len(size) == 2 else leads
        backbone = nn.ModuleDict(
            {
                "patches": _Patches(rows, self.patch, self.hidden, length // self.patch),
                "blocks": blocks(self.hidden, self.layers, self.heads, self.dropout),
            }
        )
        return _Attending(backbone, self.hidden, width, [f"blocks.layers.{i}" for i in range(self.layers)], Tuning())


class _Patches(nn.Module):
    """Signals (B, L, ...) -> a vector a patch, with its place (B, N, H)."""

    def __init__(self, rows: int, patch: int, hidden: int, count: int) -> None:
        super().__init__()
        self.cut = nn.Conv1d(rows, hidden, patch, stride=patch)
        self.place = nn.Parameter(torch.randn(count, hidden) * hidden**-0.5)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        rows = signal.flatten(1, -2)  # (B, L or L * M, T or frames)
        placed: torch.Tensor = self.cut(rows).transpose(1, 2) + self.place
        return placed


class _Attending(Adapted):
    def _run(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        network = self.backbone.get_submodule("blocks")
        assert isinstance(network, nn.TransformerEncoder)
        return attend(network, all_real(self.backbone.get_submodule("patches")(fields["signal"])))


def _divisor(length: int, near: int) -> int:
    """Give the divisor of a length that is nearest to a number."""
    return min((one for one in range(1, length + 1) if length % one == 0), key=lambda one: abs(one - near))
