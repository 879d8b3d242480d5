"""Predicted against true values, and their differences after Bland and Altman.

Source: Bland & Altman, Statistical methods for assessing agreement, Lancet 327 (1986) 307-310.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from medmm.evaluation.canvas import COLOURS, GREY, canvas, counts, dress, entitle, legend_below
from medmm.evaluation.intervals import interval
from medmm.evaluation.tasks import check
from medmm.evaluation.values import METRICS
from medmm.types import Scores, Task

LIMITS = 1.96
"""Standard deviations about the mean difference within which 95 % of differences lie, where they scatter normally."""


def agreement_plot(scores: Scores, task: Task, thresholds: Sequence[float]) -> Figure:
    """Draw each study: predicted against true, and below it the difference against the mean of the two.

    Args:
        scores: Of one split, of a regression.
        task: Regression.
        thresholds: None.

    Raises:
        DataError: The scores are not of this task.
    """
    check(scores, task)
    predicted, true = scores.predicted[:, 0].astype(np.float64), scores.target[:, 0].astype(np.float64)
    difference, middle = predicted - true, (predicted + true) / 2
    figure = canvas(4.6, 7.6)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 2))
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    upper.plot(ends, ends, color=GREY, linewidth=0.8, linestyle=":", label="Predicted is true")
    upper.plot(true, predicted, "o", color=COLOURS[0], markersize=3, alpha=0.6, markeredgewidth=0)
    dress(upper, f"True {scores.classes[0]}", f"Predicted {scores.classes[0]}")
    error = interval(lambda w: METRICS["mae"](predicted, true, w), scores.patient)
    entitle(upper, "Predicted and true values", f"{counts(scores)}, MAE {error}")
    lower.plot(middle, difference, "o", color=COLOURS[0], markersize=3, alpha=0.6, markeredgewidth=0)
    bias, spread = difference.mean(), difference.std(ddof=1) if len(difference) > 1 else 0.0
    lower.axhline(bias, color=COLOURS[1], linewidth=1.2, label=f"Mean difference {bias:.3g}")
    for sign, label in (
        (-1, f"Limits of agreement ±{LIMITS} SD: {bias - LIMITS * spread:.3g}, {bias + LIMITS * spread:.3g}"),
        (1, None),
    ):
        lower.axhline(bias + sign * LIMITS * spread, color=COLOURS[1], linewidth=0.8, linestyle="--", label=label)
    dress(lower, "Mean of predicted and true", "Predicted − true")
    legend_below(figure)
    return figure
