"""What a way to fine-tune owes: the loss of a training step."""

from abc import abstractmethod

import torch

from medmm.model import DiagnosisModel
from medmm.settings import Settings
from medmm.types import Batch


class StrategySettings(Settings):
    """A way to fine-tune, by name."""

    name: str
    """Which one."""

    @abstractmethod
    def loss(self, model: DiagnosisModel, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
