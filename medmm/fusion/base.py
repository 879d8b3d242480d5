"""What a fusion owes: one joint representation of a study from the tokens of whichever inputs it has.

Letters: B studies, N tokens, D width, I inputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.attention import filled
from medmm.settings import Settings
from medmm.types import Tokens


class FusionSettings(Settings):
    """A way to fuse, by name."""

    name: str
    """Which one."""

    modality_dropout: float = Field(0.2, ge=0, lt=1)
    """Chance to hide an input of a training study, so that no input is relied upon alone; one input always stays.

    Source: Neverova et al. 2016, ModDrop.
    """

    auxiliary_weight: float = Field(0.3, ge=0)
    """Weight of the loss that each input's own head adds, so that no strong input silences a weak one."""

    @abstractmethod
    def build(self, width: int, inputs: Sequence[str]) -> "Fusion":
        """Build the network for tokens of `width` from these inputs."""


class Fusion(nn.Module, ABC):
    """Tokens of each input -> Z (B, D). Sees tokens only; what a mask hides never reaches `fuse`.

    Args:
        inputs: All inputs of the run; kept in alphabetical order, so that the order of a run file is of no matter.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        super().__init__()
        self.inputs = tuple(sorted(inputs))

    def forward(self, tokens: Mapping[str, Tokens]) -> torch.Tensor:
        """Give Z (B, D), the joint representation of each study."""
        return self.fuse([filled(tokens[name]) for name in self.inputs])

    @abstractmethod
    def fuse(self, tokens: Sequence[Tokens]) -> torch.Tensor:
        """Give Z (B, D) from the tokens of each input in the order of `self.inputs`; masked values are zero."""


def present(tokens: Tokens) -> torch.Tensor:
    """Tell which studies have the input: (B,) bool."""
    return tokens.mask.any(1)


def pooled(tokens: Tokens) -> torch.Tensor:
    """Give the mean of the real tokens: (B, D), zero for an absent input. Masked values must be zero already."""
    return tokens.values.sum(1) / tokens.mask.sum(1, keepdim=True).clamp(min=1)


def hidden(tokens: Tokens, keep: torch.Tensor) -> Tokens:
    """Make the input absent for the studies where keep (B,) is false."""
    return Tokens(tokens.values, tokens.mask & keep[:, None])


def drop_inputs(tokens: Mapping[str, Tokens], rate: float) -> dict[str, Tokens]:
    """Hide inputs of studies at random; each study keeps at least one of those that it has."""
    names = sorted(tokens)
    has = torch.stack([present(tokens[name]) for name in names], dim=1)  # (B, I)
    chance = torch.rand(has.shape, device=has.device).masked_fill(~has, -1.0)
    keep = (chance >= rate) | (chance == chance.max(1, keepdim=True).values)
    return {name: hidden(tokens[name], keep[:, i]) for i, name in enumerate(names)}
