"""Weighted fusion: one learned weight an input, renormalised over the inputs that a study has. B studies, D width, I inputs."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from medmm.fusion.base import Fusion, FusionSettings, pooled, present
from medmm.types import Tokens


class WeightedSettings(FusionSettings):
    """The simplest: a weighted mean of the inputs, whose weights can be read."""

    name: Literal["weighted"] = "weighted"
    """Which one."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return Weighted(width, inputs)


class Weighted(Fusion):
    """Softmax weights over the present inputs."""

    def __init__(self, width: int, inputs: Sequence[str]) -> None:
        super().__init__(inputs)
        self.weight = nn.Parameter(torch.zeros(len(self.inputs)))
        self.project = nn.ModuleList(nn.Linear(width, width) for _ in self.inputs)

    def fuse(self, tokens: Sequence[Tokens]) -> torch.Tensor:
        """Give Z (B, D)."""
        has = torch.stack([present(one) for one in tokens], dim=1)  # (B, I)
        values = torch.stack(
            [project(pooled(one)) for project, one in zip(self.project, tokens, strict=True)], dim=1
        )  # (B, I, D)
        weight = self.weight.expand_as(has).masked_fill(~has, -torch.inf).softmax(1)  # (B, I)
        return (torch.where(has, weight, 0.0)[..., None] * values).sum(1)
