"""What a loss owes: a number for each study, and how what the network says under it becomes an answer.

Letters: B studies, K outputs of a head, T numbers of a target, C answers.

Logits go through four stages: what a head gives (raw); `link`, which gives them the order that a task may ask for; `free`,
in which inputs of a fusion speak to each other, without the weights of the loss; and `evidence`, without anything that the loss
has put into them, from which `answer` gives probabilities, values or risks.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import nn

from medmm.cohort.target import TargetSettings
from medmm.settings import Settings
from medmm.types import CLASS_TASKS, Array, Task

ClassWeight = Literal["balanced", "none"]


class Loss(nn.Module, ABC):
    """A loss with what it has learned of the training studies, which travels as buffers in the package.

    Args:
        task: What is predicted.
        outputs: K, of a head.
    """

    tempered: ClassVar[bool] = False
    """Whether logits have a temperature: one number by which all of them are too sure or not sure enough."""

    settles: ClassVar[bool] = False
    """Whether something is learned from what the trained network says."""

    def __init__(self, task: Task, outputs: int) -> None:
        super().__init__()
        self.task = task
        self.outputs = outputs

    @abstractmethod
    def fit(self, target: Array) -> None:
        """Learn from the targets (S, T) of the training studies what the loss needs to know of them.

        Raises:
            DataError: They do not allow an answer.
        """

    def settle(self, evidence: Array, target: Array) -> None:
        """Learn from what the trained network says (S, K) of the training studies, and their targets (S, T)."""

    def link(self, raw: torch.Tensor) -> torch.Tensor:
        """Give the logits (B, K) of what a head gives (B, K)."""
        return raw

    @abstractmethod
    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the loss (B,) of logits (B, K) for targets (B, T), none of which is missing."""

    def free(self, logits: torch.Tensor) -> torch.Tensor:
        """Give logits (B, K) freed from the weights of the loss, in which inputs can be combined."""
        return logits

    def bind(self, freed: torch.Tensor) -> torch.Tensor:
        """Undo `free`."""
        return freed

    def evidence(self, logits: torch.Tensor) -> torch.Tensor:
        """Give logits (B, K) freed from all that the loss has put into them."""
        return self.free(logits)

    @abstractmethod
    def answer(self, evidence: torch.Tensor) -> torch.Tensor:
        """Give the answers (B, C) of evidence (B, K)."""

    @abstractmethod
    def likelihood(self, evidence: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Give the negative log-likelihood (B,) of targets (B, T) under evidence (B, K), by which models are calibrated."""


class LossSettings(Settings):
    """A loss, by name."""

    tasks: ClassVar[tuple[Task, ...]] = CLASS_TASKS
    """What it is for."""

    weighs_classes: ClassVar[bool] = False
    """Whether it takes class weights."""

    name: str
    """Which one."""

    @abstractmethod
    def build(self, target: TargetSettings, class_weight: ClassWeight) -> Loss:
        """Build the loss, not yet fitted, for a target of one of its tasks."""
