"""Gated fusion: each study weighs its inputs by what they show. B studies, D width, I inputs.

Source:
    Arevalo et al. 2017, Gated Multimodal Units for Information Fusion; the gates are a softmax here, over the present inputs.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from medmm.fusion.base import Fused, Fusion, FusionSettings, Given


class GatedSettings(FusionSettings):
    """A weighted mean of the inputs, whose weights differ from study to study and can be read."""

    name: Literal["gated"] = "gated"
    """Which one."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network."""
        return Gated(width, inputs)


class Gated(Fusion):
    """For each input a feature and a score; the softmax of the scores weighs the features."""

    def __init__(self, width: int, inputs: Sequence[str]) -> None:
        super().__init__(inputs)
        self.feature = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in self.inputs)
        self.score = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1)) for _ in self.inputs
        )

    def gates(self, given: Given) -> torch.Tensor:
        """Give how much each input counts: (B, I), zero where absent; the present ones sum to 1."""
        score = torch.cat([score(given.pooled[:, i]) for i, score in enumerate(self.score)], dim=1)  # (B, I)
        return torch.where(given.has, score.masked_fill(~given.has, -torch.inf).softmax(1), 0.0)

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D)."""
        features = torch.stack([feature(given.pooled[:, i]) for i, feature in enumerate(self.feature)], dim=1)  # (B, I, D)
        return Fused((self.gates(given)[..., None] * features).sum(1))
