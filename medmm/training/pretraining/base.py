"""What a way to pretrain owes: parts that give a loss of studies without labels, over encoders that they share.

Letters: B studies of a batch, S studies of a table, D width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import nn

from medmm.inputs import Inputs
from medmm.model import encode_present
from medmm.settings import Settings
from medmm.training.objective import Objective
from medmm.types import Batch, Tokens

VALIDATION_SEED = 20_011
"""Chance of the validation studies: the same in every epoch, so that epochs can be compared."""


class Part(nn.Module, ABC):
    """One loss. It has networks of its own, which are thrown away afterwards; the encoders belong to `Pretraining`."""

    @abstractmethod
    def loss(self, encoders: "Encoders", batch: Batch, chance: torch.Generator | None) -> torch.Tensor:
        """Give the loss of a batch, a scalar; zero, but with a gradient, where the batch has nothing to learn from.

        Args:
            encoders: Of all inputs.
            batch: Studies, labelled or not.
            chance: Of what is hidden; None for torch's global generator.
        """


class Encoders(nn.ModuleDict):
    """The encoders of a run by input.

    Args:
        inputs: Fitted.
        width: D of their tokens.
    """

    def __init__(self, inputs: Inputs, width: int) -> None:
        super().__init__({name: inputs[name].encoder(width) for name in sorted(inputs)})
        self.width = width

    def encode(
        self, fields: Mapping[str, Mapping[str, torch.Tensor]], present: Mapping[str, torch.Tensor]
    ) -> dict[str, Tokens]:
        """Give the tokens of every input; an encoder sees only the studies that have its input."""
        return {name: encode_present(network, fields[name], present[name], self.width) for name, network in self.items()}


class MethodSettings(Settings):
    """A way to pretrain, by name."""

    views: ClassVar[int] = 0
    """Further, stronger augmentations that it wants of each training study."""

    name: str
    """Which one."""

    @abstractmethod
    def parts(self, inputs: Inputs, width: int, patients: Sequence[int]) -> Mapping[str, Part]:
        """Build the losses by name.

        Args:
            inputs: Fitted.
            width: D.
            patients: (S,) number of the patient of each study that `Batch.rows` counts.

        Raises:
            ConfigError: The inputs or their encoders do not suit the method.
        """

    def weight(self, part: str) -> float:
        """Give the weight of a part in the whole loss."""
        return 1.0


class Pretraining(Objective):
    """Encoders that learn from studies without looking at a label.

    Args:
        settings: The method.
        inputs: Fitted.
        width: D of the tokens.
        patients: (S,) number of the patient of each study.
    """

    def __init__(self, settings: MethodSettings, inputs: Inputs, width: int, patients: Sequence[int]) -> None:
        super().__init__()
        self.encoders = Encoders(inputs, width)
        self.parts = nn.ModuleDict(dict(settings.parts(inputs, width, patients)))
        self._weights = {name: settings.weight(name) for name in self.parts}

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        return self._loss(batch, None)

    def validation_loss(self, batch: Batch) -> torch.Tensor:
        """Give the same loss of a validation batch, of which the same is hidden in every epoch."""
        return self._loss(batch, validation_chance(batch))

    def part(self, name: str) -> Part | None:
        """Give one of the losses, None where the method has no such."""
        return dict(self._named()).get(name)

    def _loss(self, batch: Batch, chance: torch.Generator | None) -> torch.Tensor:
        losses = [self._weights[name] * part.loss(self.encoders, batch, chance) for name, part in self._named()]
        return torch.stack(losses).sum()

    def _named(self) -> list[tuple[str, Part]]:
        return [(name, part) for name, part in self.parts.items() if isinstance(part, Part)]


def validation_chance(batch: Batch) -> torch.Generator:
    """Give the chance of a validation batch, by its studies alone."""
    return torch.Generator().manual_seed(VALIDATION_SEED + int(batch.rows[0]))
