"""The figures of an evaluation, by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from matplotlib.figure import Figure

from medmm.evaluation.agreement import agreement_plot
from medmm.evaluation.confusion import confusion_plot
from medmm.evaluation.curves import pr_plot, roc_plot
from medmm.evaluation.event_curves import event_plot
from medmm.evaluation.forest import inputs_plot
from medmm.evaluation.reliability import reliability_plot
from medmm.tables import Table
from medmm.types import Scores, Task

__all__ = ["PLOTS", "inputs_plot", "plots_of"]

Plot: TypeAlias = Callable[[Scores, Task, Sequence[float]], Figure]

PLOTS: Table[Plot] = Table(
    "plot",
    {
        "roc": roc_plot,
        "pr": pr_plot,
        "reliability": reliability_plot,
        "confusion": confusion_plot,
        "agreement": agreement_plot,
        "events": event_plot,
    },
)

OF_CLASSES = ("roc", "pr", "reliability", "confusion")
OF_OTHERS: Mapping[Task, tuple[str, ...]] = {"regression": ("agreement",), "survival": ("events",)}


def plots_of(task: Task) -> dict[str, Plot]:
    """Give the figures that show the scores of a task."""
    return {name: PLOTS[name] for name in OF_OTHERS.get(task, OF_CLASSES)}
