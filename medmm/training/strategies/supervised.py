"""Supervised learning: the labelled loss, nothing else."""

from typing import Literal

import torch

from medmm.model import DiagnosisModel
from medmm.training.strategies.base import StrategySettings
from medmm.types import Batch


class Supervised(StrategySettings):
    """The loss of the joint head and of each input's own head."""

    name: Literal["supervised"] = "supervised"
    """Which one."""

    def loss(self, model: DiagnosisModel, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        assert batch.target is not None
        return model.loss(model(batch), batch.target)
