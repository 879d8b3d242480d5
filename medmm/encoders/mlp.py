"""A multilayer perceptron over the cells of a table: numbers as waves, categories as vectors, one token a study.

Source: Gorishniy et al. 2022, On Embeddings for Numerical Features in Tabular Deep Learning (periodic, linear, ReLU: "PLR").
B studies, F numeric and G categorical columns, D width, E width of a cell.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from medmm.encoders.attention import filled
from medmm.encoders.base import TabularEncoderSettings
from medmm.encoders.embedded import Embedded
from medmm.types import Tokens


class MLP(TabularEncoderSettings):
    """The strong plain choice for tables of a few columns and a few hundred studies."""

    name: Literal["mlp"] = "mlp"
    """Which one."""

    layers: int = Field(2, ge=1)
    """Hidden layers."""

    hidden: int = Field(128, ge=8)
    """Their width."""

    cell: int = Field(8, ge=1)
    """Width of the vector that stands for a cell."""

    frequencies: int = Field(16, ge=1)
    """Waves that a number is written in."""

    frequency_scale: float = Field(0.1, gt=0)
    """Standard deviation of the waves' first frequencies, in cycles per standard deviation of the column: the larger, the finer
    the steps that the network can learn."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout after each hidden layer."""

    def build(self, width: int, numeric: int, categories: Sequence[int]) -> nn.Module:
        """Build the network."""
        return _Cells(self, width, numeric, categories)


class _Cells(nn.Module):
    def __init__(self, settings: MLP, width: int, numeric: int, categories: Sequence[int]) -> None:
        super().__init__()
        self.frequency = nn.Parameter(settings.frequency_scale * torch.randn(numeric, settings.frequencies))
        self.wave = nn.Parameter(torch.randn(numeric, 2 * settings.frequencies, settings.cell) / settings.frequencies**0.5)
        self.wave_bias = nn.Parameter(torch.zeros(numeric, settings.cell))
        self.category = nn.ModuleList(nn.Embedding(codes, settings.cell, padding_idx=0) for codes in categories)
        self.embedded = Embedded()
        cells = numeric + len(categories)
        layers: list[nn.Module] = []
        features = cells * (settings.cell + 1)  # every cell and whether it is known
        for _ in range(settings.layers):
            layers += [nn.Linear(features, settings.hidden), nn.ReLU(), nn.Dropout(settings.dropout)]
            features = settings.hidden
        self.deep = nn.Sequential(*layers, nn.Linear(features, width))
        self.linear = nn.Linear(numeric + cells + len(categories) * settings.cell, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, fields: Mapping[str, torch.Tensor]) -> Tokens:
        codes = fields["category"].long()  # (B, G)
        known = fields["known"] > 0  # (B, F)
        number = torch.where(known, fields["number"], 0.0)  # (B, F): whatever stands in a missing cell
        angle = 2 * math.pi * number[..., None] * self.frequency
        waves = torch.cat([angle.sin(), angle.cos()], dim=-1)  # (B, F, 2 frequencies)
        numbers = functional.relu(torch.einsum("bfw,fwe->bfe", waves, self.wave) + self.wave_bias)  # (B, F, E)
        categories = [embed(codes[:, g]) for g, embed in enumerate(self.category)]  # (B, E) each
        there = torch.cat([known, codes > 0], dim=1)  # (B, F + G)
        flags = there.to(number.dtype)
        plain, waved = number.shape[1], numbers.shape[1] * (numbers.shape[2] + 1)
        cells = self.embedded(torch.cat([number, (numbers * known[..., None]).flatten(1), *categories], dim=1))
        deep = self.deep(torch.cat([cells[:, plain:], flags], dim=1))
        values = self.norm(deep + self.linear(torch.cat([cells[:, :plain], flags, cells[:, waved:]], dim=1)))  # (B, D)
        return filled(Tokens(values[:, None], there.any(1, keepdim=True)))  # (B, 1, D)
