"""Cross-entropy. B studies, C classes."""

from typing import ClassVar, Literal

import torch
from torch.nn import functional

from medmm.cohort.target import TargetSettings
from medmm.losses.base import ClassWeight, Loss, LossSettings
from medmm.losses.classes import ClassLoss
from medmm.types import Task


class CrossEntropySettings(LossSettings):
    """The likelihood itself; classes may weigh alike."""

    tasks: ClassVar[tuple[Task, ...]] = ("binary", "multiclass", "multilabel")
    weighs_classes: ClassVar[bool] = True

    name: Literal["cross_entropy"] = "cross_entropy"
    """Which one."""

    def build(self, target: TargetSettings, class_weight: ClassWeight) -> Loss:
        """Build the loss."""
        return CrossEntropy(target.task, [1.0] * len(target.names), balanced=class_weight == "balanced")


class CrossEntropy(ClassLoss):
    """Of one class among several, or the mean over questions that are answered yes or no."""

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the loss (B,)."""
        if self.task == "multiclass":
            return functional.cross_entropy(logits, target, weight=self.class_weight, reduction="none")
        loss = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=self.class_weight, reduction="none")
        return loss.mean(1)
