"""Everything that is reported of a set of scores, each number with its n and its interval."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from scipy.stats import binomtest

from medmm.evaluation.decision import decide
from medmm.evaluation.grades import grade_results
from medmm.evaluation.intervals import LEVEL, RESAMPLES, Estimate, difference, sample_and_resamples, summarise
from medmm.evaluation.metrics import auroc, average_precision, brier, patients_behind, prevalence, sensitivity, specificity
from medmm.evaluation.results import Evaluation, Result, result_of
from medmm.evaluation.survival import survival_results
from medmm.evaluation.tasks import MACRO, check
from medmm.evaluation.values import value_results
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.types import Array, Scores, Task

COUNTED = {"sensitivity": 1, "specificity": 0}
"""Metrics that count only the studies with this target."""


SHARES = ("sensitivity", "specificity", "prevalence")

CERTAIN = "the same in every resample, so the interval is Wilson's, a patient counting once"


def evaluate(scores: Scores, task: Task, thresholds: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Evaluation:
    """Evaluate scores, with the same resamples for every metric.

    Args:
        scores: Of the test split; prevalence is that of these studies.
        task: What the columns mean.
        thresholds: (C,) chosen on the validation split; empty for a task without them.
        resamples: How often patients are drawn anew.
        seed: Of the draws.

    Raises:
        DataError: The scores or thresholds are not of this task.
    """
    check(scores, task)
    weights = sample_and_resamples(scores.patient, resamples, seed)
    if task == "regression":
        results = value_results(scores, weights)
    elif task == "survival":
        results = survival_results(scores, weights)
    else:
        results = _class_results(scores, task, thresholds, weights)
    return Evaluation(tuple(results), YARDSTICKS[task].metric)


def compare(
    scores_a: Scores, scores_b: Scores, task: Task, resamples: int = RESAMPLES, seed: int = 0, *, level: float = LEVEL
) -> Estimate:
    """Estimate how much higher the headline metric of A is than that of B, on the same studies and resamples.

    Raises:
        DataError: Scores are not of this task, or not of the same studies.
    """
    check(scores_a, task)
    check(scores_b, task)
    yardstick = YARDSTICKS[task]
    return difference(yardstick.of, scores_a, scores_b, resamples, seed, level=level, rests_on=yardstick.rests_on(scores_a))


def _class_results(scores: Scores, task: Task, thresholds: Sequence[float], weights: Array) -> Iterator[Result]:
    decided = decide(scores.predicted, thresholds, task)
    values: dict[str, list[Array]] = {}  # metric -> C times (1 + R,)
    for column, name in enumerate(scores.classes):
        target = scores.target[:, column]
        for metric, measure in _measures(scores.predicted[:, column], target, decided[:, column]).items():
            values.setdefault(metric, []).append(measure(weights))
            yield _class_result(metric, name, values[metric][-1], target, scores.patient)
    if task == "ordinal":
        yield from grade_results(scores, decided, weights)
    if len(scores.classes) > 1:
        for metric, of_classes in values.items():
            if metric != "prevalence":
                yield _macro_result(metric, np.stack(of_classes), scores)


def _measures(probability: Array, target: Array, decided: Array) -> dict[str, Callable[[Array], Array]]:
    return {
        "auroc": partial(auroc, probability, target),
        "auprc": partial(average_precision, probability, target),
        "brier": partial(brier, probability, target),
        "sensitivity": partial(sensitivity, decided, target),
        "specificity": partial(specificity, decided, target),
        "prevalence": partial(prevalence, target),
    }


def _class_result(metric: str, name: str, values: Array, target: Array, patient: Array) -> Result:
    counted = patient[target == COUNTED[metric]] if metric in COUNTED else patient
    if np.isnan(values[0]):
        return Result(metric, name, summarise(values, counted), f"one class only, n = {len(target)}")
    notes = [f"{int((target == 1).sum())} positive"] if metric == "prevalence" else []
    rests_on = patients_behind(metric, target, patient)
    if metric in SHARES and (values == values[0]).all():
        return Result(metric, name, _certain(float(values[0]), counted, len(values) - 1), "; ".join([*notes, CERTAIN]))
    return result_of(metric, name, values, counted, *notes, rests_on=rests_on)


def _certain(value: float, patient: Array, resamples: int) -> Estimate:
    """Give a share of none or all, which resamples cannot tell the uncertainty of, with the interval of Wilson (1927)."""
    patients = len(np.unique(patient))
    limits = binomtest(round(value * patients), patients).proportion_ci(LEVEL, method="wilson")
    return Estimate(value, float(limits.low), float(limits.high), len(patient), patients, resamples)


def _macro_result(metric: str, values: Array, scores: Scores) -> Result:
    kept = np.isfinite(values[:, 0])
    defined = values[kept]  # (c, 1 + R)
    notes = [] if kept.all() else [f"mean of {kept.sum()} of {len(kept)} classes, the others have one class only"]
    rests_on = min((patients_behind(metric, target, scores.patient) for target in scores.target.T[kept]), default=None)
    drawn = defined.mean(axis=0) if len(defined) else values[0]
    return result_of(metric, MACRO, drawn, scores.patient, *notes, rests_on=rests_on)
