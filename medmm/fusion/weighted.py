"""Weighted fusion: one learned weight an input, renormalised over the inputs that a study has. B studies, D width, I inputs."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from medmm.fusion.base import Fused, Fusion, FusionSettings, Given


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

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D)."""
        values = torch.stack([project(given.pooled[:, i]) for i, project in enumerate(self.project)], dim=1)  # (B, I, D)
        weight = self.weight.expand_as(given.has).masked_fill(~given.has, -torch.inf).softmax(1)  # (B, I)
        return Fused((torch.where(given.has, weight, 0.0)[..., None] * values).sum(1))
