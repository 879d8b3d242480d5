"""Losses of a value: squared error, and Huber's, which grows straight for far values. B studies of a batch, S studies.

The network sees values with the training studies' mean 0 and standard deviation 1; answers are in the unit of the table.

Source: Huber 1964, Robust Estimation of a Location Parameter.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional

from medmm.cohort.target import TargetSettings
from medmm.errors import DataError
from medmm.losses.base import ClassWeight, Loss, LossSettings
from medmm.types import Array, Task


class SquaredErrorSettings(LossSettings):
    """Half the squared distance, in standard deviations: the answer is a mean."""

    tasks: ClassVar[tuple[Task, ...]] = ("regression",)

    name: Literal["squared_error"] = "squared_error"
    """Which one."""

    def build(self, target: TargetSettings, class_weight: ClassWeight) -> Loss:
        """Build the loss."""
        return Value(None)


class HuberSettings(LossSettings):
    """As the squared error, but far values pull no harder than near ones."""

    tasks: ClassVar[tuple[Task, ...]] = ("regression",)

    name: Literal["huber"] = "huber"
    """Which one."""

    delta: float = Field(1.0, gt=0, le=10)
    """Distance in standard deviations from which on the loss grows straight."""

    def build(self, target: TargetSettings, class_weight: ClassWeight) -> Loss:
        """Build the loss."""
        return Value(self.delta)


class Value(Loss):
    """A single number.

    Args:
        delta: Of Huber's loss; None takes the squared error.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, delta: float | None) -> None:
        super().__init__("regression", 1)
        self.delta = delta
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("deviation", torch.ones(1))

    def fit(self, target: Array) -> None:
        """Take mean and standard deviation.

        Raises:
            DataError: All values are the same.
        """
        if not target.std() > 0:
            raise DataError(f"the {len(target)} training studies have one and the same value: there is nothing to learn")
        self.mean.copy_(torch.from_numpy(target.mean(0)))
        self.deviation.copy_(torch.from_numpy(target.std(0)))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the loss (B,)."""
        scaled = (target - self.mean) / self.deviation
        if self.delta is None:
            return 0.5 * functional.mse_loss(logits, scaled, reduction="none").squeeze(1)
        return functional.huber_loss(logits, scaled, reduction="none", delta=self.delta).squeeze(1)

    def answer(self, evidence: torch.Tensor) -> torch.Tensor:
        """Give the value (B, 1) in its unit."""
        return evidence * self.deviation + self.mean

    def likelihood(self, evidence: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give half the squared error (B,) in standard deviations: the likelihood of an error that scatters normally."""
        return 0.5 * ((target - self.mean) / self.deviation - evidence).square().squeeze(1)
