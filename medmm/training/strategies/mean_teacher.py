"""Mean teacher: the network agrees with a slow average of itself, on studies without a label too.

Source: Tarvainen and Valpola 2017, Mean teachers are better role models.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch.func import functional_call

from medmm.model import DiagnosisModel, Output
from medmm.training.strategies.agreement import distance, undisturbed
from medmm.training.strategies.base import Situation, Strategy, StrategySettings
from medmm.types import CLASS_TASKS, Batch, Task


class MeanTeacher(StrategySettings):
    """The labelled loss, and the distance of what the network and its average say of a study.

    The network sees the study strongly varied; the average of its weights over the last steps sees it as it is, and is kept.
    """

    tasks: ClassVar[tuple[Task, ...]] = CLASS_TASKS

    name: Literal["mean_teacher"] = "mean_teacher"
    """Which one."""

    views = 1

    share: int = Field(3, ge=0)
    """Unlabelled studies for each labelled one."""

    weight: float = Field(10.0, ge=0)
    """Of the distance."""

    ramp_epochs: int = Field(5, ge=1)
    """Epochs over which that weight rises."""

    decay: float = Field(0.99, gt=0, lt=1)
    """Of the average, a step."""

    @property
    def unlabelled(self) -> int:
        """Unlabelled studies for each labelled one."""
        return self.share

    def build(self, model: DiagnosisModel, situation: Situation) -> "Taught":
        """Make the objective that trains `model`."""
        return Taught(model, self)


class Taught(Strategy):
    """A network and the average of its weights."""

    steps: torch.Tensor

    def __init__(self, model: DiagnosisModel, settings: MeanTeacher) -> None:
        super().__init__(model)
        self._settings = settings
        self._epoch = 0
        self._names = [name for name, _ in model.named_parameters()]
        for name, weight in model.named_parameters():
            self.register_buffer(_flat(name), weight.detach().clone())
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def begin_epoch(self, epoch: int) -> None:
        """Raise the weight of the distance."""
        super().begin_epoch(epoch)
        self._epoch = epoch

    def loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of one training step, a scalar."""
        s = self._settings
        with undisturbed(self.model):
            said = self.teacher(batch).logits
        strong = self.model(batch.seen(0))
        rising = float(torch.tensor(-5.0 * (1 - min(1.0, (self._epoch + 1) / s.ramp_epochs)) ** 2).exp())
        apart = distance(self.model, strong.logits, said).mean()
        return self.model.loss(self.model(batch), batch) + rising * s.weight * apart

    def end_step(self) -> None:
        """Let the average follow the weights, quickly at first."""
        self.steps += 1
        count = float(self.steps)
        decay = min(self._settings.decay, count / (count + 9))
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                self.get_buffer(_flat(name)).lerp_(weight, 1 - decay)

    def validation_loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of the average, which is what is kept."""
        return self.model.joint_loss(self.teacher(batch), batch)

    def finish(self) -> None:
        """Put the average into the network."""
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                weight.copy_(self.get_buffer(_flat(name)))

    def teacher(self, batch: Batch) -> Output:
        """Let the average speak."""
        weights = {name: self.get_buffer(_flat(name)) for name in self._names}
        running = {name: value.clone() for name, value in self.model.named_buffers()}  # a pass in training would move them
        output: Output = functional_call(self.model, {**weights, **running}, (batch,))
        return output


def _flat(name: str) -> str:
    """Name the buffer that holds the average of a weight; a dot may not stand in it."""
    return f"average_{name.replace('.', '/')}"
