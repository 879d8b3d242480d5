"""Curves of the headline over the severity of each damage, one small panel a damage, one row an input."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from medmm.errors import DataError
from medmm.evaluation.canvas import BAND_OPACITY, COLOURS, GREY, TEXT_POINTS, TITLE_POINTS, canvas, dress
from medmm.evaluation.intervals import LEVEL
from medmm.evaluation.robustness import Curve
from medmm.evaluation.yardstick import AUROC, Yardstick

PANEL_INCH = (2.2, 2.1)
ACROSS_INCH = 7.6
"""Least width, so that the title has room."""

REFUSAL_SHOWN = 0.005
"""A smaller share refused is not written down."""

BOTTOM = -0.5
"""A headline further below what knowing nothing reaches is cut off: a wrong unit can send R² to minus thousands."""


def robustness_plot(curves: Sequence[Curve], yardstick: Yardstick = AUROC) -> Figure:
    """Draw the curves; steps are evenly spaced, the first is the input as it is; below a severity stands the share refused.

    Args:
        curves: At least one; those of an input stand in a row.
        yardstick: What the headline is.

    Raises:
        DataError: There is no curve.
    """
    if not curves:
        raise DataError("no input was damaged, so there is nothing to draw: give at least one curve")
    names = list(dict.fromkeys(one.source for one in curves))
    columns = max(sum(one.source == name for one in curves) for name in names)
    figure = canvas(max(ACROSS_INCH, PANEL_INCH[0] * columns), PANEL_INCH[1] * len(names) + 0.7)
    grid: Any = figure.subplots(len(names), columns, sharey=True, squeeze=False)
    for name, row in zip(names, grid, strict=True):
        own = [one for one in curves if one.source == name]
        for place, axes in enumerate(row):
            if place >= len(own):
                axes.set_visible(False)
                continue
            _panel(axes, own[place], yardstick, first=place == 0)
    figure.suptitle(
        f"What damage does to each input: {yardstick.label} with {LEVEL:.0%} intervals, patients resampled",
        x=0.01,
        ha="left",
        fontsize=TITLE_POINTS,
        fontweight="bold",
    )
    return figure


def _panel(axes: Axes, curve: Curve, yardstick: Yardstick, *, first: bool) -> None:
    floor = yardstick.nothing + BOTTOM
    places = np.arange(len(curve.steps))
    value, low, high = (
        np.maximum([getattr(one.headline, part) for one in curve.steps], floor) for part in ("value", "low", "high")
    )
    clean = curve.steps[0].headline
    counts = f"{clean.studies:,} studies\n{clean.patients:,} patients"
    dress(axes, curve.unit, f"{curve.source}\n{counts}" if first else "")
    axes.xaxis.label.set_fontsize(TEXT_POINTS - 2)
    axes.yaxis.label.set_fontsize(TEXT_POINTS - 1)
    axes.axhline(yardstick.nothing, color=GREY, linewidth=0.8, linestyle=":")
    axes.axhline(clean.value, color=GREY, linewidth=0.8, linestyle="--")
    axes.fill_between(places, low, high, color=COLOURS[0], alpha=BAND_OPACITY, linewidth=0)
    axes.plot(places, value, "o-", color=COLOURS[0], markersize=3.5, linewidth=1.4)
    axes.set_xlim(-0.3, len(curve.steps) - 0.7)
    refused = [f"\n{one.refused.value:.0%} ref." if one.refused.value > REFUSAL_SHOWN else "" for one in curve.steps]
    axes.set_xticks(places, [f"{one.severity:g}{share}" for one, share in zip(curve.steps, refused, strict=True)])
    axes.tick_params(axis="x", labelsize=TEXT_POINTS - 2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:.2g}"))
    axes.set_title(curve.label, loc="left", fontsize=TEXT_POINTS - 1)
