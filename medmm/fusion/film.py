"""Conditioning: some inputs scale and shift the features of the others. B studies, N tokens, D width, I inputs.

Source:
    Perez et al. 2018, FiLM: Visual Reasoning with a General Conditioning Layer;
    Wolf et al. 2022, DAFT: a universal module to interweave tabular data and 3D images in CNNs.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from medmm.encoders.attention import filled
from medmm.errors import ConfigError
from medmm.fusion.base import Fused, Fusion, FusionSettings, Given, pooled
from medmm.fusion.joining import Join
from medmm.tables import nearest
from medmm.types import Tokens


class FilmSettings(FusionSettings):
    """What the laboratory says changes how an image is read."""

    name: Literal["film"] = "film"
    """Which one."""

    conditions: tuple[str, ...] = ()
    """Inputs that scale and shift the others, such as tables; where left out, each input is changed by all others."""

    def build(self, width: int, inputs: Sequence[str]) -> Fusion:
        """Build the network.

        Raises:
            ConfigError: A condition is no input of the run, or every input is a condition.
        """
        for name in self.conditions:
            if name not in inputs:
                raise ConfigError(f"fusion.conditions: no input is called {name!r}: {nearest(name, sorted(inputs))}")
        if set(inputs) == set(self.conditions):
            raise ConfigError("fusion.conditions names every input, so none is left to change: leave one out")
        return Film(width, inputs, self.conditions)


class Film(Fusion):
    """Tokens of each input through one layer, scaled and shifted on the way; then joined with the conditions."""

    guides: torch.Tensor

    def __init__(self, width: int, inputs: Sequence[str], conditions: Sequence[str]) -> None:
        super().__init__(inputs)
        guides = [[name in conditions and changed not in conditions for name in self.inputs] for changed in self.inputs]
        everyone = ~torch.eye(len(self.inputs), dtype=torch.bool)
        self.register_buffer("guides", torch.tensor(guides) if conditions else everyone, persistent=False)
        self.condition = nn.ModuleList(nn.Linear(width, width) for _ in self.inputs)
        self.modulate = nn.ModuleList(nn.Sequential(nn.GELU(), nn.Linear(width, 2 * width)) for _ in self.inputs)
        self.feature = nn.ModuleList(nn.Linear(width, width) for _ in self.inputs)
        self.join = Join(width, len(self.inputs))

    def modulation(self, given: Given) -> tuple[torch.Tensor, torch.Tensor]:
        """Give scale and shift of each input's channels, (B, I, D) each: 1 and 0 where a study has nothing to condition on."""
        said = torch.stack([condition(given.pooled[:, i]) for i, condition in enumerate(self.condition)], dim=1)  # (B, I, D)
        heard = self.guides & given.has[:, None]  # (B, I, I)
        count = heard.sum(2, keepdim=True)  # (B, I, 1)
        condition = (heard[..., None] * said[:, None]).sum(2) / count.clamp(min=1)  # (B, I, D)
        change = torch.stack([modulate(condition[:, i]) for i, modulate in enumerate(self.modulate)], dim=1)
        scale, shift = torch.where(count > 0, change, 0.0).chunk(2, dim=2)
        return 1 + scale, shift

    def fuse(self, given: Given) -> Fused:
        """Give Z (B, D)."""
        scale, shift = self.modulation(given)
        made = []
        for i, one in enumerate(given.tokens):
            values = functional.gelu(scale[:, i, None] * self.feature[i](one.values) + shift[:, i, None])  # (B, N, D)
            made.append(pooled(filled(Tokens(values, one.mask))))
        return Fused(self.join(torch.stack(made, dim=1), given.has))
