"""A batch beside the reference, for the eye: what answers, inputs and representations were, and what they are now."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medmm.evaluation.canvas import COLOURS, GREY, TEXT_POINTS, canvas, dress, entitle, legend_below
from medmm.evaluation.drift import Drift
from medmm.evaluation.novelty import JOINT
from medmm.monitoring.differences import FLAT
from medmm.monitoring.drift_tests import Batch
from medmm.types import Array

KNOWN, NEW = GREY, COLOURS[1]
PANEL_INCH = 3.1
A_ROW = 3
MOST = 12
"""Panels of a figure; of more answers the first are drawn."""

POINT, FAINT = 9, 0.55


def answers_plot(known: Drift, batch: Batch, names: Sequence[str], title: str, subtitle: str) -> Figure:
    """Draw the share of studies at or below each answer: where the two lines part, answers have moved."""
    figure, panels = _panels(min(len(names), MOST))
    for column, axes in enumerate(panels):
        for values, colour, width in ((known.answers, KNOWN, 2.2), (batch.answers, NEW, 1.5)):
            ordered = np.sort(values[:, column])
            axes.step(ordered, (np.arange(len(ordered)) + 1) / len(ordered), color=colour, linewidth=width, where="post")
        axes.set_ylim(0, 1.02)
        dress(axes, names[column], "share at or below" if column % A_ROW == 0 else "")
    return _finished(figure, panels[0], title, subtitle)


def presence_plot(rows: Sequence[tuple[str, float, float]], title: str, subtitle: str) -> Figure:
    """Draw how often each input is there.

    Args:
        rows: Input, share in the reference, share in the batch.
        title: Of the figure.
        subtitle: What it rests on.
    """
    figure = canvas(7.4, 1.5 + 0.32 * len(rows))
    axes = figure.add_subplot()
    for height, (_, before, now) in zip(reversed(range(len(rows))), rows, strict=True):
        axes.plot([before, now], [height, height], color=NEW, linewidth=1.5, zorder=1)
        axes.plot([before], [height], "|", color=KNOWN, markersize=14, markeredgewidth=2.4)
        axes.plot([now], [height], "o", color=NEW, markersize=6)
    axes.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)])
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    dress(axes, "share of the studies that have the input", "")
    return _finished(figure, axes, title, subtitle)


def representations_plot(known: Drift, batch: Batch, title: str, subtitle: str) -> Figure:
    """Draw each representation in the two directions in which its means lie farthest apart, measured in deviations."""
    assert batch.embedding is not None
    names = (JOINT, *known.inputs)
    some = [0, *(np.flatnonzero(known.present.any(axis=0) & batch.present.any(axis=0)) + 1).tolist()][:MOST]
    figure, panels = _panels(len(some))
    for part, axes in zip(some, panels, strict=True):
        has = [np.ones(len(one.answers), bool) if part == 0 else one.present[:, part - 1] for one in (known, batch)]
        old, new = known.embedding[has[0], part].astype(float), batch.embedding[has[1], part].astype(float)
        x, y = _farthest(old, new)
        axes.plot(old[:, x], old[:, y], ".", color=KNOWN, markersize=POINT / 2, alpha=FAINT, markeredgewidth=0)
        axes.plot(new[:, x], new[:, y], ".", color=NEW, markersize=POINT / 2, alpha=FAINT, markeredgewidth=0)
        for values, colour in ((old, KNOWN), (new, NEW)):
            axes.plot(*values[:, [x, y]].mean(axis=0), "o", color=colour, markersize=POINT, markeredgecolor="white")
        dress(axes, f"{names[part]}: direction {x + 1}", f"direction {y + 1}")
    return _finished(figure, panels[0], title, subtitle)


def _farthest(old: Array, new: Array) -> tuple[int, int]:
    deviation = np.concatenate([old, new]).std(axis=0)
    varies = deviation > FLAT * deviation.max(initial=0)
    apart = np.where(varies, np.abs(old.mean(axis=0) - new.mean(axis=0)) / np.where(varies, deviation, 1), -1)
    first, second = np.argsort(-apart, kind="stable")[:2]
    return int(first), int(second)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    across = min(count, A_ROW)
    down = -(-count // across)
    figure = canvas(max(PANEL_INCH * across, 4.6), 0.8 + 2.5 * down)
    return figure, [figure.add_subplot(down, across, place + 1) for place in range(count)]


def _finished(figure: Figure, first: Axes, title: str, subtitle: str) -> Figure:
    first.plot([], [], color=KNOWN, linewidth=5, label="Reference: validation studies of the package")
    first.plot([], [], color=NEW, linewidth=5, label="This batch")
    entitle(first, title, subtitle)
    for axes in figure.axes:
        axes.tick_params(labelsize=TEXT_POINTS - 1)
    legend_below(figure)
    return figure
