"""Adversarial training: the network learns from the worst small changes of what it reads.

Sources: Goodfellow et al. 2015 (FGSM); Madry et al. 2018 (PGD); Shafahi et al. 2019, Adversarial Training for Free; Wong et al.
2020, Fast is better than free (FGSM from a random start).
"""

from typing import Literal

import torch
from pydantic import Field

from medmm.model import DiagnosisModel
from medmm.training.attack import AttackSettings, Change, attack
from medmm.training.strategies.base import Situation, Strategy, StrategySettings
from medmm.types import Batch


class Adversarial(StrategySettings):
    """The labelled loss on studies as they are, and on the worst that small changes make of them.

    Images change by pixels, notes and tables by the vectors of their words and cells.
    """

    name: Literal["adversarial"] = "adversarial"
    """Which one."""

    method: Literal["fgsm", "pgd", "free"] = "fgsm"
    """fgsm: one step from a random start; pgd: several steps, the strongest and slowest; free: several steps on each batch, of
    which each moves the weights and the change at once (set fewer epochs)."""

    inputs: tuple[str, ...] = ()
    """Inputs that are changed; all where left out."""

    attack: AttackSettings = AttackSettings()
    """How far, and for pgd how many steps."""

    weight: float = Field(0.5, ge=0, le=1)
    """Weight of the changed studies in the loss; those as they are have the rest. free learns from changed ones alone."""

    replays: int = Field(4, ge=2)
    """Steps on each batch, for free."""

    @property
    def repeats(self) -> int:
        """Take several steps in a row on each batch, for free."""
        return self.replays if self.method == "free" else 1

    def build(self, model: DiagnosisModel, situation: Situation) -> "Attacking":
        """Make the objective that trains `model`."""
        return Attacking(model, self)


class Attacking(Strategy):
    """Looks for the worst change of each batch, and learns from it."""

    def __init__(self, model: DiagnosisModel, settings: Adversarial) -> None:
        super().__init__(model)
        self._settings = settings
        self._change: Change | None = None
        self._rows: list[int] = []

    def begin_epoch(self, epoch: int) -> None:
        """Forget the change of the last batch, which a resumed training would not know."""
        super().begin_epoch(epoch)
        self._change = None

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        s = self._settings
        worst = self._free(batch) if s.method == "free" else self._searched(batch)
        with worst.of(batch) as changed:
            robust = self.model.loss(self.model(changed), changed)
        if s.method == "free" or s.weight == 1:
            return robust
        return (1 - s.weight) * self.model.loss(self.model(batch), batch) + s.weight * robust

    def end_step(self) -> None:
        """Move the change of a batch along the gradient that the step has just computed."""
        if self._change is not None:
            self._change.ascend([delta.grad for delta in self._change.deltas], 1.0)

    def _searched(self, batch: Batch) -> Change:
        s = self._settings
        settings = s.attack.model_copy(update={"steps": 1}) if s.method == "fgsm" else s.attack
        worst = attack(self.model, batch, self._attacked(batch), settings, random=True)
        worst.hold()
        return worst

    def _free(self, batch: Batch) -> Change:
        rows = batch.rows.tolist()
        if self._change is None or rows != self._rows:
            self._change, self._rows = Change(self.model, self._attacked(batch), self._settings.attack, random=False), rows
        return self._change

    def _attacked(self, batch: Batch) -> list[str]:
        names = self._settings.inputs or tuple(self.model.encoders)
        return [name for name in names if name in batch.present and bool(batch.present[name].any())]
