"""Squeeze and excitation across inputs: a summary of all opens and closes the channels of each. B studies, D width, I inputs.

Source:
    Joze et al. 2020, MMTM: Multimodal Transfer Module for CNN Fusion.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from medmm.fusion.base import Fused, Fusion, FusionSettings, Given
from medmm.fusion.joining import Join


class SqueezeExciteSettings(FusionSettings):
    """Each input's channels are rescaled by what all inputs show together."""

    name: Literal["squeeze_excite"] = "squeeze_excite"
    """Which one."""

    reduction: int = Field(2, ge=1)
    """The summary of all inputs is as wide as all of them together, divided by this and by their number."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return SqueezeExcite(width, inputs, max(1, width // self.reduction))


class SqueezeExcite(Fusion):
    """Every channel of an input is multiplied by a factor between 0 and 2."""

    def __init__(self, width: int, inputs: Sequence[str], summary: int) -> None:
        super().__init__(inputs)
        count = len(self.inputs)
        self.squeeze = nn.Sequential(nn.Linear(count * (width + 1), summary), nn.ReLU())
        self.excite = nn.Linear(summary, count * width)
        self.join = Join(width, count)

    def excitation(self, given: Given) -> torch.Tensor:
        """Give the factor of each channel: (B, I, D) in (0, 2)."""
        seen = torch.cat([given.pooled.flatten(1), given.has], dim=1)  # (B, I * D + I)
        factor: torch.Tensor = 2 * self.excite(self.squeeze(seen)).view_as(given.pooled).sigmoid()
        return factor

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D)."""
        return Fused(self.join(self.excitation(given) * given.pooled, given.has))
