"""Transfer: the network starts from another run and is pulled back towards it.

Source: Li et al. 2018, Explicit Inductive Bias for Transfer Learning with Convolutional Networks (L2-SP).
"""

from typing import Literal

import torch
from pydantic import Field

from medmm.errors import ConfigError
from medmm.model import DiagnosisModel
from medmm.training.strategies.base import Situation, StrategySettings
from medmm.training.strategies.supervised import Labelled
from medmm.types import Batch


class Transfer(StrategySettings):
    """The labelled loss, and the distance of what came from another run (`training.init`) from where it started."""

    name: Literal["transfer"] = "transfer"
    """Which one."""

    pull: float = Field(0.01, ge=0)
    """Weight of the squared distance; 0 starts there and lets go."""

    def build(self, model: DiagnosisModel, situation: Situation) -> "Pulled":
        """Make the objective that trains `model`.

        Raises:
            ConfigError: Nothing comes from another run.
        """
        if not situation.taken:
            raise ConfigError("training.strategy: transfer starts from another run: name it under training.init")
        return Pulled(model, situation, self.pull)


class Pulled(Labelled):
    """Remembers where the weights from another run started."""

    def __init__(self, model: DiagnosisModel, situation: Situation, pull: float) -> None:
        super().__init__(model)
        self._pull = pull
        self._weights = [
            (f"start_{name}_{i}", weight)
            for name in sorted(situation.taken)
            for i, weight in enumerate(model.encoders[name].parameters())
        ]
        for name, weight in self._weights:
            self.register_buffer(name, weight.detach().clone())

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        total = super().loss(batch)
        for name, weight in self._weights:
            total = total + 0.5 * self._pull * (weight - self.get_buffer(name)).square().sum()
        return total
