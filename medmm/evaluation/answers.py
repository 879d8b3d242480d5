"""What the results say of a study: columns and cells, by task.

| task | columns |
| --- | --- |
| classes | `probability_NAME` and `decision_NAME` a class; of grades also `grade`, its name |
| regression | `predicted_NAME`, in the unit of the target |
| survival | `risk_NAME` a horizon |

S studies, C answers.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from medmm.cohort.target import TargetSettings
from medmm.evaluation.decision import decide
from medmm.evaluation.grades import GRADE, grade_of
from medmm.types import CLASS_TASKS, Array

Kind = Literal["double", "boolean", "string"]

PREFIXES = {"regression": "predicted", "survival": "risk"}

CONTRIBUTION_FOR = "contribution_for"
"""Column with the answer that the contributions of inputs speak of, of a model with several."""


def answer_columns(target: TargetSettings) -> dict[str, Kind]:
    """Give the columns of an answer and their types."""
    prefix = PREFIXES.get(target.task, "probability")
    columns: dict[str, Kind] = {f"{prefix}_{name}": "double" for name in target.names}
    if target.task in CLASS_TASKS:
        columns |= {f"decision_{name}": "boolean" for name in target.names}
    return columns | ({GRADE: "string"} if target.task == "ordinal" else {})


def answer_cells(target: TargetSettings, predicted: Array, thresholds: Sequence[float]) -> dict[str, list[float | bool | str]]:
    """Give the cells (S,) of each column of an answer.

    Args:
        target: What is predicted.
        predicted: (S, C)
        thresholds: (C,); empty for a task without them.
    """
    values: list[Array] = list(np.asarray(predicted, np.float64).T)
    if target.task in CLASS_TASKS:
        decided = decide(predicted, thresholds, target.task)
        values += list(decided.T)
        if target.task == "ordinal":
            values.append(np.array(target.classes)[grade_of(decided)])
    return {name: one.tolist() for name, one in zip(answer_columns(target), values, strict=True)}


def contribution_columns(target: TargetSettings, inputs: Iterable[str]) -> dict[str, Kind]:
    """Give the columns of what inputs add, and their types."""
    columns: dict[str, Kind] = {CONTRIBUTION_FOR: "string"} if len(target.names) > 1 else {}
    return columns | dict.fromkeys((f"contribution_{name}" for name in sorted(inputs)), "double")


def foremost(target: TargetSettings, predicted: Array, thresholds: Sequence[float]) -> Array:
    """Choose the answer of each study that a reader asks about: the class that is decided, the highest grade, the last horizon.

    Of several classes that are decided it is the one farthest above its threshold; where none is, the one that comes nearest.

    Args:
        target: What is predicted.
        predicted: (S, C)
        thresholds: (C,); empty for a task without them.

    Returns:
        (S,) columns.
    """
    if target.task not in CLASS_TASKS:
        return np.full(len(predicted), len(target.names) - 1)
    decided = decide(predicted, thresholds, target.task)
    if target.task == "ordinal":
        return np.asarray(np.maximum(0, decided.sum(axis=1) - 1))
    over = predicted - np.asarray(thresholds or np.zeros(len(target.names)))
    return np.asarray(np.where(decided, over + 2, over).argmax(axis=1))  # what is decided comes first
