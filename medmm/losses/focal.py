"""Focal loss: what is right already counts less. B studies, C classes.

The network that minimises it is less sure than the truth, so its logits are freed exactly, by the stationary point of the
expected loss: where a share r of studies is positive, w r f'(q) = (1 - r) f'(1 - q) with f(q) = -(1 - q)^gamma log q.

Source:
    Lin et al. 2017, Focal Loss for Dense Object Detection;
    Charoenphakdee et al. 2021, On Focal Loss for Class-Posterior Probability Estimation, theorem 11 (how to free it).
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional

from medmm.cohort.target import TargetSettings
from medmm.losses.base import ClassWeight, Loss, LossSettings
from medmm.losses.classes import ClassLoss, one_against_others
from medmm.types import Task

LARGE = 15.0
"""A logit from which on exp(s) log(1 + exp(-s)) is 1 - exp(-s) / 2 to the last bit of a float32."""


class FocalSettings(LossSettings):
    """For classes so rare that the many easy studies would drown them."""

    weighs_classes: ClassVar[bool] = True

    name: Literal["focal"] = "focal"
    """Which one."""

    gamma: float = Field(2.0, ge=0, le=10)
    """How much less a study counts the surer its right answer is; 0 is the cross-entropy."""

    def build(self, target: TargetSettings, class_weight: ClassWeight) -> Loss:
        """Build the loss."""
        return Focal(target.task, [1.0] * len(target.names), self.gamma, balanced=class_weight == "balanced")


class Focal(ClassLoss):
    """-w (1 - q)^gamma log q of the probability q of what is true; the mean over questions answered yes or no.

    Args:
        task: As `ClassLoss`.
        class_weight: As `ClassLoss`.
        gamma: At least 0.
        balanced: As `ClassLoss`.
    """

    def __init__(self, task: Task, class_weight: Sequence[float], gamma: float, *, balanced: bool = False) -> None:
        super().__init__(task, class_weight, balanced=balanced)
        self.gamma = gamma

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the loss (B,)."""
        if self.task == "multiclass":
            return (target * self.class_weight * focal(one_against_others(logits), self.gamma)).sum(1)
        positive, negative = focal(logits, self.gamma), focal(-logits, self.gamma)
        return (target * self.class_weight * positive + (1 - target) * negative).mean(1)

    def free(self, logits: torch.Tensor) -> torch.Tensor:
        """Give them as they are: the weights go with the rest, in `evidence`."""
        return logits

    def bind(self, freed: torch.Tensor) -> torch.Tensor:
        """Give them as they are."""
        return freed

    def evidence(self, logits: torch.Tensor) -> torch.Tensor:
        """Give the logits (B, C) of the shares of studies of which these logits minimise the loss."""
        if self.task == "multiclass":
            return -log_slope(one_against_others(logits), self.gamma) - self.class_weight.log()
        return log_slope(-logits, self.gamma) - log_slope(logits, self.gamma) - self.class_weight.log()


def focal(logit: torch.Tensor, gamma: float) -> torch.Tensor:
    """Give -(1 - q)^gamma log q of the probability q that has this logit."""
    return (gamma * functional.logsigmoid(-logit)).exp() * functional.softplus(-logit)


def log_slope(logit: torch.Tensor, gamma: float) -> torch.Tensor:
    """Give the log of how steeply `focal` falls with q, at the q that has this logit.

    By hand: (1 - q)^(gamma - 1) ((1 - q) / q - gamma log q), where (1 - q) / q = exp(-s).
    """
    small = logit.clamp(max=LARGE)
    share = torch.where(logit > LARGE, 1 - (-logit).exp() / 2, functional.softplus(-small) * small.exp())
    return (gamma - 1) * functional.logsigmoid(-logit) - logit + torch.log1p(gamma * share)
