"""Tensor fusion of low rank: products of all inputs' features, without ever building their tensor.

Letters: B studies, D width, I inputs, R rank.

Source:
    Zadeh et al. 2017, Tensor Fusion Network for Multimodal Sentiment Analysis; Liu et al. 2018, Efficient Low-rank
    Multimodal Fusion with Modality-Specific Factors.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from medmm.fusion.base import Fused, Fusion, FusionSettings, Given


class LowRankSettings(FusionSettings):
    """Every product of features of one, two and all inputs, through a tensor of low rank."""

    name: Literal["low_rank"] = "low_rank"
    """Which one."""

    rank: int = Field(4, ge=1)
    """Terms that the tensor of weights is a sum of."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return LowRank(width, inputs, self.rank)


class LowRank(Fusion):
    """A factor an input, from its features with a constant 1 appended; an absent input is the factor 1."""

    def __init__(self, width: int, inputs: Sequence[str], rank: int) -> None:
        super().__init__(inputs)
        factor = torch.randn(len(self.inputs), rank, width + 1, width) / width**0.5
        factor[:, :, -1] = 1.0  # factors near 1, so that their product neither vanishes nor explodes
        self.factor = nn.Parameter(factor)
        self.term = nn.Parameter(torch.randn(rank) / rank**0.5)
        self.bias = nn.Parameter(torch.zeros(width))

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D)."""
        values = functional.pad(given.pooled, (0, 1), value=1.0)  # (B, I, D + 1)
        factor = torch.einsum("bik,irkd->bird", values, self.factor)  # (B, I, R, D)
        product = torch.where(given.has[..., None, None], factor, 1.0).prod(1)  # (B, R, D)
        return Fused((self.term[:, None] * product).sum(1) + self.bias)
