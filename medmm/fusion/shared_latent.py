"""A shared code from which every input can be rebuilt. B studies, D width, I inputs.

Source:
    Ngiam et al. 2011, Multimodal Deep Learning.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.fusion.base import Fused, Fusion, FusionSettings, Given
from medmm.fusion.joining import Join


class SharedLatentSettings(FusionSettings):
    """An autoencoder over all inputs; its code is the joint representation."""

    name: Literal["shared_latent"] = "shared_latent"
    """Which one."""

    reconstruction_weight: float = Field(0.1, ge=0)
    """Weight of the error with which the inputs are rebuilt."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return SharedLatent(width, inputs, self.reconstruction_weight)


class SharedLatent(Fusion):
    """Z from the present inputs, and a decoder an input that rebuilds it from Z."""

    def __init__(self, width: int, inputs: Sequence[str], weight: float) -> None:
        super().__init__(inputs)
        self.reconstruction_weight = weight
        self.join = Join(width, len(self.inputs))
        self.rebuild = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in self.inputs
        )

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D), and the squared error over the present inputs as penalty."""
        joint = self.join(given.pooled, given.has)
        rebuilt = torch.stack([rebuild(joint) for rebuild in self.rebuild], dim=1)  # (B, I, D)
        # Detached: the encoders must not make their inputs easy to rebuild by making them poor.
        error = (rebuilt - given.pooled.detach()).square().mean(2)  # (B, I)
        mean = torch.where(given.has, error, 0.0).sum() / given.has.sum().clamp(min=1)
        return Fused(joint, penalty=self.reconstruction_weight * mean)
