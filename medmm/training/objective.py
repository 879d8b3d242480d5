"""What training minimises: the networks that learn, the loss of a step, and the measure that chooses the best epoch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import nn

from medmm.encoders.adapted import Adapted
from medmm.types import Batch


class Objective(nn.Module, ABC):
    """What training minimises.

    All its weights that ask for a gradient learn; all its weights and buffers but those of frozen backbones stand in the
    checkpoints, so whatever a method remembers from step to step is one of them. Chance comes from torch's global generator,
    which every epoch seeds anew.
    """

    @abstractmethod
    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""

    @abstractmethod
    def validation_loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of a validation batch, a scalar: the epoch in which its mean is lowest is kept."""

    def begin_epoch(self, epoch: int) -> None:
        """Prepare for an epoch, from 0; its number alone decides, so that a resumed training goes the same way."""
        for encoder in adapted(self):
            encoder.begin_epoch(epoch)

    def end_step(self) -> None:
        """Follow a step of the optimiser."""

    def end_validation(self) -> None:
        """Follow the validation batches of an epoch, before its checkpoint is written."""

    def finish(self) -> None:
        """Hand over what was learned, once the weights of the best epoch are back."""


def adapted(network: nn.Module) -> Iterator[Adapted]:
    """Give the encoders that have a backbone."""
    return (part for part in network.modules() if isinstance(part, Adapted))
