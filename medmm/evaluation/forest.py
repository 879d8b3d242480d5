"""What each subset of the inputs is worth: a forest plot."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medmm.errors import DataError
from medmm.evaluation.canvas import COLOURS, GREY, TEXT_POINTS, TITLE_POINTS, canvas, dress
from medmm.evaluation.intervals import LEVEL, Estimate

JOINED = " + "
"""Stands between the inputs in the name of a subset: "chest + labs"."""

CHANCE = 0.5

CELL_POINTS = (120, 165, 210)
"""Right ends of the columns of numbers, from the right end of the axes."""


def inputs_plot(rows: Sequence[tuple[str, Estimate]]) -> Figure:
    """Draw the AUROC of each subset of inputs with its interval; the largest subset on top, then by value.

    Args:
        rows: Name of the subset, its inputs joined by " + ", and its AUROC.

    Raises:
        DataError: There is no row.
    """
    if not rows:
        raise DataError("no subset of inputs was evaluated, so there is nothing to draw: give at least one row")
    ordered = sorted(rows, key=lambda row: (row[0].count(JOINED), np.nan_to_num(row[1].value)))
    largest = ordered[-1][0].count(JOINED)
    figure = canvas(7.2, 1.5 + 0.34 * len(rows))
    axes = figure.add_subplot()
    dress(axes, f"AUROC [{LEVEL:.0%} interval, patients resampled]", "")
    axes.axvline(CHANCE, color=GREY, linewidth=0.8, linestyle=":")
    for height, (name, estimate) in enumerate(ordered):
        colour = COLOURS[1] if largest and name.count(JOINED) == largest else COLOURS[0]
        axes.plot([estimate.low, estimate.high], [height, height], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot([estimate.value], [height], "s", color=colour, markersize=6)
        cells = (str(estimate), f"{estimate.studies:,}", f"{estimate.patients:,}")
        for text, offset in zip(cells, CELL_POINTS, strict=True):
            _beside(axes, text, height, offset)
    axes.set_yticks(range(len(ordered)), [name for name, _ in ordered])
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title("Evidence by input", loc="left", fontsize=TITLE_POINTS, fontweight="bold")
    for text, offset in zip(("AUROC [interval]", "Studies", "Patients"), CELL_POINTS, strict=True):
        _beside(axes, text, len(ordered) - 0.3, offset, GREY)
    return figure


def _beside(axes: Axes, text: str, height: float, offset_points: float, colour: str = "black") -> None:
    axes.annotate(
        text,
        xy=(1, height),
        xycoords=("axes fraction", "data"),
        xytext=(offset_points, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=TEXT_POINTS,
        color=colour,
    )
