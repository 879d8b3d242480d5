"""Group-robust training: the group with the highest loss weighs most.

Source: Sagawa et al. 2020, Distributionally Robust Neural Networks for Group Shifts (online algorithm 1).
"""

from typing import Literal

import torch
from pydantic import Field

from medmm.model import DiagnosisModel
from medmm.training.strategies.base import Situation, Strategy, StrategySettings
from medmm.types import Batch, Task


class GroupDRO(StrategySettings):
    """The labelled loss of the groups, each weighed by how badly it fares: against unfair subgroups and against shortcuts."""

    name: Literal["group_dro"] = "group_dro"
    """Which one."""

    columns: tuple[str, ...] = Field(min_length=1)
    """Columns of the studies table whose values together make the groups, such as [site] or [sex, site]."""

    by_class: bool = True
    """Divide the groups further by class, grade or event: a shortcut that holds in most of a group must not hide those in
    which it fails."""

    step: float = Field(0.05, gt=0)
    """How quickly weight moves to the group that fares worst."""

    @property
    def group_columns(self) -> tuple[str, ...]:
        """Ask for the groups."""
        return self.columns

    def build(self, model: DiagnosisModel, situation: Situation) -> "Robust":
        """Make the objective that trains `model`."""
        return Robust(model, self, len(situation.groups))


def stratum(target: torch.Tensor, task: Task) -> torch.Tensor:
    """Give the class (B,) of targets (B, T): the first that is there, from 1, or 0; a grade; 1 for an event; of a value 0."""
    if task == "regression":
        return torch.zeros(len(target), dtype=torch.long, device=target.device)
    if task == "survival":
        return (target[:, 1] > 0).long()
    some = target > 0
    return some.sum(1) if task == "ordinal" else torch.where(some.any(1), some.to(torch.uint8).argmax(1) + 1, 0)


class Robust(Strategy):
    """Keeps a weight for each group; studies of no group stand together as one more."""

    weight: torch.Tensor

    def __init__(self, model: DiagnosisModel, settings: GroupDRO, groups: int) -> None:
        super().__init__(model)
        self._settings = settings
        self._classes = model.head.out_features + 1 if settings.by_class else 1  # no class is one too
        self.register_buffer("weight", torch.full(((groups + 1) * self._classes,), 1 / ((groups + 1) * self._classes)))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        assert batch.target is not None
        assert batch.group is not None
        output = self.model(batch)
        group = batch.group + 1
        if self._settings.by_class:
            group = group * self._classes + stratum(batch.target.nan_to_num(), self.model.task)
        losses = self.model.study_losses(output.logits, batch.target)  # (B,)
        known = batch.labelled.to(losses.dtype)
        total = losses.new_zeros(len(self.weight)).index_add(0, group, losses)
        count = losses.new_zeros(len(self.weight)).index_add(0, group, known)
        mean = total / count.clamp(min=1)
        there = count > 0
        with torch.no_grad():
            moved = self.weight * torch.where(there, self._settings.step * mean, 0.0).exp()
            self.weight.copy_(moved / moved.sum())
        share = torch.where(there, self.weight, 0.0)
        worst = (share * mean).sum() / share.sum().clamp(min=1e-12)
        return worst + self.model.loss(output, batch) - losses.sum() / known.sum().clamp(min=1)
