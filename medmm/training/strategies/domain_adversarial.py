"""Domain-adversarial training: what the network makes of a study must not tell its site or scanner.

Sources: Ganin et al. 2016, Domain-Adversarial Training of Neural Networks; Li et al. 2018, Deep Domain Generalization via
Conditional Invariant Adversarial Networks (the site among studies of one label, for sites differ in prevalence too).
Letters: B studies, D width, C classes.
"""

import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from medmm.fusion.base import pooled, present
from medmm.model import DiagnosisModel
from medmm.training.strategies.base import Situation, Strategy, StrategySettings
from medmm.types import Batch


class DomainAdversarial(StrategySettings):
    """The labelled loss; what encoders and fusion give must also keep a second network from telling the site of a study."""

    name: Literal["domain_adversarial"] = "domain_adversarial"
    """Which one."""

    column: str
    """Column of the studies table with the site or the scanner."""

    weight: float = Field(1.0, gt=0)
    """Of the reversed gradient, once it is fully there."""

    ramp_epochs: int = Field(5, ge=1)
    """Epochs over which it rises."""

    share: int = Field(0, ge=0)
    """Unlabelled studies for each labelled one; sites without labels can be made alike with them."""

    @property
    def group_columns(self) -> tuple[str, ...]:
        """Ask for the site."""
        return (self.column,)

    @property
    def unlabelled(self) -> int:
        """Unlabelled studies for each labelled one."""
        return self.share

    def build(self, model: DiagnosisModel, situation: Situation) -> "SiteBlind":
        """Make the objective that trains `model`."""
        return SiteBlind(model, self, len(situation.groups))


class SiteBlind(Strategy):
    """Has a small network for Z and for each input that guesses the site, and learns against it."""

    def __init__(self, model: DiagnosisModel, settings: DomainAdversarial, sites: int) -> None:
        super().__init__(model)
        self._settings = settings
        self._rising = 0.0
        width, classes = model.head.in_features, model.head.out_features
        self.guess = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(width + classes + 1, 64), nn.ReLU(), nn.Linear(64, sites))
                for name in ("joint", *(f"of_{name}" for name in sorted(model.encoders)))
            }
        )

    def begin_epoch(self, epoch: int) -> None:
        """Raise the weight of the reversed gradient."""
        super().begin_epoch(epoch)
        self._rising = self._settings.weight * (2 / (1 + math.exp(-10 * min(1.0, epoch / self._settings.ramp_epochs))) - 1)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        assert batch.target is not None
        assert batch.group is not None
        tokens = self.model.encode(batch)
        output = self.model.fuse(tokens)
        total = self.model.loss(output, batch)
        known = batch.labelled
        told = torch.where(known[:, None], batch.target, 0.0)
        condition = torch.cat([told, known[:, None].to(told.dtype)], dim=1)  # (B, C + 1)
        everyone = torch.ones_like(known)
        parts = {"joint": (output.fused.joint, everyone)}
        parts |= {f"of_{name}": (pooled(one), present(one)) for name, one in tokens.items()}
        for name, (values, has) in parts.items():
            asked = has & (batch.group >= 0)
            if bool(asked.any()):
                seen = torch.cat([_Reversed.apply(values[asked], self._rising), condition[asked]], dim=1)  # type: ignore[no-untyped-call]
                total = total + functional.cross_entropy(self.guess[name](seen), batch.group[asked]) / len(parts)
        return total

    def validation_loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of the joint head with each site alike, lest an epoch that suits the large ones alone wins."""
        assert batch.target is not None
        assert batch.group is not None
        losses = self.model.study_losses(self.model(batch).logits, batch.target)  # (B,)
        _, site = torch.unique(batch.group, return_inverse=True)
        known = batch.labelled.to(losses.dtype)
        total, count = (losses.new_zeros(len(losses)).index_add(0, site, values) for values in (losses, known))
        return (total / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


class _Reversed(torch.autograd.Function):
    """The same values; on the way back their gradient turned round."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, weight: float) -> torch.Tensor:
        """Give the values."""
        context.weight = weight
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Give the gradient turned round."""
        return -context.weight * gradient, None
