"""Linear probe: what was pretrained stays as it is, and what follows it learns.

Source: Alain and Bengio 2016, Understanding intermediate layers using linear classifier probes.
"""

from typing import Literal

import torch

from medmm.encoders.tuning import Tuning
from medmm.model import DiagnosisModel
from medmm.training.strategies.base import Situation, StrategySettings
from medmm.training.strategies.supervised import Labelled
from medmm.types import Batch


class LinearProbe(StrategySettings):
    """Fusion and heads learn over encoders that stay as they are: the quickest way, and the safest with few labels.

    A backbone with weights from a file stays; an encoder from another run stays whole. Other encoders learn.
    """

    name: Literal["linear_probe"] = "linear_probe"
    """Which one."""

    @property
    def tuning(self) -> Tuning:
        """Let no backbone learn."""
        return Tuning(learn="none")

    def build(self, model: DiagnosisModel, situation: Situation) -> "Probe":
        """Make the objective that trains `model`."""
        return Probe(model, situation)


class Probe(Labelled):
    """Keeps encoders as they are, without dropout, so that a study is always encoded alike."""

    def __init__(self, model: DiagnosisModel, situation: Situation) -> None:
        super().__init__(model)
        self._kept = [model.encoders[name] for name in sorted(situation.taken)]
        for encoder in self._kept:
            encoder.requires_grad_(False)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        for encoder in self._kept:
            encoder.eval()
        return super().loss(batch)
