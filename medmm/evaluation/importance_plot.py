"""How much each input weighs: bars with intervals, side by side for two ways to ask."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from medmm.errors import DataError
from medmm.evaluation.canvas import COLOURS, GREY, TEXT_POINTS, TITLE_POINTS, canvas, dress
from medmm.evaluation.intervals import LEVEL, Estimate

Rows = Sequence[tuple[str, Estimate]]


def importance_plot(panels: Sequence[tuple[str, str, Rows]]) -> Figure:
    """Draw one panel for each way to ask, one bar an input, with the n that it rests on.

    Args:
        panels: Title, label of the axis, and the inputs with their numbers, in one order.

    Raises:
        DataError: There is no panel, or one without inputs.
    """
    if not panels or not all(rows for _, _, rows in panels):
        raise DataError("no input was weighed, so there is nothing to draw: give at least one input in each panel")
    figure = canvas(4.2 * len(panels), 1.4 + 0.42 * max(len(rows) for *_, rows in panels))
    grid: Any = figure.subplots(1, len(panels), squeeze=False)[0]
    for place, (axes, (title, label, rows)) in enumerate(zip(grid, panels, strict=True)):
        dress(axes, f"{label} [{LEVEL:.0%} interval]", "")
        axes.axvline(0, color=GREY, linewidth=0.8)
        for height, (_, one) in enumerate(reversed(rows)):
            colour = COLOURS[place % len(COLOURS)]
            axes.barh(height, 0 if np.isnan(one.value) else one.value, height=0.55, color=colour, alpha=0.55)
            axes.plot([one.low, one.high], [height, height], color=colour, linewidth=2, solid_capstyle="butt")
        names = [f"{name}\n{one.studies:,} studies, {one.patients:,} patients" for name, one in reversed(rows)]
        axes.set_yticks(range(len(rows)), names, fontsize=TEXT_POINTS - 1)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_title(title, loc="left", fontsize=TITLE_POINTS, fontweight="bold")
    return figure
