"""One masked token sequence over all inputs, read out at a class token. B studies, N tokens, D width.

Source: Nagrani et al. 2021, Attention Bottlenecks for Multimodal Fusion (the variant without bottlenecks).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.attention import attend, blocks
from medmm.fusion.base import Fused, Fusion, FusionSettings, Given
from medmm.types import Tokens


class TransformerSettings(FusionSettings):
    """Attention over the tokens of all inputs at once: any of them may change how another is read."""

    name: Literal["transformer"] = "transformer"
    """Which one."""

    layers: int = Field(2, ge=1)
    """Transformer blocks."""

    heads: int = Field(4, ge=1)
    """Attention heads; divides the width of the model."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the blocks."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return Transformer(self, width, inputs)


class Transformer(Fusion):
    """A class token, a summary token an input and all tokens of the inputs, each with the embedding of its input."""

    def __init__(self, settings: TransformerSettings, width: int, inputs: Sequence[str]) -> None:
        super().__init__(inputs)
        self.readout = nn.Parameter(torch.randn(1, 1, width) / width**0.5)
        self.input_type = nn.Parameter(torch.randn(len(self.inputs), width) / width**0.5)
        self.blocks = blocks(width, settings.layers, settings.heads, settings.dropout)

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D)."""
        values = [self.readout.expand(given.has.shape[0], 1, -1), given.pooled + self.input_type]
        mask = [torch.ones_like(given.has[:, :1]), given.has]
        for kind, one in zip(self.input_type, given.tokens, strict=True):
            values.append(one.values + kind)
            mask.append(one.mask)
        return Fused(attend(self.blocks, Tokens(torch.cat(values, dim=1), torch.cat(mask, dim=1))).values[:, 0])
