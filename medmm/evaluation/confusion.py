"""Confusion matrices: what was decided for which truth."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medmm.evaluation.canvas import TEXT_POINTS, TITLE_POINTS, canvas, counts
from medmm.evaluation.decision import decide
from medmm.evaluation.grades import grade_of
from medmm.evaluation.tasks import check
from medmm.types import Array, Scores, Task

PANELS_A_ROW = 3
DARK = 0.7
"""Share above which the text on a cell is white."""


def confusion_plot(scores: Scores, task: Task, thresholds: Sequence[float]) -> Figure:
    """Draw the decisions against the truth: counts, and the share of the row, which also shades the cell.

    A multiclass task gives one matrix of all classes, the others a matrix of two rows for each class; grades give both.

    Args:
        scores: Of one split.
        task: What the columns mean.
        thresholds: (C,); empty for a multiclass task.

    Raises:
        DataError: The scores or thresholds are not of this task.
    """
    check(scores, task)
    decided = decide(scores.predicted, thresholds, task)
    panels = []  # title, labels, matrix
    if task == "multiclass":
        matrix = confusion_matrix(scores.target.argmax(axis=1), decided.argmax(axis=1), len(scores.classes))
        panels.append(("Decided for the likeliest class", scores.classes, matrix))
    if task == "ordinal":
        grades = ("below", *scores.classes)
        matrix = confusion_matrix(grade_of(scores.target), grade_of(decided), len(grades))
        panels.append(("The grade as a whole", grades, matrix))
    for column, (name, threshold) in enumerate(zip(scores.classes, thresholds, strict=False)):
        matrix = confusion_matrix(scores.target[:, column].astype(int), decided[:, column].astype(int), 2)
        panels.append((f"Decided at probability ≥ {threshold:.3f}", (f"not {name}", name), matrix))
    rows, columns = -(-len(panels) // PANELS_A_ROW), min(len(panels), PANELS_A_ROW)
    side = max(3.2, 0.9 * len(panels[0][1]) + 1.4)
    figure = canvas(side * columns + 0.4, side * rows + 1)
    for axes, panel in zip(figure.subplots(rows, columns, squeeze=False).flat, panels, strict=False):
        _draw(axes, *panel)
    for axes in figure.axes[len(panels) :]:
        axes.set_visible(False)
    figure.suptitle(f"Confusion matrix\n{counts(scores)}", x=0.02, ha="left", fontsize=TITLE_POINTS, fontweight="bold")
    return figure


def confusion_matrix(truth: Array, decision: Array, classes: int) -> Array:
    """Count the studies of each pair of classes.

    Args:
        truth: (S,) class numbers from 0.
        decision: (S,) class numbers from 0.
        classes: C.

    Returns:
        (C, C) counts, a row a truth, a column a decision.
    """
    return np.bincount(truth * classes + decision, minlength=classes * classes).reshape(classes, classes)


def _draw(axes: Axes, title: str, labels: Sequence[str], matrix: Array) -> None:
    total = matrix.sum(axis=1, keepdims=True)
    share = matrix / np.maximum(total, 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(matrix):
        colour = "white" if share[row, column] > DARK else "black"
        text = f"{number:,}\n{share[row, column]:.1%}" if total[row, 0] else "no study"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=TEXT_POINTS)
    ticks = range(len(labels))
    axes.set_xticks(ticks, labels, fontsize=TEXT_POINTS, rotation=30 if len(labels) > 2 else 0, ha="center")
    axes.set_yticks(ticks, labels, fontsize=TEXT_POINTS, rotation=90 if len(labels) == 2 else 0, va="center")
    axes.set_xlabel("Decision", fontsize=TEXT_POINTS)
    axes.set_ylabel("Truth", fontsize=TEXT_POINTS)
    axes.set_title(title, loc="left", fontsize=TEXT_POINTS)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
