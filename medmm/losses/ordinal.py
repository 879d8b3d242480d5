"""Grades: the cross-entropy of a binary question for each grade but the lowest, "at least this?", with answers in order.

Source:
    Li & Lin 2006, Ordinal Regression by Extended Binary Classification; Cao, Mirjalili & Raschka 2020, Rank Consistent Ordinal
    Regression (CORAL).
"""

from typing import ClassVar, Literal

from medmm.cohort.target import TargetSettings
from medmm.losses.base import ClassWeight, Loss, LossSettings
from medmm.losses.cross_entropy import CrossEntropy
from medmm.types import Task


class OrdinalSettings(LossSettings):
    """Is at least this grade reached? Asked for each grade but the lowest."""

    tasks: ClassVar[tuple[Task, ...]] = ("ordinal",)
    weighs_classes: ClassVar[bool] = True

    name: Literal["ordinal"] = "ordinal"
    """Which one."""

    def build(self, target: TargetSettings, class_weight: ClassWeight) -> Loss:
        """Build the loss."""
        return CrossEntropy("ordinal", [1.0] * len(target.names), balanced=class_weight == "balanced")
