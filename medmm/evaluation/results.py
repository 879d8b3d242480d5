"""The lines of an evaluation, each number with its n and its interval. S studies, R resamples."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from medmm.errors import DataError
from medmm.evaluation.intervals import Estimate, summarise
from medmm.types import Array

BIASED = frozenset({"auprc"})
"""Metrics that are too high in small samples: simulated intervals of 40 patients held the truth in 91 % without this, in 93 %
with it."""


@dataclass(frozen=True)
class Result:
    """One line of an evaluation.

    Attributes:
        metric: Such as `auroc`, `brier`, `kappa`, `mae` or `c_index`.
        class_name: Column of the answers, or `MACRO` for the mean over the classes.
        estimate: The number with its interval and n.
        note: What a reader must know beside it; empty where there is nothing.
    """

    metric: str
    class_name: str
    estimate: Estimate
    note: str = ""

    def row(self) -> dict[str, object]:
        """Give the line as cells of a table."""
        estimate = self.estimate
        return {
            "metric": self.metric,
            "class": self.class_name,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "studies": estimate.studies,
            "patients": estimate.patients,
            "note": self.note,
        }


@dataclass(frozen=True)
class Evaluation:
    """The results of one set of scores.

    Attributes:
        results: Column by column, then the mean over the classes where there are several.
        metric: The one by which models are compared.
    """

    results: tuple[Result, ...]
    metric: str

    @property
    def headline(self) -> Estimate:
        """The estimate by which models are compared."""
        return self.pick(self.metric)

    def pick(self, metric: str, class_name: str | None = None) -> Estimate:
        """Give one estimate; without a class the last of its metric: the mean over the classes, or that of the only column.

        Raises:
            DataError: There is no such result.
        """
        for result in reversed(self.results):
            if result.metric == metric and class_name in (None, result.class_name):
                return result.estimate
        name = self.results[-1].class_name if class_name is None else class_name
        known = ", ".join(dict.fromkeys(result.metric for result in self.results))
        raise DataError(f"no result {metric!r} of class {name!r}: metrics are {known}; classes are those of the scores")

    def table(self) -> pd.DataFrame:
        """Give one row a result: metric, class, value, low, high, studies, patients, note."""
        return pd.DataFrame([result.row() for result in self.results])


def result_of(metric: str, name: str, values: Array, patient: Array, *notes: str, rests_on: int | None = None) -> Result:
    """Give the line of a value and its resamples.

    Args:
        metric: What it is.
        name: Column of the answers.
        values: (1 + R,) the value, then that of each resample; NaN where undefined.
        patient: (n,) patients of the studies that it counts.
        notes: What a reader must know beside it.
        rests_on: Patients on whom the value rests, where these are fewer.
    """
    estimate = summarise(values, patient, rests_on=rests_on, biased=metric in BIASED)
    return Result(metric, name, estimate, "; ".join([*notes, *_notes(estimate, len(values) - 1)]))


def _notes(estimate: Estimate, resamples: int) -> Iterator[str]:
    if estimate.low == estimate.high:
        yield "every resample gives this value, so the interval understates the uncertainty"
    if estimate.defined < resamples:
        yield f"defined in {estimate.defined} of {resamples} resamples"
