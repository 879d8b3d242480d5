"""Everything that is reported of a set of scores, each number with its n and its interval."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from medmm.errors import DataError
from medmm.evaluation.decision import decide
from medmm.evaluation.intervals import LEVEL, RESAMPLES, Estimate, difference, sample_and_resamples, summarise
from medmm.evaluation.metrics import auroc, average_precision, brier, prevalence, sensitivity, specificity
from medmm.evaluation.tasks import MACRO, check, has_both
from medmm.types import Array, Scores, Task

HEADLINE = "auroc"
"""The metric by which models are compared; its mean over the classes where there are several."""

COUNTED = {"sensitivity": 1, "specificity": 0}
"""Metrics that count only the studies with this target."""


@dataclass(frozen=True)
class Result:
    """One line of an evaluation.

    Attributes:
        metric: `auroc`, `auprc`, `brier`, `sensitivity`, `specificity` or `prevalence`.
        class_name: A class against all others, or `MACRO` for the mean over the classes.
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
    """The results of one set of scores: class by class, then the mean over the classes where there are several."""

    results: tuple[Result, ...]

    @property
    def headline(self) -> Estimate:
        """The estimate by which models are compared."""
        return self.pick(HEADLINE)

    def pick(self, metric: str, class_name: str | None = None) -> Estimate:
        """Give one estimate; without a class the mean over the classes, or that of the only class.

        Raises:
            DataError: There is no such result.
        """
        name = self.results[-1].class_name if class_name is None else class_name
        for result in self.results:
            if (result.metric, result.class_name) == (metric, name):
                return result.estimate
        known = ", ".join(dict.fromkeys(result.metric for result in self.results))
        raise DataError(f"no result {metric!r} of class {name!r}: metrics are {known}; classes are those of the scores")

    def table(self) -> pd.DataFrame:
        """Give one row a result: metric, class, value, low, high, studies, patients, note."""
        return pd.DataFrame([result.row() for result in self.results])


def evaluate(scores: Scores, task: Task, thresholds: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Evaluation:
    """Evaluate scores, with the same resamples for every metric.

    Args:
        scores: Of the test split; prevalence is that of these studies.
        task: What the columns mean.
        thresholds: (C,) chosen on the validation split; empty for a multiclass task.
        resamples: How often patients are drawn anew.
        seed: Of the draws.

    Raises:
        DataError: The scores or thresholds are not of this task.
    """
    check(scores, task)
    decided = decide(scores.probability, thresholds, task)
    weights = sample_and_resamples(scores.patient, resamples, seed)
    values: dict[str, list[Array]] = {}  # metric -> C times (1 + R,)
    results: list[Result] = []
    for column, name in enumerate(scores.classes):
        target = scores.target[:, column]
        for metric, measure in _measures(scores.probability[:, column], target, decided[:, column]).items():
            values.setdefault(metric, []).append(measure(weights))
            results.append(_class_result(metric, name, values[metric][-1], target, scores.patient))
    if len(scores.classes) > 1:
        results += [_macro_result(m, np.stack(v), scores.patient) for m, v in values.items() if m != "prevalence"]
    return Evaluation(tuple(results))


def compare(
    scores_a: Scores, scores_b: Scores, task: Task, resamples: int = RESAMPLES, seed: int = 0, *, level: float = LEVEL
) -> Estimate:
    """Estimate how much higher the headline metric of A is than that of B, on the same studies and resamples.

    Raises:
        DataError: Scores are not of this task, or not of the same studies.
    """
    check(scores_a, task)
    check(scores_b, task)
    return difference(headline, scores_a, scores_b, resamples, seed, level=level)


def headline(scores: Scores, weights: Array) -> Array:
    """Give the headline metric for (R, S) weights: (R,), the mean over the classes with positives and negatives."""
    columns = np.flatnonzero(has_both(scores.target))
    if not columns.size:
        return np.full(len(weights), np.nan)
    return np.asarray(np.mean([auroc(scores.probability[:, c], scores.target[:, c], weights) for c in columns], axis=0))


def _measures(probability: Array, target: Array, decided: Array) -> dict[str, Callable[[Array], Array]]:
    return {
        HEADLINE: partial(auroc, probability, target),
        "auprc": partial(average_precision, probability, target),
        "brier": partial(brier, probability, target),
        "sensitivity": partial(sensitivity, decided, target),
        "specificity": partial(specificity, decided, target),
        "prevalence": partial(prevalence, target),
    }


def _class_result(metric: str, name: str, values: Array, target: Array, patient: Array) -> Result:
    estimate = summarise(values, patient[target == COUNTED[metric]] if metric in COUNTED else patient)
    notes = list(_notes(estimate, len(values) - 1))
    if np.isnan(estimate.value):
        notes = [f"one class only, n = {len(target)}"]
    if metric == "prevalence":
        notes = [f"{int((target == 1).sum())} positive", *notes]
    return Result(metric, name, estimate, "; ".join(notes))


def _macro_result(metric: str, values: Array, patient: Array) -> Result:
    defined = values[np.isfinite(values[:, 0])]  # (c, 1 + R)
    estimate = summarise(defined.mean(axis=0) if len(defined) else values[0], patient)
    notes = list(_notes(estimate, values.shape[1] - 1))
    if len(defined) < len(values):
        notes = [f"mean of {len(defined)} of {len(values)} classes, the others have one class only", *notes]
    return Result(metric, MACRO, estimate, "; ".join(notes))


def _notes(estimate: Estimate, resamples: int) -> Iterator[str]:
    if estimate.low == estimate.high:
        yield "every resample gives this value, so the interval understates the uncertainty"
    if estimate.defined < resamples:
        yield f"defined in {estimate.defined} of {resamples} resamples"
