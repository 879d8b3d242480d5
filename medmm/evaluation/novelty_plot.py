"""How unlike the training studies test studies and planted outliers are, input by input."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from medmm.evaluation.canvas import COLOURS, TEXT_POINTS, canvas, dress, entitle, legend_below
from medmm.evaluation.novelty import ACCEPTED
from medmm.types import Array

QUARTERS = (0.05, 0.25, 0.5, 0.75, 0.95)
CELL_POINTS = 168
"""Right end of the column of numbers, from the right end of the axes."""


class Spread(NamedTuple):
    """A row: its name, whether the studies are planted outliers, their distances (n,), their limit, what stands beside it."""

    name: str
    planted: bool
    distance: Array
    limit: float
    beside: str


def novelty_plot(rows: Sequence[Spread], subtitle: str) -> Figure:
    """Draw the distances of each row by their quantiles, the first on top.

    Args:
        rows: At least one.
        subtitle: What they rest on.
    """
    figure = canvas(7.6, 1.7 + 0.27 * len(rows))
    axes = figure.add_subplot()
    axes.set_xscale("log")
    for height, row in zip(reversed(range(len(rows))), rows, strict=False):
        low, first, middle, third, high = np.quantile(np.maximum(row.distance, 1e-3), QUARTERS)
        colour = COLOURS[1] if row.planted else COLOURS[0]
        axes.plot([low, high], [height, height], color=colour, linewidth=1.2, solid_capstyle="butt")
        axes.plot([first, third], [height, height], color=colour, linewidth=6, solid_capstyle="butt")
        axes.plot([middle], [height], "|", color="white", markersize=6, markeredgewidth=1.6)
        if np.isfinite(row.limit):
            axes.plot([row.limit, row.limit], [height - 0.5, height + 0.5], color="black", linewidth=1)
        axes.annotate(
            row.beside,
            xy=(1, height),
            xycoords=("axes fraction", "data"),
            xytext=(CELL_POINTS, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=TEXT_POINTS,
        )
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    for label, row in zip(axes.get_yticklabels(), reversed(rows), strict=True):
        label.set_color(COLOURS[1] if row.planted else COLOURS[0])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    dress(axes, "Distance from the training studies, in limits", "")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for name, colour in (("Test studies", COLOURS[0]), ("Planted outliers", COLOURS[1])):
        axes.plot([], [], color=colour, linewidth=5, label=f"{name}: middle half, line from 5 to 95 %")
    axes.plot([], [], color="black", linewidth=1, label=f"Limit within which {ACCEPTED:.0%} of known studies are to stay")
    entitle(axes, "How unlike the training studies", subtitle)
    legend_below(figure)
    return figure
