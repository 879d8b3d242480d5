"""What inputs share, told apart from what only one of them knows. B studies, D width, I inputs.

Source:
    Hazarika, Zimmermann & Poria 2020, MISA: Modality-Invariant and -Specific Representations;
    Wang et al. 2023, Multi-modal Learning with Missing Modality via Shared-Specific Feature Modelling (ShaSpec).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.fusion.base import Fused, Fusion, FusionSettings, Given, mean_of_present

NO_LENGTH = 1e-6
"""Added to a squared length, so that a zero vector has a direction (none) and a gradient."""


class DisentangledSettings(FusionSettings):
    """A shared and a specific part of each input: where one is absent, the others still carry what it shares with them."""

    name: Literal["disentangled"] = "disentangled"
    """Which one."""

    similarity_weight: float = Field(0.1, ge=0)
    """Weight of how unlike the shared parts of a study's inputs are."""

    overlap_weight: float = Field(0.1, ge=0)
    """Weight of how far an input's shared and specific parts say the same."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return Disentangled(self, width, inputs)


class Disentangled(Fusion):
    """One projection for all inputs and one for each; Z from the means of both over the present inputs.

    Likeness is a cosine, so that no part becomes like another, or free of it, by shrinking.
    """

    def __init__(self, settings: DisentangledSettings, width: int, inputs: Sequence[str]) -> None:
        super().__init__(inputs)
        self.similarity_weight = settings.similarity_weight
        self.overlap_weight = settings.overlap_weight
        self.shared = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.specific = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in self.inputs)
        self.mix = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D), and how badly the parts are told apart as penalty."""
        shared = self.shared(given.pooled)  # (B, I, D)
        specific = torch.stack([specific(given.pooled[:, i]) for i, specific in enumerate(self.specific)], dim=1)
        parts = [mean_of_present(shared, given.has), mean_of_present(specific, given.has)]
        penalty = self.similarity_weight * unlikeness(shared, given.has) + self.overlap_weight * overlap(
            shared, specific, given.has
        )
        return Fused(self.mix(torch.cat(parts, dim=1)), penalty=penalty)


def unlikeness(shared: torch.Tensor, has: torch.Tensor) -> torch.Tensor:
    """Give 1 less the cosine of the shared parts (B, I, D), mean over the pairs of present inputs; 0 for a study with one."""
    direction = _direction(shared)
    cosine = direction @ direction.transpose(1, 2)  # (B, I, I)
    pairs = has[:, :, None] & has[:, None] & ~torch.eye(has.shape[1], dtype=torch.bool, device=has.device)
    return (torch.where(pairs, 1 - cosine, 0.0).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)).mean()


def overlap(shared: torch.Tensor, specific: torch.Tensor, has: torch.Tensor) -> torch.Tensor:
    """Give the squared cosine of shared and specific part (B, I, D) each, mean over the present inputs; 0 is orthogonal."""
    cosine = (_direction(shared) * _direction(specific)).sum(2, keepdim=True)  # (B, I, 1)
    return mean_of_present(cosine.square(), has).mean()


def _direction(values: torch.Tensor) -> torch.Tensor:
    values = values.float()
    return values * (values.square().sum(-1, keepdim=True) + NO_LENGTH).rsqrt()
