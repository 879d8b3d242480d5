"""What each subset of the inputs, each method, or the model in each group of patients is worth: forest plots."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medmm.errors import DataError
from medmm.evaluation.canvas import COLOURS, GREY, TEXT_POINTS, TITLE_POINTS, canvas, dress
from medmm.evaluation.intervals import LEVEL, Estimate
from medmm.evaluation.yardstick import AUROC, Yardstick

JOINED = " + "
"""Stands between the inputs in the name of a subset: "chest + labs"."""

LONGEST_NAME = 40
"""Signs of a group's name; the rest is cut off."""

CELL_POINTS = (120, 165, 210)
"""Right ends of the columns of numbers, from the right end of the axes."""


def methods_plot(rows: Sequence[tuple[str, Estimate, bool]], yardstick: Yardstick = AUROC) -> Figure:
    """Draw the headline of each method with its interval, in the order given, the first on top.

    Args:
        rows: Name of the method, its headline, and whether it fuses inputs, which is drawn in another colour.
        yardstick: What the headline is.

    Raises:
        DataError: There is no row.
    """
    if not rows:
        raise DataError("no method was evaluated, so there is nothing to draw: give at least one row")
    return _forest("Evidence by method", [(name, one, COLOURS[int(fuses)]) for name, one, fuses in reversed(rows)], yardstick)


def inputs_plot(rows: Sequence[tuple[str, Estimate]], yardstick: Yardstick = AUROC) -> Figure:
    """Draw the headline of each subset of inputs with its interval; the largest subset on top, then by value.

    Args:
        rows: Name of the subset, its inputs joined by " + ", and its headline.
        yardstick: What the headline is.

    Raises:
        DataError: There is no row.
    """
    if not rows:
        raise DataError("no subset of inputs was evaluated, so there is nothing to draw: give at least one row")
    ordered = sorted(rows, key=lambda row: (row[0].count(JOINED), np.nan_to_num(row[1].value)))
    largest = ordered[-1][0].count(JOINED)
    colours = [COLOURS[1] if largest and name.count(JOINED) == largest else COLOURS[0] for name, _ in ordered]
    return _forest("Evidence by input", [(*row, colour) for row, colour in zip(ordered, colours, strict=True)], yardstick)


def groups_plot(whole: Estimate, rows: Sequence[tuple[str, Estimate, bool]], yardstick: Yardstick = AUROC) -> Figure:
    """Draw the headline of all studies, and below it that of each group with its interval, in the order given.

    Args:
        whole: Of all studies.
        rows: Name of the group, its headline, NaN where there is too little data, and whether it differs from all other studies
            beyond chance, which is drawn in another colour.
        yardstick: What the headline is.

    Raises:
        DataError: There is no row.
    """
    if not rows:
        raise DataError("no group was evaluated, so there is nothing to draw: give at least one row")
    drawn = [("All studies", whole, "black"), *((plain(name), one, COLOURS[int(differs)]) for name, one, differs in rows)]
    figure = _forest("Evidence by group", drawn[::-1], yardstick)
    figure.axes[0].axvline(whole.value, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    return figure


def gaps_plot(rows: Sequence[tuple[str, Estimate, tuple[float, float]]], yardstick: Yardstick = AUROC) -> Figure:
    """Draw how far the headline of each group lies from that of all other studies, in the order given.

    Args:
        rows: Name of the group, its gap, and the wider limits that hold for all groups at once; NaN where there is too little
            data. A gap whose wider limits leave out zero is drawn in another colour.
        yardstick: What the headline is.

    Raises:
        DataError: There is no row.
    """
    if not rows:
        raise DataError("no group was compared, so there is nothing to draw: give at least one row")
    drawn = [(plain(name), one, COLOURS[int(low > 0 or high < 0)]) for name, one, (low, high) in rows]
    label = f"{yardstick.label} less that of all other studies"
    figure = _forest("Gap by group", drawn[::-1], yardstick, label, 0.0)
    axes = figure.axes[0]
    for height, (_, _, limits) in enumerate(reversed(rows)):
        axes.plot(limits, [height, height], color=GREY, linewidth=0.8, zorder=0)
    axes.set_xlabel(f"{axes.get_xlabel()}\nThin: limits that hold for all groups at once", fontsize=TEXT_POINTS)
    return figure


def plain(text: str) -> str:
    """Give a text that a figure has room for: on one line, and not too long."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"


def _forest(
    title: str,
    rows: Sequence[tuple[str, Estimate, str]],
    yardstick: Yardstick,
    label: str | None = None,
    nothing: float | None = None,
) -> Figure:
    """Draw rows of name, estimate and colour, the last on top."""
    figure = canvas(7.2, 1.5 + 0.34 * len(rows))
    axes = figure.add_subplot()
    dress(axes, f"{label or yardstick.label} [{LEVEL:.0%} interval, patients resampled]", "")
    axes.axvline(yardstick.nothing if nothing is None else nothing, color=GREY, linewidth=0.8, linestyle=":")
    for height, (_, estimate, colour) in enumerate(rows):
        axes.plot([estimate.low, estimate.high], [height, height], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot([estimate.value], [height], "s", color=colour, markersize=6)
        number = "not enough data" if np.isnan(estimate.value) else str(estimate)
        cells = (number, f"{estimate.studies:,}", f"{estimate.patients:,}")
        for text, offset in zip(cells, CELL_POINTS, strict=True):
            _beside(axes, text, height, offset)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left", fontsize=TITLE_POINTS, fontweight="bold")
    for text, offset in zip(
        (f"{'Gap' if label else yardstick.label} [interval]", "Studies", "Patients"), CELL_POINTS, strict=True
    ):
        _beside(axes, text, len(rows) - 0.3, offset, GREY)
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
