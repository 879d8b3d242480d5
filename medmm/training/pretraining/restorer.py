"""What hiding a part of an input owes: what is left, and how far the prediction of what was hidden went wrong.

Letters: B studies, N tokens, D width, W codes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from medmm.types import Tokens


@dataclass(frozen=True)
class Restored:
    """How well the hidden parts of an input were predicted.

    Attributes:
        error: (B,) mean error of a study; means nothing where `has` is false.
        usual: (B,) the same error of who says of every study what is usual: the mean, or how frequent each code is.
        has: (B,) whether anything of the study was hidden.
    """

    error: torch.Tensor
    usual: torch.Tensor
    has: torch.Tensor


class Restorer(nn.Module, ABC):
    """Hides a part of one input and predicts it."""

    @abstractmethod
    def hide(
        self, fields: Mapping[str, torch.Tensor], chance: torch.Generator | None
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Give prepared fields of B studies without what is hidden, and a mask that is true where something is."""

    @abstractmethod
    def judge(
        self, fields: Mapping[str, torch.Tensor], hidden: torch.Tensor, tokens: Tokens, context: torch.Tensor
    ) -> Restored:
        """Predict what was hidden, and hold it against the truth.

        Args:
            fields: Whole, as they were before `hide`.
            hidden: From `hide`.
            tokens: Of what was left, zero for a study without the input.
            context: (B, D) what the other inputs of the study tell.
        """


def draw(like: torch.Tensor, chance: torch.Generator | None) -> torch.Tensor:
    """Draw uniform numbers in [0, 1) of a shape; on the CPU, so that every machine hides the same."""
    return torch.rand(like.shape, generator=chance).to(like.device)


def hide_some(there: torch.Tensor, share: float, chance: torch.Generator | None) -> torch.Tensor:
    """Choose which of the parts that are there (..., N) are hidden; the one with the largest number drawn always stays."""
    number = draw(there, chance).masked_fill(~there, -1.0)
    return there & (number < share) & (number < number.amax(-1, keepdim=True))


def mean_where(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Give the mean (B,) of values (B, ...) where something is true; zero where nothing is."""
    total = torch.where(where, values, 0.0).flatten(1).sum(1)
    return total / where.flatten(1).sum(1).clamp(min=1)


class Counted(nn.Module):
    """How often each code was met in training: what to say of a hidden one without looking at the study.

    Args:
        codes: W.
    """

    counts: torch.Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.ones(codes))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Give the cross-entropy of each code (...), and in training count them."""
        if self.training:
            self.counts += torch.bincount(codes.flatten(), minlength=len(self.counts)).to(self.counts.dtype)
        return -(self.counts / self.counts.sum()).log()[codes]
