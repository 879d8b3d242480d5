"""Cox's partial likelihood: who has the event first, of those who might have had it then.

The network says a log hazard; risks by a time need the hazard of a study whose log hazard is 0, which is taken from the
training studies once the network is trained. In training, the studies of a batch are compared with each other alone.

Letters: B studies of a batch, S studies, H horizons.

Source:
    Cox 1972; Breslow 1974 and Efron 1977 (ties); Breslow 1972 (baseline hazard); Katzman et al. 2018, DeepSurv.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch

from medmm.cohort.target import TargetSettings
from medmm.losses.base import ClassWeight, Loss, LossSettings
from medmm.losses.follow_up import check_horizons
from medmm.types import Array, Task

Ties = Literal["efron", "breslow"]


class CoxSettings(LossSettings):
    """Hazards that are proportional to each other at all times: one number a study tells all."""

    tasks: ClassVar[tuple[Task, ...]] = ("survival",)

    name: Literal["cox"] = "cox"
    """Which one."""

    ties: Ties = "efron"
    """How events at the same time are taken: `efron` is nearer to the exact likelihood, `breslow` is simpler."""

    def build(self, target: TargetSettings, class_weight: ClassWeight) -> Loss:
        """Build the loss."""
        return Cox(target.horizons, self.ties)


class Cox(Loss):
    """The negative log partial likelihood; a study without the event adds nothing but stands among those at risk.

    Args:
        horizons: (H,) times by which risks are told.
        ties: How events at the same time are taken.
    """

    settles: ClassVar[bool] = True
    baseline: torch.Tensor

    def __init__(self, horizons: Sequence[float], ties: Ties) -> None:
        super().__init__("survival", 1)
        self.horizons = tuple(horizons)
        self.ties = ties
        self.register_buffer("baseline", torch.zeros(len(horizons)))

    def fit(self, target: Array) -> None:
        """Make sure that the training studies were followed up for long enough."""
        check_horizons(self.horizons, target)

    def settle(self, evidence: Array, target: Array) -> None:
        """Take the cumulative hazard by each horizon of a study whose log hazard is 0."""
        self.baseline.copy_(torch.from_numpy(baseline_hazard(evidence[:, 0], target, self.horizons)))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the loss (B,)."""
        return partial_likelihood(logits.squeeze(1), target[:, 0], target[:, 1] > 0, self.ties)

    def answer(self, evidence: torch.Tensor) -> torch.Tensor:
        """Give the risk (B, H) of the event by each horizon."""
        return -torch.expm1(-(evidence + self.baseline.log()).exp())

    def likelihood(self, evidence: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the negative log partial likelihood (B,)."""
        return self.forward(evidence, target)


def partial_likelihood(hazard: torch.Tensor, time: torch.Tensor, event: torch.Tensor, ties: Ties) -> torch.Tensor:
    """Give the negative log partial likelihood of each study; events at the same time share theirs alike.

    Args:
        hazard: (B,) log hazards.
        time: (B,)
        event: (B,) bool.
        ties: How events at the same time are taken.

    Returns:
        (B,); 0 where there is no event.
    """
    at_risk = time[None, :] >= time[:, None]  # (B, B): whom a study is compared with
    whole = hazard.expand(len(hazard), -1).masked_fill(~at_risk, -torch.inf).logsumexp(1)
    if ties == "efron":
        tied = (time[None, :] == time[:, None]) & event[None, :] & event[:, None]
        count = tied.sum(1).clamp(min=1)
        before = torch.tril(tied.int(), -1).sum(1)  # of the tied events, how many stand before this one in the batch
        kept = tied | torch.eye(len(hazard), dtype=torch.bool, device=hazard.device)
        own = hazard.expand(len(hazard), -1).masked_fill(~kept, -torch.inf).logsumexp(1)
        whole = whole + torch.log1p(-(before / count) * (own - whole).clamp(max=0).exp())
        whole = torch.where(event, (tied * whole[None, :]).sum(1) / count, whole)
    return torch.where(event, whole - hazard, 0.0)


def baseline_hazard(hazard: Array, target: Array, horizons: Sequence[float]) -> Array:
    """Give Breslow's cumulative hazard (H,) by each horizon of a study whose log hazard is 0.

    Args:
        hazard: (S,) log hazards.
        target: (S, 2) time and event.
        horizons: (H,)
    """
    time, event = target[:, 0], target[:, 1] > 0
    order = np.argsort(-time, kind="stable")
    at_risk = np.cumsum(np.exp(np.asarray(hazard, np.float64)[order]))  # (S,), of those followed up at least as long
    last = len(time) - np.searchsorted(time[order][::-1], time[event], "left") - 1  # place of the last study at risk
    return np.array([(1 / at_risk[last[time[event] <= horizon]]).sum() for horizon in horizons])
