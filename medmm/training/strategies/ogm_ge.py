"""Supervised learning in which no input outruns the others: the encoder of a dominant one learns more slowly.

Letters: B studies, C classes.

Source: Peng et al. 2022, Balanced Multimodal Learning via On-the-fly Gradient Modulation (OGM-GE).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from medmm.fusion.base import pooled, present
from medmm.model import DiagnosisModel
from medmm.training.strategies.base import Situation, Strategy, StrategySettings
from medmm.types import CLASS_TASKS, Batch, Task, Tokens


class OgmGe(StrategySettings):
    """The labelled loss; what each encoder learns from it is scaled by how far its input is ahead of the others.

    How far is told by the inputs' own heads, so the fusion needs an `auxiliary_weight` above 0.
    """

    together: ClassVar[bool] = True
    tasks: ClassVar[tuple[Task, ...]] = CLASS_TASKS

    name: Literal["ogm_ge"] = "ogm_ge"
    """Which one."""

    strength: float = Field(0.5, gt=0)
    """How strongly a lead slows an encoder down."""

    noise: bool = True
    """Add noise of the gradient's own size, which makes up for what slowing down takes from generalisation."""

    def build(self, model: DiagnosisModel, situation: Situation) -> "Balanced":
        """Make the objective that trains `model`."""
        return Balanced(model, self)


class Balanced(Strategy):
    """Scales what each encoder learns.

    Args:
        model: The network.
        settings: How strongly.
    """

    def __init__(self, model: DiagnosisModel, settings: OgmGe) -> None:
        super().__init__(model)
        self._settings = settings

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        assert batch.target is not None
        tokens = self.model.encode(batch)
        rates = self.rates(tokens, batch.target)
        slowed = {name: Tokens(_slow(one.values, rates[name], self._settings.noise), one.mask) for name, one in tokens.items()}
        return self.model.loss(self.model.fuse(slowed), batch)

    @torch.no_grad()
    def rates(self, tokens: Mapping[str, Tokens], target: torch.Tensor) -> dict[str, float]:
        """Give the share of its gradient that each encoder keeps: 1 - tanh(strength * lead) for one that is ahead, else 1.

        The lead is the mean probability that an input's own head gives to the truth, over the mean of the other inputs' means.
        """
        certain: dict[str, float] = {}
        for name, one in tokens.items():
            has = present(one)
            if bool(has.any()):
                logits = self.model.auxiliary[name](pooled(one)[has])
                certain[name] = float(_truth(logits, target[has], self.model.task).mean())
        rates = dict.fromkeys(tokens, 1.0)
        for name, own in certain.items():
            others = [value for other, value in certain.items() if other != name]
            lead = own / max(sum(others) / len(others), 1e-6) if others else 0.0
            if lead > 1:
                rates[name] = 1 - float(torch.tanh(torch.tensor(self._settings.strength * lead)))
        return rates


def _truth(logits: torch.Tensor, target: torch.Tensor, task: Task) -> torch.Tensor:
    """Give the probability (B,) of what is true; of several labels their mean."""
    if task == "multiclass":
        return (logits.softmax(1) * target).sum(1)
    said = logits.sigmoid()
    return torch.where(target > 0, said, 1 - said).mean(1)


class _Slowed(torch.autograd.Function):
    """The same values; on the way back their gradient times a rate, with noise of its own size where asked."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, rate: float, noise: bool) -> torch.Tensor:
        """Give the values."""
        context.rate, context.noise = rate, noise
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Give the changed gradient; where there is none, there is no noise."""
        slowed = gradient * context.rate
        if context.noise and context.rate < 1:
            touched = gradient != 0
            slowed = slowed + torch.where(touched, torch.randn_like(gradient) * gradient[touched].std(correction=0), 0.0)
        return slowed, None, None


def _slow(values: torch.Tensor, rate: float, noise: bool) -> torch.Tensor:
    slowed: torch.Tensor = _Slowed.apply(values, rate, noise)  # type: ignore[no-untyped-call]
    return slowed
