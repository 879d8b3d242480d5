"""How chapters put a number: with its interval, and with what it rests on."""

from collections.abc import Mapping, Sequence

import numpy as np

from medmm.evaluation.intervals import LEVEL, Estimate
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.yardstick import too_few
from medmm.types import Scores, Task


def told(one: Estimate, digits: int = 2) -> str:
    """Put a number and its interval into words."""
    if np.isnan(one.value):
        return "not defined"
    if np.isnan(one.low):
        return f"{one.value:.{digits}f} (no interval)"
    return f"{one.value:.{digits}f} ({LEVEL:.0%} interval {one.low:.{digits}f} to {one.high:.{digits}f})"


def resting_on(one: Estimate) -> str:
    """Say on how many studies and patients a number rests."""
    return f"{one.studies} studies of {one.patients} patients"


def named(measure: str, class_name: str, classes: Sequence[str]) -> str:
    """Name the measure of a class, for MLflow: without the class where there is only one."""
    return measure if len(classes) == 1 else f"{measure}_{class_name}"


def enough(scores: Scores, task: Task) -> tuple[list[int], tuple[str, ...]]:
    """Give the columns that rest on enough patients, and a sentence for each of the others."""
    short: Mapping[str, str] = too_few(scores, task, MINIMUM)
    columns = [column for column, name in enumerate(scores.classes) if name not in short]
    return columns, tuple(f"{name}: {short[name]}." for name in scores.classes if name in short)
