"""Asymmetric loss: of many labels, of which most are absent, easy negatives count least. B studies, C classes.

As of the focal loss, logits are freed by the stationary point of the expected loss.

Source: Ridnik et al. 2021, Asymmetric Loss for Multi-Label Classification.
"""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional

from medmm.cohort.target import TargetSettings
from medmm.losses.base import ClassWeight, Loss, LossSettings
from medmm.losses.classes import ClassLoss
from medmm.losses.focal import focal, log_slope
from medmm.types import Task

LEAST = 0.1
"""Share of a probability that is left of it near and below the margin, where the loss is silent: it bounds the logit."""

TINY = 1e-6
"""A probability below which -log(1 - p) / p is 1 to the last bit of a float32."""


class AsymmetricSettings(LossSettings):
    """Positives and negatives lose weight at their own rates, and the surest negatives count nothing."""

    tasks: ClassVar[tuple[Task, ...]] = ("multilabel", "binary")

    name: Literal["asymmetric"] = "asymmetric"
    """Which one."""

    gamma_positive: float = Field(0.0, ge=0, le=10)
    """How much less a positive counts the surer it is."""

    gamma_negative: float = Field(4.0, ge=0, le=10)
    """How much less a negative counts the surer it is."""

    margin: float = Field(0.05, ge=0, le=0.5)
    """Probability below which a negative counts nothing."""

    def build(self, target: TargetSettings, class_weight: ClassWeight) -> Loss:
        """Build the loss."""
        return Asymmetric(target.task, len(target.names), self)


class Asymmetric(ClassLoss):
    """-(1 - q)^a log q for a positive; -p^b log(1 - p) with p = max(q - margin, 0) for a negative; the mean over labels.

    Args:
        task: As `ClassLoss`.
        classes: C.
        settings: The rates a and b, and the margin.
    """

    def __init__(self, task: Task, classes: int, settings: AsymmetricSettings) -> None:
        super().__init__(task, [1.0] * classes)
        self.settings = settings

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the loss (B,)."""
        positive = focal(logits, self.settings.gamma_positive)
        return (target * positive + (1 - target) * self._negative(logits)).mean(1)

    def _negative(self, logits: torch.Tensor) -> torch.Tensor:
        margin, gamma = self.settings.margin, self.settings.gamma_negative
        if not margin:
            return focal(-logits, gamma)
        left = (functional.logsigmoid(-logits).exp() + margin).clamp(max=1)  # 1 - p
        return (1 - left).clamp(min=TINY).pow(gamma) * -left.log()

    def evidence(self, logits: torch.Tensor) -> torch.Tensor:
        """Give the logits (B, C) of the shares of studies of which these logits minimise the loss."""
        return self._log_rise(logits) - log_slope(logits, self.settings.gamma_positive)

    def _log_rise(self, logits: torch.Tensor) -> torch.Tensor:
        """Give the log of how steeply the loss of a negative rises with q: p^b (b -log(1 - p) / p + 1 / (1 - p))."""
        margin, gamma = self.settings.margin, self.settings.gamma_negative
        if not margin:
            return log_slope(-logits, gamma)
        log_q = functional.logsigmoid(logits)
        log_p = torch.maximum((log_q.exp() - margin).clamp(min=TINY).log(), log_q + math.log(LEAST))
        p = log_p.exp()
        log_left = torch.log1p(-p)
        ratio = torch.where(p < TINY, 1.0, -log_left / p.clamp(min=TINY))
        return gamma * log_p - log_left + torch.log1p(gamma * ratio * log_left.exp())
