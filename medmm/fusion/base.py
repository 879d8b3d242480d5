"""What a fusion owes: one joint representation of a study from the tokens of whichever inputs it has.

Letters: B studies, N tokens, D width, I inputs, K outputs of a head.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from pydantic import Field
from torch import nn

from medmm.encoders.attention import filled
from medmm.settings import Settings
from medmm.types import Task, Tokens


class FusionSettings(Settings):
    """A way to fuse, by name."""

    apart: ClassVar[bool] = False
    """Whether each input is trained by itself, and only the decision joins them."""

    tasks: ClassVar[tuple[Task, ...]] = get_args(Task)
    """What it is for."""

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


@dataclass(frozen=True)
class Given:
    """What a fusion may look at; the inputs stand in the order of `Fusion.inputs`. What a mask hides is zero everywhere.

    Attributes:
        tokens: Of each input, (B, N, D) with their masks.
        has: (B, I) which inputs each study has.
        pooled: (B, I, D) mean of the real tokens of each input.
        own: (B, I, K) logits of each input by a head of its own, freed from the weights of the loss.
    """

    tokens: tuple[Tokens, ...]
    has: torch.Tensor
    pooled: torch.Tensor
    own: torch.Tensor


@dataclass(frozen=True)
class Fused:
    """What a fusion gives.

    Attributes:
        joint: Z (B, D), the joint representation of each study.
        logits: (B, K) freed from the weights of the loss, of a fusion that decides by itself; None
            lets the model's head decide from Z.
        penalty: () what it adds to the loss in training, the mean over the batch; None for nothing.
        conflict: (B,) in [0, 1], how far the inputs of a study contradict each other; None where it cannot tell.
    """

    joint: torch.Tensor
    logits: torch.Tensor | None = None
    penalty: torch.Tensor | None = None
    conflict: torch.Tensor | None = None


class Fusion(nn.Module, ABC):
    """Tokens of each input -> Z. What a mask hides never reaches `fuse`.

    Args:
        inputs: All inputs of the run; kept in alphabetical order, so that the order of a run file is of no matter.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        super().__init__()
        self.inputs = tuple(sorted(inputs))

    def forward(self, tokens: Mapping[str, Tokens], own: Mapping[str, torch.Tensor]) -> Fused:
        """Fuse the tokens and each input's own logits (B, K)."""
        clean = tuple(filled(tokens[name]) for name in self.inputs)
        has = torch.stack([present(one) for one in clean], dim=1)
        alone = torch.stack([own[name] for name in self.inputs], dim=1)
        return self.fuse(
            Given(
                clean,
                has,
                torch.stack([pooled(one) for one in clean], dim=1),
                torch.where(has[..., None], alone, 0.0),
            )
        )

    @abstractmethod
    def fuse(self, given: Given) -> Fused:
        """Give Z, and what else the method knows."""


def present(tokens: Tokens) -> torch.Tensor:
    """Tell which studies have the input: (B,) bool."""
    return tokens.mask.any(1)


def pooled(tokens: Tokens) -> torch.Tensor:
    """Give the mean of the real tokens: (B, D), zero for an absent input. Masked values must be zero already."""
    return tokens.values.sum(1) / tokens.mask.sum(1, keepdim=True).clamp(min=1)


def mean_of_present(values: torch.Tensor, has: torch.Tensor) -> torch.Tensor:
    """Give the mean (B, D) of values (B, I, D) over the inputs that each study has; zero for a study without any."""
    return torch.where(has[..., None], values, 0.0).sum(1) / has.sum(1, keepdim=True).clamp(min=1)


def hidden(tokens: Tokens, keep: torch.Tensor) -> Tokens:
    """Make the input absent for the studies where keep (B,) is false."""
    return Tokens(tokens.values, tokens.mask & keep[:, None])


def absent(tokens: Tokens) -> Tokens:
    """Make the input absent for all studies, and no longer than it must be: one masked token."""
    return Tokens(torch.zeros_like(tokens.values[:, :1]), torch.zeros_like(tokens.mask[:, :1]))


def drop_inputs(tokens: Mapping[str, Tokens], rate: float) -> dict[str, Tokens]:
    """Hide inputs of studies at random; each study keeps at least one of those that it has."""
    names = sorted(tokens)
    has = torch.stack([present(tokens[name]) for name in names], dim=1)  # (B, I)
    chance = torch.rand(has.shape, device=has.device).masked_fill(~has, -1.0)
    keep = (chance >= rate) | (chance == chance.max(1, keepdim=True).values)
    return {name: hidden(tokens[name], keep[:, i]) for i, name in enumerate(names)}
