"""A product of Gaussians: each input says where the joint representation lies, and how sure it is.

Letters: B studies, D width, I inputs.

Source:
    Wu & Goodman 2018, Multimodal Generative Models for Scalable Weakly-Supervised Learning (MVAE);
    Alemi et al. 2017, Deep Variational Information Bottleneck (the penalty without a decoder).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from medmm.fusion.base import Fused, Fusion, FusionSettings, Given


class ProductOfExpertsSettings(FusionSettings):
    """Inputs add up as independent measurements do: the surer counts more, and an absent one says nothing."""

    name: Literal["product_of_experts"] = "product_of_experts"
    """Which one."""

    beta: float = Field(0.01, ge=0)
    """Weight of how far the joint representation may depart from its prior, a channel."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return ProductOfExperts(width, inputs, self.beta)


class ProductOfExperts(Fusion):
    """A mean and a precision (inverse variance) a channel from each present input, times the prior N(0, 1)."""

    def __init__(self, width: int, inputs: Sequence[str], beta: float) -> None:
        super().__init__(inputs)
        self.beta = beta
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2 * width)) for _ in self.inputs
        )

    def opinions(self, given: Given) -> tuple[torch.Tensor, torch.Tensor]:
        """Give mean and precision of each input, (B, I, D) each; an absent input has precision 0."""
        made = torch.stack([expert(given.pooled[:, i]) for i, expert in enumerate(self.experts)], dim=1).float()
        mean, precision = made.chunk(2, dim=2)
        return mean, torch.where(given.has[..., None], functional.softplus(precision), 0.0)

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D): the mean of the product in evaluation, a draw from it in training; the divergence as penalty."""
        means, precisions = self.opinions(given)
        precision = 1 + precisions.sum(1)  # (B, D)
        mean = (precisions * means).sum(1) / precision
        joint = mean + torch.randn_like(mean) * precision.rsqrt() if self.training else mean
        return Fused(joint, penalty=self.beta * divergence(mean, precision).mean())


def divergence(mean: torch.Tensor, precision: torch.Tensor) -> torch.Tensor:
    """Give the Kullback-Leibler divergence (B, D) of N(mean, 1 / precision) from N(0, 1)."""
    return 0.5 * (1 / precision + mean.square() - 1 + precision.log())
