"""Supervised learning: the labelled loss, nothing else."""

from typing import Literal

import torch

from medmm.model import DiagnosisModel
from medmm.training.strategies.base import Situation, Strategy, StrategySettings
from medmm.types import Batch


class Supervised(StrategySettings):
    """The loss of the joint head and of each input's own head."""

    name: Literal["supervised"] = "supervised"
    """Which one."""

    def build(self, model: DiagnosisModel, situation: Situation) -> Strategy:
        """Make the objective that trains `model`."""
        return Labelled(model)


class Labelled(Strategy):
    """Learns from labels."""

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        return self.model.loss(self.model(batch), batch)
