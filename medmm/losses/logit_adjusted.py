"""Logit-adjusted cross-entropy: the frequencies of the classes stand in the loss, not in the logits. B studies, C classes.

What the network says is then the best for classes that are equally frequent; the frequencies are added to free it.

Source: Menon et al. 2021, Long-Tail Learning via Logit Adjustment, equation 10.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from medmm.cohort.target import TargetSettings
from medmm.losses.base import ClassWeight, Loss, LossSettings
from medmm.losses.classes import ClassLoss
from medmm.types import Array, Task


class LogitAdjustedSettings(LossSettings):
    """Lets rare classes catch up without weighing any study more; the scores are corrected for it."""

    tasks: ClassVar[tuple[Task, ...]] = ("binary", "multiclass", "multilabel")

    name: Literal["logit_adjusted"] = "logit_adjusted"
    """Which one."""

    strength: float = Field(1.0, ge=0, le=3)
    """Share of the log frequencies that the loss takes over (tau); 0 is the cross-entropy."""

    def build(self, target: TargetSettings, class_weight: ClassWeight) -> Loss:
        """Build the loss."""
        return LogitAdjusted(target.task, len(target.names), self.strength)


class LogitAdjusted(ClassLoss):
    """Cross-entropy of logits + strength x log frequency; for questions answered yes or no, + strength x log odds.

    Args:
        task: As `ClassLoss`.
        classes: C.
        strength: Tau.
    """

    prior: torch.Tensor

    def __init__(self, task: Task, classes: int, strength: float) -> None:
        super().__init__(task, [1.0] * classes)
        self.strength = strength
        self.register_buffer("prior", torch.zeros(classes))

    def fit(self, target: Array) -> None:
        """Take the log frequencies, or the log odds, of the classes; what no study has counts as one study."""
        positives = target.sum(0).clip(1, max(1, len(target) - 1))
        whole = len(target) if self.task == "multiclass" else (len(target) - positives).clip(min=1)
        self.prior.copy_(torch.from_numpy(np.log(positives / whole)))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the loss (B,)."""
        loss = self.likelihood(self.free(logits), target)
        return loss if self.task == "multiclass" else loss / self.outputs

    def free(self, logits: torch.Tensor) -> torch.Tensor:
        """Add the frequencies that the loss has taken over."""
        return logits + self.strength * self.prior

    def bind(self, freed: torch.Tensor) -> torch.Tensor:
        """Take them away again."""
        return freed - self.strength * self.prior
