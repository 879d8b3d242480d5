"""Pseudo-labels: the network learns from its own answers, where validation studies show that such answers are right.

Sources: Lee 2013, Pseudo-Label; Rizve et al. 2021, In Defense of Pseudo-Labeling (choosing by calibrated certainty).
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional

from medmm.model import DiagnosisModel
from medmm.training.strategies.agreement import pseudo_target, undisturbed
from medmm.training.strategies.base import Situation, Strategy, StrategySettings
from medmm.types import Batch, Task

HALF = 0.5
"""Probability from which on an answer is yes."""

NEVER_HIGH, NEVER_LOW = 2.0, -1.0
"""Thresholds that no probability reaches."""


class PseudoLabels(StrategySettings):
    """The labelled loss, and that of unlabelled studies against the network's own answers.

    An answer, yes from one half on, counts beyond a threshold at which such answers on the validation studies were right often
    enough; the thresholds are chosen anew after every epoch.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("binary", "multiclass", "multilabel")

    name: Literal["pseudo_labels"] = "pseudo_labels"
    """Which one."""

    share: int = Field(3, ge=1)
    """Unlabelled studies for each labelled one."""

    weight: float = Field(1.0, ge=0)
    """Of the loss against own answers."""

    precision: float = Field(0.9, gt=0.5, le=1)
    """Share of the validation studies beyond a threshold that must be right."""

    fewest: int = Field(5, ge=1)
    """Validation studies that must lie beyond a threshold for it to be trusted."""

    @property
    def unlabelled(self) -> int:
        """Unlabelled studies for each labelled one."""
        return self.share

    def build(self, model: DiagnosisModel, situation: Situation) -> "SelfTraining":
        """Make the objective that trains `model`."""
        return SelfTraining(model, self)


class SelfTraining(Strategy):
    """Learns from labels and from answers beyond calibrated thresholds."""

    high: torch.Tensor
    low: torch.Tensor

    def __init__(self, model: DiagnosisModel, settings: PseudoLabels) -> None:
        super().__init__(model)
        self._settings = settings
        classes = model.head.out_features
        self.register_buffer("high", torch.full((classes,), NEVER_HIGH))
        self.register_buffer("low", torch.full((classes,), NEVER_LOW))
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        with undisturbed(self.model):
            said = self.model.said(self.model(batch).logits)
        target = pseudo_target(self.model, said, self.low, self.high)
        output = self.model(batch)
        own = torch.where(batch.labelled, 0.0, self.model.study_losses(output.logits, target))
        return self.model.loss(output, batch) + self._settings.weight * own.sum() / (~batch.labelled).sum().clamp(min=1)

    def validation_loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of the joint head, and remember what was said."""
        assert batch.target is not None
        output = self.model(batch)
        self._seen.append((self.model.said(output.logits).detach().float(), batch.target))
        return self.model.joint_loss(output, batch)

    def end_validation(self) -> None:
        """Choose the thresholds of the next epoch."""
        if self._seen:
            said, target = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
            self._seen = []
            best = functional.one_hot(said.argmax(1), said.shape[1]) > 0
            # Without the half a rare class would be denied of all studies, for of all of them that is right often enough.
            answers = best if self.model.task == "multiclass" else said >= HALF
            for c, yes in enumerate(answers.T):
                self.high[c] = self._threshold(said[yes, c], target[yes, c] > 0, NEVER_HIGH)
                self.low[c] = -self._threshold(-said[~yes, c], target[~yes, c] <= 0, -NEVER_LOW)

    def _threshold(self, said: torch.Tensor, right: torch.Tensor, never: float) -> float:
        """Give the lowest threshold at or above which answers are right often enough."""
        order = said.argsort(descending=True, stable=True)
        ranked, hits = said[order], right[order].double().cumsum(0)
        count = torch.arange(1, len(ranked) + 1, device=said.device)
        last = torch.cat([ranked[1:] != ranked[:-1], ranked.new_ones(1, dtype=torch.bool)]) if len(ranked) else ranked.bool()
        good = last & (count >= self._settings.fewest) & (hits / count >= self._settings.precision)
        return float(ranked[good.nonzero()[-1, 0]]) if bool(good.any()) else never
