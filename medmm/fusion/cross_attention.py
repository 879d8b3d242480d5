"""Co-attention: the tokens of each input read those of all others. B studies, N tokens, D width, I inputs.

Source:
    Lu et al. 2019, ViLBERT; Tsai et al. 2019, Multimodal Transformer for Unaligned Multimodal Language Sequences.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.attention import filled
from medmm.fusion.base import Fused, Fusion, FusionSettings, Given, pooled
from medmm.fusion.crossing import Crossing
from medmm.fusion.joining import Join
from medmm.types import Tokens


class CrossAttentionSettings(FusionSettings):
    """One stream an input, each reading all others."""

    name: Literal["cross_attention"] = "cross_attention"
    """Which one."""

    layers: int = Field(1, ge=1)
    """How often the streams read each other."""

    heads: int = Field(4, ge=1)
    """Attention heads; divides the width of the model."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the blocks."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return CrossAttention(self, width, inputs)


class CrossAttention(Fusion):
    """Blocks of their own for each input; a study with one input reads nothing."""

    def __init__(self, settings: CrossAttentionSettings, width: int, inputs: Sequence[str]) -> None:
        super().__init__(inputs)
        self.input_type = nn.Parameter(torch.randn(len(self.inputs), width) / width**0.5)
        self.layers = settings.layers
        self.read = nn.ModuleList(
            Crossing(width, settings.heads, settings.dropout) for _ in range(settings.layers * len(self.inputs))
        )
        self.join = Join(width, len(self.inputs))

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D)."""
        masks = [one.mask for one in given.tokens]
        streams = [one.values + kind for kind, one in zip(self.input_type, given.tokens, strict=True)]
        others = [torch.cat([mask & (k != i) for k, mask in enumerate(masks)], dim=1) for i in range(len(masks))]
        for layer in range(self.layers):
            every = torch.cat(streams, dim=1)  # (B, N of all inputs, D)
            blocks = self.read[layer * len(masks) : (layer + 1) * len(masks)]
            streams = [
                block(stream, Tokens(every, other)) for block, stream, other in zip(blocks, streams, others, strict=True)
            ]
        means = [pooled(filled(Tokens(*one))) for one in zip(streams, masks, strict=True)]
        return Fused(self.join(torch.stack(means, dim=1), given.has))
