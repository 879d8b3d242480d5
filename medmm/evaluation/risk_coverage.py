"""What is gained by leaving the least sure studies to a human: the error over the share that is answered. S studies, R
resamples.

How sure an answer is: the likeliest class of several by its probability; a decision at a threshold by how far the odds lie from
those of the threshold, as the probability that it would have if the threshold were a half. With a threshold of a half that is
the larger of p and 1 - p.

Source:
    Geifman & El-Yaniv, Selective classification for deep neural networks, NeurIPS 2017; Geifman, Uziel & El-Yaniv, Bias-reduced
    uncertainty estimation for deep neural classifiers, ICLR 2019: the area under the risk-coverage curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit

from medmm.evaluation.calibration_slope import logits_of
from medmm.evaluation.canvas import BAND_OPACITY, GREY, canvas, dress, entitle, legend_below, line_of
from medmm.evaluation.decision import decide
from medmm.evaluation.intervals import LEVEL, Estimate, summarise
from medmm.evaluation.metrics import by_blocks
from medmm.types import Array, Scores, Task

COVERAGES = (1.0, 0.9, 0.8, 0.5)
"""Shares of the studies that are answered, at which the accuracy is told."""

GRID = np.arange(5, 101) / 100
"""Coverages of the figure; below the first, single studies steer the curve."""

EVERY_CLASS = "every class"
"""Stands where a class's name would, for the likeliest of several."""


@dataclass(frozen=True)
class Answered:
    """Decisions of one class, or of the likeliest of several.

    Attributes:
        name: Of the class.
        sure: (S,) how sure each is; only the order counts.
        wrong: (S,) bool.
        patient: (S,)
    """

    name: str
    sure: Array
    wrong: Array
    patient: Array


def decisions(scores: Scores, task: Task, thresholds: Sequence[float]) -> list[Answered]:
    """Give what is decided, how surely, and whether rightly: one a class, of a multiclass task one in all.

    Raises:
        DataError: The thresholds are not of this task.
    """
    decided = decide(scores.predicted, thresholds, task)
    if task == "multiclass":
        wrong = (decided & (scores.target == 0)).any(axis=1)
        return [Answered(EVERY_CLASS, scores.predicted.max(axis=1).astype(np.float64), wrong, scores.patient)]
    found = []
    for column, name in enumerate(scores.classes):
        away = logits_of(scores.predicted[:, column]) - logits_of(np.array(thresholds[column]))
        wrong = decided[:, column] != (scores.target[:, column] == 1)
        found.append(Answered(name, expit(np.abs(away)), wrong, scores.patient))
    return found


def selective_risk(sure: Array, wrong: Array, coverages: Array, weights: Array) -> Array:
    """Give the share of wrong decisions among the surest, at least as many as each coverage asks for.

    Args:
        sure: (S,)
        wrong: (S,) bool.
        coverages: (G,) above 0 to 1.
        weights: (R, S) >= 0, none of them all 0.

    Returns:
        (R, G); studies that are equally sure are answered together.
    """

    def risk(block: Array) -> Array:
        answered, missed = _cumulated(sure, wrong, block)
        need = coverages * answered[:, [-1]] * (1 - 1e-12)  # (r, G)
        place = np.stack([np.searchsorted(row, own) for row, own in zip(answered, need, strict=True)])
        return np.take_along_axis(missed / np.maximum(answered, 1e-300), place, axis=1)

    return by_blocks(risk, weights)


def risk_area(sure: Array, wrong: Array, weights: Array) -> Array:
    """Give the area under the risk-coverage curve (R,): the mean error over all coverages, 0 best.

    The error of equally sure studies is that of all of them together with the surer ones. Where sureness says nothing, the
    area is the share of wrong decisions.
    """

    def area(block: Array) -> Array:
        answered, missed = _cumulated(sure, wrong, block)
        steps = np.diff(answered, axis=1, prepend=0)
        return np.asarray((steps * missed / np.maximum(answered, 1e-300)).sum(axis=1) / answered[:, -1])

    return by_blocks(area, weights)


def accuracy_at(one: Answered, weights: Array) -> dict[float, Estimate]:
    """Give the accuracy at each of `COVERAGES`, with its interval; n counts all studies, answered or not."""
    right = 1 - selective_risk(one.sure, one.wrong, np.array(COVERAGES), weights)
    return {coverage: summarise(right[:, i], one.patient) for i, coverage in enumerate(COVERAGES)}


def risk_coverage_plot(answered: Sequence[Answered], weights: Array, title: str, subtitle: str) -> Figure:
    """Draw the error of the studies that are answered over their share.

    Args:
        answered: One of each class.
        weights: (1 + R, S), the studies as they are, then the resamples.
        title: Of the figure.
        subtitle: What it rests on.
    """
    figure = canvas(5.2, 4.4)
    axes = figure.add_subplot()
    top = 0.02
    for column, one in enumerate(answered):
        line = line_of(column)
        curves = selective_risk(one.sure, one.wrong, GRID, weights)
        low, high = np.quantile(curves[1:], ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
        axes.plot(GRID, curves[0], color=line.colour, linestyle=line.style, linewidth=1.6, label=one.name)
        axes.fill_between(GRID, low, high, color=line.colour, alpha=BAND_OPACITY, linewidth=0)
        axes.axhline(curves[0, -1], color=line.colour, linewidth=0.8, linestyle=":")
        top = max(top, float(high.max()))
    axes.set(xlim=(0, 1.01), ylim=(0, min(1.0, 1.08 * top)))
    dress(axes, "Share of studies that are answered, the surest first", "Share of wrong answers among them")
    entitle(axes, title, subtitle)
    axes.plot([], [], color=GREY, linewidth=0.8, linestyle=":", label="Left out at random")
    axes.plot([], [], " ", label=f"Bands: {LEVEL:.0%} intervals at each share, by patient")
    legend_below(figure)
    return figure


def _cumulated(sure: Array, wrong: Array, block: Array) -> tuple[Array, Array]:
    """Count (r, G) the answered, and the wrong of them, at or above each distinct sureness, the surest first."""
    order = np.argsort(-sure, kind="stable")
    last = np.flatnonzero(np.append(np.diff(sure[order]) != 0, True))
    counted = block[:, order].astype(np.float64)
    return np.cumsum(counted, axis=1)[:, last], np.cumsum(counted * wrong[order], axis=1)[:, last]
