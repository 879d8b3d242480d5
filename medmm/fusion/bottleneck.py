"""Bottleneck tokens: inputs hear of each other only through a few latent tokens. B studies, N tokens, D width, L latent tokens.

Source:
    Nagrani et al. 2021, Attention Bottlenecks for Multimodal Fusion, section 3.2; Jaegle et al. 2021, Perceiver (the read-out).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.attention import blocks
from medmm.fusion.base import Fused, Fusion, FusionSettings, Given, mean_of_present


class BottleneckSettings(FusionSettings):
    """Attention inside each input, and a narrow passage between them; cheaper than attention over all tokens at once."""

    name: Literal["bottleneck"] = "bottleneck"
    """Which one."""

    latents: int = Field(4, ge=1)
    """Tokens that the inputs share."""

    layers: int = Field(2, ge=1)
    """Transformer blocks; from the second on, an input reads what the others wrote."""

    heads: int = Field(4, ge=1)
    """Attention heads; divides the width of the model."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the blocks."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return Bottleneck(self, width, inputs)


class Bottleneck(Fusion):
    """Each input attends to itself and the latent tokens; these become the mean of what the present inputs made of them.

    The inputs share the blocks, told apart by an embedding, since cohorts are small.
    """

    def __init__(self, settings: BottleneckSettings, width: int, inputs: Sequence[str]) -> None:
        super().__init__(inputs)
        self.latents = nn.Parameter(torch.randn(1, settings.latents, width) / width**0.5)
        self.input_type = nn.Parameter(torch.randn(len(self.inputs), width) / width**0.5)
        self.blocks = blocks(width, settings.layers, settings.heads, settings.dropout).layers
        self.norm = nn.LayerNorm(width)

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D)."""
        count = self.latents.shape[1]
        latents = self.latents.expand(given.has.shape[0], -1, -1)  # (B, L, D)
        real = torch.ones_like(latents[..., 0], dtype=torch.bool)
        streams = [one.values + kind for kind, one in zip(self.input_type, given.tokens, strict=True)]
        for block in self.blocks:
            written = []
            for i, one in enumerate(given.tokens):
                mask = torch.cat([real, one.mask], dim=1)
                values = block(torch.cat([latents, streams[i]], dim=1), src_key_padding_mask=~mask)  # (B, L + N, D)
                written.append(values[:, :count].flatten(1))  # (B, L * D)
                streams[i] = values[:, count:]
            latents = mean_of_present(torch.stack(written, dim=1), given.has).view_as(latents)
        return Fused(self.norm(latents).mean(1))
