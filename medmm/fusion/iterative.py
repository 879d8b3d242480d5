"""A latent memory that reads one input after the other, round by round. B studies, D width, L latent tokens.

Source:
    Hemker, Simidjievski & Jamnik 2024, HEALNet: Multimodal Fusion for Heterogeneous Biomedical Data.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.attention import attend, blocks
from medmm.fusion.base import Fused, Fusion, FusionSettings, Given
from medmm.fusion.crossing import Crossing
from medmm.types import Tokens


class IterativeSettings(FusionSettings):
    """A memory shared by all inputs, which an absent input simply leaves as it is."""

    name: Literal["iterative"] = "iterative"
    """Which one."""

    latents: int = Field(8, ge=1)
    """Tokens of the memory."""

    rounds: int = Field(2, ge=1)
    """How often all inputs are read, with the same weights each time."""

    heads: int = Field(4, ge=1)
    """Attention heads; divides the width of the model."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the blocks."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return Iterative(self, width, inputs)


class Iterative(Fusion):
    """For each input a block by which the memory reads it, in the order of `inputs`; then one block within the memory."""

    def __init__(self, settings: IterativeSettings, width: int, inputs: Sequence[str]) -> None:
        super().__init__(inputs)
        self.rounds = settings.rounds
        self.memory = nn.Parameter(torch.randn(1, settings.latents, width) / width**0.5)
        self.read = nn.ModuleList(Crossing(width, settings.heads, settings.dropout) for _ in self.inputs)
        self.within = blocks(width, 1, settings.heads, settings.dropout)

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D)."""
        memory = self.memory.expand(given.has.shape[0], -1, -1)  # (B, L, D)
        real = torch.ones_like(memory[..., 0], dtype=torch.bool)
        for _ in range(self.rounds):
            for i, (read, one) in enumerate(zip(self.read, given.tokens, strict=True)):
                memory = torch.where(given.has[:, i, None, None], read(memory, one), memory)
            memory = attend(self.within, Tokens(memory, real)).values
        return Fused(memory.mean(1))
