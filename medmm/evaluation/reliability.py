"""Reliability diagram: do as many fall ill as the model says?"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest

from medmm.evaluation.canvas import GREY, canvas, counts, dots, dress, entitle, legend_below, line_of
from medmm.evaluation.decision import decide
from medmm.evaluation.intervals import LEVEL, Estimate, interval
from medmm.evaluation.metrics import brier
from medmm.evaluation.tasks import check
from medmm.types import Array, Scores, Task

BINS = 10
"""Groups of predictions, as equal in size as ties allow."""

STUDIES_PER_BIN = 20
"""With fewer studies than this in a bin its interval spans half the axis; fewer bins are drawn instead."""

HISTOGRAM_EDGES = [step / 40 for step in range(41)]


def reliability_plot(scores: Scores, task: Task, thresholds: Sequence[float]) -> Figure:
    """Draw the observed against the predicted share of positives, and below it how the predictions are spread.

    Bars are Wilson intervals, which take the studies of a bin as independent; where patients have many studies they are too
    short. Dotted lines mark the thresholds.

    Args:
        scores: Of one split.
        task: What the columns mean.
        thresholds: (C,); empty for a multiclass task.

    Raises:
        DataError: The scores or thresholds are not of this task.

    Source:
        Wilson, Probable inference, J. Am. Stat. Assoc. 22 (1927) 209-212.
    """
    check(scores, task)
    decide(scores.predicted, thresholds, task)
    figure = canvas(4.6, 6.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":", label="Perfect calibration")
    subtitle = counts(scores)
    for column, name in enumerate(scores.classes):
        score = f"Brier {_brier(scores, column)}"
        if len(scores.classes) == 1:
            subtitle = f"{subtitle}, {score}"
        _draw_class(upper, lower, column, name if len(scores.classes) == 1 else f"{name}: {score}", scores)
    for column, threshold in enumerate(thresholds):
        lower.axvline(threshold, color=line_of(column).colour, linewidth=0.8, linestyle=":")
    upper.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    dress(upper, "", "Observed share of positives")
    dress(lower, "Predicted probability", "Studies")
    entitle(upper, "Reliability", subtitle)
    upper.plot([], [], " ", label=f"Bars: {LEVEL:.0%} Wilson intervals")
    legend_below(figure)
    return figure


def reliability_bins(probability: Array, target: Array) -> Array:
    """Group predictions into quantile bins; equal predictions stay together.

    Args:
        probability: (S,)
        target: (S,) of 0 and 1.

    Returns:
        (K, 4) mean prediction, observed share of positives, and the lower and upper limit of the share, K <= `BINS`.
    """
    bin_of = quantile_bins(probability, int(np.clip(len(probability) // STUDIES_PER_BIN, 1, BINS)))
    rows = []
    for index in np.unique(bin_of):
        outcome = target[bin_of == index]
        limits = binomtest(int(outcome.sum()), len(outcome)).proportion_ci(LEVEL, method="wilson")
        rows.append((probability[bin_of == index].mean(), outcome.mean(), limits.low, limits.high))
    return np.array(rows)


def quantile_bins(values: Array, count: int) -> Array:
    """Give the number (S,) of the bin of each value, 0 to `count` - 1, by the middle rank of equal values."""
    ranked = np.sort(values)
    twice_rank = np.searchsorted(ranked, values, "left") + np.searchsorted(ranked, values, "right")
    return np.asarray(twice_rank * count // (2 * len(values)))


def _brier(scores: Scores, column: int) -> Estimate:
    return interval(partial(brier, scores.predicted[:, column], scores.target[:, column]), scores.patient)


def _draw_class(upper: Axes, lower: Axes, column: int, label: str, scores: Scores) -> None:
    probability, target, line = scores.predicted[:, column], scores.target[:, column], line_of(column)
    predicted, observed, low, high = reliability_bins(probability, target).T
    dots(upper, predicted, observed, np.stack([observed - low, high - observed]), label, line)
    lower.hist(probability, HISTOGRAM_EDGES, histtype="step", linewidth=1.2, color=line.colour, linestyle=line.style)
