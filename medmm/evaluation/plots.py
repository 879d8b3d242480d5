"""The figures of an evaluation, by name."""

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from medmm.evaluation.confusion import confusion_plot
from medmm.evaluation.curves import pr_plot, roc_plot
from medmm.evaluation.forest import inputs_plot
from medmm.evaluation.reliability import reliability_plot
from medmm.tables import Table
from medmm.types import Scores, Task

__all__ = ["PLOTS", "inputs_plot"]

PLOTS: Table[Callable[[Scores, Task, Sequence[float]], Figure]] = Table(
    "plot",
    {
        "roc": roc_plot,
        "pr": pr_plot,
        "reliability": reliability_plot,
        "confusion": confusion_plot,
    },
)
