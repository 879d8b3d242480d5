"""Discrete-time survival: in each interval of the follow-up, does the event happen, given that it has not happened before?

Letters: B studies of a batch, S studies, J intervals, H horizons.

Source: Gensheimer & Narasimhan 2019, A scalable discrete-time survival model for neural networks (Nnet-survival).
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from medmm.cohort.target import TargetSettings
from medmm.losses.base import ClassWeight, Loss, LossSettings
from medmm.losses.follow_up import check_horizons
from medmm.types import Array, Task


class DiscreteTimeSettings(LossSettings):
    """Hazards that may cross: each interval has its own. Every study is learned from by itself, whatever its batch."""

    tasks: ClassVar[tuple[Task, ...]] = ("survival",)

    name: Literal["discrete_time"] = "discrete_time"
    """Which one."""

    intervals: int = Field(10, ge=2, le=100)
    """Of the follow-up, with about as many events of the training studies in each."""

    def build(self, target: TargetSettings, class_weight: ClassWeight) -> Loss:
        """Build the loss."""
        return DiscreteTime(target.horizons, self.intervals)


class DiscreteTime(Loss):
    """A hazard an interval; intervals hold their end, not their start.

    Args:
        horizons: (H,) times by which risks are told.
        intervals: J.
    """

    edges: torch.Tensor
    cohort: torch.Tensor

    def __init__(self, horizons: Sequence[float], intervals: int) -> None:
        super().__init__("survival", intervals)
        self.horizons = tuple(horizons)
        self.register_buffer("edges", torch.arange(intervals + 1, dtype=torch.float32))
        self.register_buffer("cohort", torch.zeros(intervals))

    def fit(self, target: Array) -> None:
        """Cut the follow-up at quantiles of the events, its end with the longest; and take the hazard of each interval."""
        check_horizons(self.horizons, target)
        events = target[target[:, 1] > 0, 0]
        inner = np.quantile(events, np.arange(1, self.outputs) / self.outputs, method="inverted_cdf")
        self.edges.copy_(torch.from_numpy(np.array([0.0, *inner, target[:, 0].max()])))
        survived, happened = (one.sum(0) for one in self.course(torch.from_numpy(target)))
        self.cohort.copy_(((happened + 0.5) / (survived + happened + 1)).logit())  # half an event more, for what never happened

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the negative log-likelihood (B,): of the event in its interval, of none in those before."""
        survived, happened = self.course(target)
        loss = torch.where(survived, functional.softplus(logits), 0.0)
        return (loss + torch.where(happened, functional.softplus(-logits), 0.0)).sum(1)

    def course(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tell which intervals a study (B, 2) has survived, and in which the event happened, (B, J) each.

        An interval counts as survived by a study whose observation ends in it where it ends in its second half.
        """
        time, event = target[:, :1], target[:, 1:] > 0
        start, end = self.edges[:-1], self.edges[1:]
        real = end > start  # (J,): where many events stand at one time, two cuts may be one
        survived = torch.where(event, time > end, time >= (start + end) / 2) & real
        return survived, event & real & (time <= end) & ((time > start) | (start == 0))

    def free(self, logits: torch.Tensor) -> torch.Tensor:
        """Take away the hazards of the cohort: what inputs add to each other is what they know beyond these."""
        return logits - self.cohort

    def bind(self, freed: torch.Tensor) -> torch.Tensor:
        """Add them again."""
        return freed + self.cohort

    def evidence(self, logits: torch.Tensor) -> torch.Tensor:
        """Give the logits as they are: the loss puts nothing into them."""
        return logits

    def answer(self, evidence: torch.Tensor) -> torch.Tensor:
        """Give the risk (B, H) by each horizon; within an interval the hazard is constant."""
        edges = self.edges.to(evidence.dtype)
        width = edges[1:] - edges[:-1]
        at = torch.tensor(self.horizons, dtype=evidence.dtype, device=evidence.device)[:, None]  # (H, 1)
        share = torch.where(width > 0, (at - edges[:-1]) / width.clamp(min=1e-30), 0.0).clamp(0, 1)  # (H, J)
        return -torch.expm1(functional.logsigmoid(-evidence) @ share.T)

    def likelihood(self, evidence: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the negative log-likelihood (B,)."""
        return self.forward(evidence, target)
