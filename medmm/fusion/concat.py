"""Channel fusion: the pooled inputs side by side, then a small network. B studies, D width."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.fusion.base import Fused, Fusion, FusionSettings, Given


class ConcatSettings(FusionSettings):
    """Concatenate, then mix with one hidden layer."""

    name: Literal["concat"] = "concat"
    """Which one."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout after the hidden layer."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return Concat(width, inputs, self.dropout)


class Concat(Fusion):
    """A learned vector stands where an input is absent, so that absence is told apart from a zero."""

    def __init__(self, width: int, inputs: Sequence[str], dropout: float) -> None:
        super().__init__(inputs)
        self.absent = nn.Parameter(torch.zeros(len(self.inputs), width))
        self.mix = nn.Sequential(
            nn.Linear(len(self.inputs) * width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D)."""
        parts = torch.where(given.has[..., None], given.pooled, self.absent)  # (B, I, D)
        return Fused(self.mix(parts.flatten(1)))
