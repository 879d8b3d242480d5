"""What a way to fine-tune owes: settings that build an objective over the network of a run."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch

from medmm.encoders.tuning import Tuning
from medmm.model import DiagnosisModel
from medmm.settings import Settings
from medmm.training.objective import Objective
from medmm.types import Batch, Task


@dataclass(frozen=True)
class Situation:
    """What a way to fine-tune may know of the run besides the network.

    Attributes:
        groups: Names of the groups that `Batch.group` counts.
        taken: Inputs whose whole encoder comes from another run.
    """

    groups: tuple[str, ...] = ()
    taken: frozenset[str] = frozenset()


class StrategySettings(Settings):
    """A way to fine-tune, by name."""

    views: ClassVar[int] = 0
    """Further, stronger augmentations that it wants of each study."""

    together: ClassVar[bool] = False
    """Whether it acts on inputs that learn together only, so that a fusion of inputs that learn apart leaves it idle."""

    tasks: ClassVar[tuple[Task, ...]] = get_args(Task)
    """What it is for."""

    name: str
    """Which one."""

    @property
    def tuning(self) -> Tuning | None:
        """How far backbones with pretrained weights learn, in place of what the run file says; None leaves that to it."""
        return None

    @property
    def repeats(self) -> int:
        """How many steps in a row it takes on each batch."""
        return 1

    @property
    def group_columns(self) -> tuple[str, ...]:
        """Columns of the studies table whose values together make the groups that it wants to know."""
        return ()

    @property
    def unlabelled(self) -> int:
        """Unlabelled studies that it wants for each labelled one; 0 for none."""
        return 0

    @abstractmethod
    def build(self, model: DiagnosisModel, situation: Situation) -> "Strategy":
        """Make the objective that trains `model`."""


class Strategy(Objective):
    """Trains the network of a run.

    Args:
        model: The network; it holds what was learned after `finish`.
    """

    def __init__(self, model: DiagnosisModel) -> None:
        super().__init__()
        self.model = model

    def validation_loss(self, batch: Batch) -> torch.Tensor:
        """Give the loss of the joint head alone."""
        return self.model.joint_loss(self.model(batch), batch)
