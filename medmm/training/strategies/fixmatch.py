"""FixMatch: what the network is sure of, it must also say of the study strongly varied.

Source: Sohn et al. 2020, FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field

from medmm.model import DiagnosisModel
from medmm.training.strategies.agreement import pseudo_target, undisturbed
from medmm.training.strategies.base import Situation, Strategy, StrategySettings
from medmm.types import Batch, Task


class FixMatch(StrategySettings):
    """The labelled loss, and the loss of strongly varied studies against what the network surely says of them as they are.

    Each input is varied in its own way: images moved and partly blanked, cells hidden and shaken, words taken out.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("binary", "multiclass", "multilabel")

    name: Literal["fixmatch"] = "fixmatch"
    """Which one."""

    views = 1

    share: int = Field(3, ge=0)
    """Unlabelled studies for each labelled one."""

    weight: float = Field(1.0, ge=0)
    """Of the loss of varied studies."""

    sure: float = Field(0.9, gt=0.5, lt=1)
    """Probability from which on an answer counts as a label."""

    @property
    def unlabelled(self) -> int:
        """Unlabelled studies for each labelled one."""
        return self.share

    def build(self, model: DiagnosisModel, situation: Situation) -> "Matching":
        """Make the objective that trains `model`."""
        return Matching(model, self)


class Matching(Strategy):
    """Learns from labels and from its own sure answers."""

    def __init__(self, model: DiagnosisModel, settings: FixMatch) -> None:
        super().__init__(model)
        self._settings = settings

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        with undisturbed(self.model):
            said = self.model.said(self.model(batch).logits)
        high = torch.full_like(said[0], self._settings.sure)
        target = pseudo_target(self.model, said, 1 - high, high)
        matched = self.model.study_losses(self.model(batch.seen(0)).logits, target).mean()  # unsure studies weigh nothing
        return self.model.loss(self.model(batch), batch) + self._settings.weight * matched
