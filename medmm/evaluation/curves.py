"""ROC and precision-recall curves, one a class, each with the band that resampling patients gives.

Letters: S studies, R resamples, G distinct probabilities, P points of the band.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medmm.evaluation.canvas import BAND_OPACITY, GREY, canvas, counts, dress, entitle, legend_below, line_of
from medmm.evaluation.decision import decide
from medmm.evaluation.intervals import LEVEL, RESAMPLES, sample_and_resamples, summarise
from medmm.evaluation.metrics import Metric, auroc, average_precision, by_blocks, cumulative_counts, patients_behind
from medmm.evaluation.results import BIASED
from medmm.evaluation.tasks import check, has_both
from medmm.types import Array, Scores, Task

POINTS = np.linspace(0, 1, 101)
"""Where the band is computed: every hundredth of the horizontal axis."""

Curve: TypeAlias = Callable[[Array, Array], tuple[Array, Array, Array]]
"""(G,) true and false positives -> the corners of the curve, x and y, and its (P,) height at `POINTS`."""


@dataclass(frozen=True)
class _Kind:
    metric_name: str
    metric: Metric
    curve: Curve
    drawstyle: Literal["default", "steps-pre"]


def roc_plot(scores: Scores, task: Task, thresholds: Sequence[float]) -> Figure:
    """Draw sensitivity against 1 - specificity with a pointwise band; a dot marks each decision.

    Args:
        scores: Of one split.
        task: What the columns mean.
        thresholds: (C,); empty for a multiclass task.

    Raises:
        DataError: The scores or thresholds are not of this task.
    """
    figure, axes = _square("1 − specificity", "Sensitivity")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":", label="Chance")
    for colour, positive, called in _draw_classes(axes, scores, task, thresholds, ROC):
        _mark(axes, colour, called[~positive].mean(), called[positive].mean())
    return _finished(figure, axes, "Receiver operating characteristic", scores)


def pr_plot(scores: Scores, task: Task, thresholds: Sequence[float]) -> Figure:
    """Draw precision against recall in steps with a pointwise band; a dotted line marks each prevalence, a dot each decision.

    Args:
        scores: Of one split.
        task: What the columns mean.
        thresholds: (C,); empty for a multiclass task.

    Raises:
        DataError: The scores or thresholds are not of this task.
    """
    figure, axes = _square("Recall (sensitivity)", "Precision (positive predictive value)")
    for colour, positive, called in _draw_classes(axes, scores, task, thresholds, PRECISION_RECALL):
        label = f"Prevalence {positive.mean():.3f}" if len(scores.classes) == 1 else None
        axes.axhline(positive.mean(), color=colour, linewidth=0.8, linestyle=":", label=label)
        if called.any():
            _mark(axes, colour, called[positive].mean(), positive[called].mean())
    return _finished(figure, axes, "Precision and recall", scores)


def sensitivity_at(true: Array, false: Array) -> tuple[Array, Array, Array]:
    """Give a ROC curve and the upper end of it at `POINTS`, straight between its corners.

    Args:
        true: (G,) true positives at or above each distinct probability, the highest first.
        false: (G,) false positives.

    Returns:
        (1 + G,) 1 - specificity, (1 + G,) sensitivity, (P,) sensitivity at `POINTS`.
    """
    x = np.concatenate([[0], false]) / false[-1]
    y = np.concatenate([[0], true]) / true[-1]
    return x, y, np.interp(POINTS, x, y)


def precision_at(true: Array, false: Array) -> tuple[Array, Array, Array]:
    """Give a precision-recall curve, in steps that hold up to their recall, and its precision at `POINTS`.

    Args:
        true: (G,) true positives at or above each distinct probability, the highest first.
        false: (G,) false positives.

    Returns:
        (1 + G,) recall, (1 + G,) precision, (P,) precision at `POINTS`.
    """
    kept = true > 0
    recall = true[kept] / true[-1]
    precision = true[kept] / (true[kept] + false[kept])
    x, y = np.concatenate([[0], recall]), np.concatenate([precision[:1], precision])
    return x, y, y[np.searchsorted(x, POINTS)]


ROC = _Kind("AUROC", auroc, sensitivity_at, "default")
PRECISION_RECALL = _Kind("AUPRC", average_precision, precision_at, "steps-pre")


def _draw_classes(
    axes: Axes, scores: Scores, task: Task, thresholds: Sequence[float], kind: _Kind
) -> Iterator[tuple[str, Array, Array]]:
    """Draw a curve a class, and give the colour, (S,) truth and (S,) decision of each that has one."""
    check(scores, task)
    decided = decide(scores.predicted, thresholds, task)
    weights = sample_and_resamples(scores.patient, RESAMPLES, seed=0)
    for column, (name, defined) in enumerate(zip(scores.classes, has_both(scores.target), strict=True)):
        probability, target, line = scores.predicted[:, column], scores.target[:, column], line_of(column)
        prefix = f"{name}: " if len(scores.classes) > 1 else ""
        if not defined:
            label = f"{prefix}one class only, n = {len(target)}"
            axes.plot([], [], label=label, color=line.colour, linestyle=line.style)
            continue
        true, false = cumulative_counts(probability, target, weights[:1])
        x, y, _ = kind.curve(true[0], false[0])
        metric, drawn = kind.metric_name.lower(), kind.metric(probability, target, weights)
        rests_on = patients_behind(metric, target, scores.patient)
        estimate = summarise(drawn, scores.patient, rests_on=rests_on, biased=metric in BIASED)
        label = f"{prefix}{kind.metric_name} {estimate}"
        axes.plot(x, y, label=label, drawstyle=kind.drawstyle, linewidth=1.6, color=line.colour, linestyle=line.style)
        low, high = _band(probability, target, weights[1:], kind.curve)
        axes.fill_between(POINTS, low, high, color=line.colour, alpha=BAND_OPACITY, linewidth=0)
        yield line.colour, target == 1, decided[:, column]


def _band(probability: Array, target: Array, weights: Array, curve: Curve) -> Array:
    def curves(block: Array) -> Array:
        pairs = zip(*cumulative_counts(probability, target, block), strict=True)
        rows = [curve(true, false)[2] for true, false in pairs if true[-1] > 0 and false[-1] > 0]
        return np.array(rows).reshape(-1, len(POINTS))

    return np.asarray(np.quantile(by_blocks(curves, weights), ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0))  # (2, P)


def _square(x: str, y: str) -> tuple[Figure, Axes]:
    figure = canvas(4.6, 5.1)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    dress(axes, x, y)
    return figure, axes


def _mark(axes: Axes, colour: str, x: float, y: float) -> None:
    axes.plot([x], [y], "o", color=colour, markersize=7, markeredgecolor="white", zorder=5)


def _finished(figure: Figure, axes: Axes, title: str, scores: Scores) -> Figure:
    entitle(axes, title, counts(scores))
    axes.plot([], [], "o", color=GREY, markersize=6, label="Decision")
    axes.plot([], [], " ", label=f"Brackets and bands: {LEVEL:.0%} intervals, patients resampled")
    legend_below(figure)
    return figure
