"""A sparse mixture of experts, chosen by what a study shows and by which inputs it has.

Letters: B studies, D width, I inputs, E experts.

Source:
    Yun et al. 2024, Flex-MoE; Shazeer et al. 2017, Outrageously Large Neural Networks; Fedus et al. 2022, Switch Transformers
    (the penalty).
"""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional

from medmm.fusion.base import Fused, Fusion, FusionSettings, Given


class MixtureSettings(FusionSettings):
    """Experts for different combinations of inputs, found in training."""

    name: Literal["mixture"] = "mixture"
    """Which one."""

    experts: int = Field(4, ge=1)
    """Networks to choose from."""

    chosen: int = Field(2, ge=1)
    """Experts that a study is shown to."""

    balance_weight: float = Field(0.01, ge=0)
    """Weight of the penalty on experts that get more than their share of the studies."""

    @model_validator(mode="after")
    def _enough_experts(self) -> Self:
        if self.chosen > self.experts:
            raise ValueError(f"chosen {self.chosen} exceeds experts {self.experts}: choose at most all")
        return self

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return Mixture(self, width, inputs)


class Mixture(Fusion):
    """A gate and experts, all of which see the pooled inputs side by side and which of them are there.

    All experts run and the gate's zeros silence most: they are small, and a study's result is free of its batch that way.
    """

    def __init__(self, settings: MixtureSettings, width: int, inputs: Sequence[str]) -> None:
        super().__init__(inputs)
        self.chosen = settings.chosen
        self.balance_weight = settings.balance_weight
        seen = len(self.inputs) * (width + 1)
        self.gate = nn.Sequential(nn.Linear(seen, width), nn.GELU(), nn.Linear(width, settings.experts))
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(seen, width), nn.GELU(), nn.Linear(width, width)) for _ in range(settings.experts)
        )

    def route(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the weights of the experts (B, E), zero for all but the chosen, and how likely each was to be chosen (B, E)."""
        score = self.gate(seen).float()  # (B, E)
        best = score.topk(self.chosen, dim=1).indices
        taken = torch.zeros_like(score, dtype=torch.bool).scatter(1, best, value=True)
        return score.masked_fill(~taken, -torch.inf).softmax(1), score.softmax(1)

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D), and how unevenly the experts are used as penalty."""
        seen = torch.cat([given.pooled.flatten(1), given.has], dim=1)  # (B, I * D + I)
        weight, likely = self.route(seen)
        said = torch.stack([expert(seen) for expert in self.experts], dim=1)  # (B, E, D)
        return Fused((weight[..., None] * said).sum(1), penalty=self.balance_weight * imbalance(weight, likely))


def imbalance(weight: torch.Tensor, likely: torch.Tensor) -> torch.Tensor:
    """Give the share of studies of each expert times its mean likelihood, summed: 1 for even use, E where one takes all."""
    share = functional.normalize((weight > 0).float().mean(0), p=1, dim=0)  # (E,)
    return len(share) * (share * likely.mean(0)).sum()
