"""Losses by name, and which suits a task."""

from collections.abc import Mapping

from medmm.cohort.target import TargetSettings
from medmm.errors import ConfigError
from medmm.losses.asymmetric import AsymmetricSettings
from medmm.losses.base import ClassWeight, Loss, LossSettings
from medmm.losses.cox import CoxSettings
from medmm.losses.cross_entropy import CrossEntropySettings
from medmm.losses.discrete_time import DiscreteTimeSettings
from medmm.losses.focal import FocalSettings
from medmm.losses.logit_adjusted import LogitAdjustedSettings
from medmm.losses.ordinal import OrdinalSettings
from medmm.losses.value import HuberSettings, SquaredErrorSettings
from medmm.tables import Table
from medmm.types import Task

LOSSES: Table[type[LossSettings]] = Table(
    "loss",
    {
        "cross_entropy": CrossEntropySettings,
        "focal": FocalSettings,
        "logit_adjusted": LogitAdjustedSettings,
        "asymmetric": AsymmetricSettings,
        "ordinal": OrdinalSettings,
        "squared_error": SquaredErrorSettings,
        "huber": HuberSettings,
        "cox": CoxSettings,
        "discrete_time": DiscreteTimeSettings,
    },
)

SUITED: Mapping[Task, LossSettings] = {
    "binary": CrossEntropySettings(),
    "multiclass": CrossEntropySettings(),
    "multilabel": CrossEntropySettings(),
    "ordinal": OrdinalSettings(),
    "regression": SquaredErrorSettings(),
    "survival": CoxSettings(),
}
"""Task -> what a run takes that names no loss."""


def make_loss(settings: LossSettings | None, target: TargetSettings, class_weight: ClassWeight | None = None) -> Loss:
    """Build the loss of a run, not yet fitted.

    Args:
        settings: The loss; None takes what suits the task.
        target: What is predicted.
        class_weight: None lets classes count alike, where the loss weighs them.

    Raises:
        ConfigError: The loss is not for this task, or weighs no classes.
    """
    chosen = settings or SUITED[target.task]
    if target.task not in chosen.tasks:
        fitting = ", ".join(name for name, one in LOSSES.items() if target.task in one.tasks)
        raise ConfigError(f"the loss {chosen.name!r} is not for a {target.task} task: choose {fitting}")
    if class_weight == "balanced" and not chosen.weighs_classes:
        raise ConfigError(f"the loss {chosen.name!r} takes no class weights: leave class_weight out")
    return chosen.build(target, class_weight or "balanced")
