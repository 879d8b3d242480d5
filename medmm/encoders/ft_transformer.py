"""Feature-tokenizer transformer: a token a cell; a missing cell is no token.

Source: Gorishniy et al. 2021, Revisiting Deep Learning Models for Tabular Data. B studies, F numeric and G categorical columns.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.attention import attend, blocks, filled
from medmm.encoders.base import TabularEncoderSettings
from medmm.encoders.embedded import Embedded
from medmm.types import Tokens


class FTTransformer(TabularEncoderSettings):
    """A token a cell, then attention between the cells."""

    name: Literal["ft_transformer"] = "ft_transformer"
    """Which one."""

    layers: int = Field(2, ge=1)
    """Transformer blocks."""

    heads: int = Field(4, ge=1)
    """Attention heads; divides the width of the model."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout in the blocks."""

    def build(self, width: int, numeric: int, categories: Sequence[int]) -> nn.Module:
        """Build the network."""
        return _FeatureTokens(self, width, numeric, categories)


class _FeatureTokens(nn.Module):
    def __init__(self, settings: FTTransformer, width: int, numeric: int, categories: Sequence[int]) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.randn(numeric, width) / width**0.5)
        self.column = nn.Parameter(torch.randn(numeric + len(categories), width) / width**0.5)
        self.category = nn.ModuleList(nn.Embedding(codes, width, padding_idx=0) for codes in categories)
        self.embedded = Embedded()
        self.blocks = blocks(width, settings.layers, settings.heads, settings.dropout)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        codes = fields["category"].long()  # (B, G)
        parts = [fields["number"][..., None] * self.slope]  # (B, F, D)
        parts += [embed(codes[:, [g]]) for g, embed in enumerate(self.category)]  # (B, 1, D) each
        mask = torch.cat([fields["known"] > 0, codes > 0], dim=1)  # (B, F + G)
        cells = filled(Tokens(torch.cat(parts, dim=1) + self.column, mask))
        return attend(self.blocks, Tokens(self.embedded(cells.values), mask))
