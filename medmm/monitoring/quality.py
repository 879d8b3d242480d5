"""When the truth comes in: is a model in use still calibrated, and does it still tell studies apart?

What is expected of calibration is what it was on the package's validation studies, with the errors of both; where a package of
an older version does not say that, slope 1 and 0 in the large, of risks no excess. The headline metric is expected to be that
of the package's test studies. All alarms together are false in at most `alpha` of batches: each of m checks is made at
alpha / m (Bonferroni), by a test that holds for few studies, not by the interval beside it. N studies, C answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medmm.cohort.target import TargetSettings
from medmm.errors import DataError, Rejected
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.intervals import LEVEL, RESAMPLES, Estimate, sample_and_resamples, summarise
from medmm.evaluation.results import Result
from medmm.evaluation.standing import PERFECT, Measure, Standing, calibration_measures
from medmm.evaluation.yardstick import YARDSTICKS, too_few
from medmm.package import Package
from medmm.types import Array, Scores

LEAST_OUTCOME = 15
"""Patients of each outcome that a check rests on; with fewer, numbers are given without a verdict."""


@dataclass(frozen=True)
class Check:
    """One number that is held against what is expected.

    Attributes:
        metric: `slope`, `in_the_large` or `excess`, or the headline metric of the task.
        class_name: Of the answer.
        estimate: With its 95 % interval.
        expected: Value: of the validation studies, or the best there is; of the headline metric that of the test studies.
        alarm: Whether it is off; None where there are too few patients to tell, or nothing to compare with.
        why: What the verdict rests on.
    """

    metric: str
    class_name: str
    estimate: Estimate
    expected: float
    alarm: bool | None
    why: str


@dataclass(frozen=True)
class Quality:
    """What the truth says.

    Attributes:
        scores: Of the studies whose truth is known.
        checks: Those that can raise an alarm.
        results: All metrics with intervals.
        unknown: Scored studies without a label.
        unreadable: Labels that are not of the target, and count as none.
    """

    scores: Scores
    checks: tuple[Check, ...]
    results: tuple[Result, ...]
    unknown: int
    unreadable: int


def labels_of(table: Mapping[str, Sequence[str]], target: TargetSettings, study: str) -> tuple[dict[str, Any], int]:
    """Read the truth.

    Args:
        table: Column -> cells.
        target: What is predicted, in which columns.
        study: Column of the study's identifier.

    Returns:
        Study -> its label (T,), and how many could not be read.

    Raises:
        DataError: A column is missing, or a study has two labels.
    """
    missing = [name for name in (study, *target.columns) if name not in table]
    if missing:
        raise DataError(f"the labels lack the column {', '.join(missing)}: give a table with {study} and the target's columns")
    found: dict[str, Any] = {}
    unreadable = 0
    for name, *cells in zip(table[study], *(table[one] for one in target.columns), strict=True):
        try:
            label = target.encode(*cells)
        except Rejected:
            unreadable += 1
            continue
        if label is not None and found.setdefault(name, label) != label:
            raise DataError("a study has two labels that differ: give each study one row")
    return found, unreadable


def judge_quality(
    package: Package,
    study: Array,
    patient: Array,
    answers: Array,
    labels: Mapping[str, Any],
    alpha: float,
    unreadable: int = 0,
    resamples: int = RESAMPLES,
) -> Quality | None:
    """Hold answers against the truth.

    Args:
        package: The model.
        study: (N,) identifiers.
        patient: (N,) whole numbers.
        answers: (N, C)
        labels: Study -> truth.
        alpha: Chance of any false alarm.
        unreadable: Labels that could not be read.
        resamples: Of patients, for the intervals.

    Returns:
        None where no study has a label.
    """
    has = np.array([one in labels for one in study], bool)
    if not has.any():
        return None
    truth = np.array([labels[one] for one in study[has]], np.float64)
    target = package.target
    scores = Scores(target.names, answers[has], truth, patient[has], {}, target.horizons)
    weights = sample_and_resamples(scores.patient, resamples, 0)
    evaluation = evaluate(scores, target.task, package.thresholds, resamples)
    short = too_few(scores, target.task, LEAST_OUTCOME)
    measures = list(calibration_measures(scores, target.task))
    count = sum(one.class_name not in short for one in measures) + (not short)
    known = {(one.metric, one.class_name): one for one in (() if package.references is None else package.references.standing)}
    checks = [
        _calibrated(scores, one, weights, known.get((one.metric, one.class_name)), alpha / max(1, count), short)
        for one in measures
    ]
    last = next(one for one in reversed(evaluation.results) if one.metric == evaluation.metric)
    checks.append(_as_good_as_known(package, last, alpha / max(1, count), short))
    return Quality(scores, tuple(checks), evaluation.results, int((~has).sum()), unreadable)


def _calibrated(
    scores: Scores, one: Measure, weights: Array, known: Standing | None, alpha: float, short: Mapping[str, str]
) -> Check:
    estimate = summarise(one.of(weights), scores.patient, LEVEL, one.rests_on)
    expected, error = (PERFECT[one.metric], 0.0) if known is None else (known.value, known.error)
    if one.class_name in short:
        return Check(one.metric, one.class_name, estimate, expected, None, short[one.class_name])
    p = one.at(expected).p(error)
    if not np.isfinite([estimate.value, p]).all():
        return Check(one.metric, one.class_name, estimate, expected, None, "not defined here")
    than = f"{expected:g}, for the package does not say what it was at validation"
    if known is not None:
        than = f"{known}, at validation ({known.studies:,} studies of {known.patients:,} patients)"
    return Check(one.metric, one.class_name, estimate, expected, p <= alpha, f"p = {p:.2g} for another value than {than}")


def _as_good_as_known(package: Package, found: Result, alpha: float, short: Mapping[str, str]) -> Check:
    """Compare the headline metric with that of the package's test studies, as two independent samples; a fall is an alarm."""
    from scipy.stats import norm

    known = _known(package, found)
    if known is None:
        return Check(found.metric, found.class_name, found.estimate, np.nan, None, "the package says nothing to compare with")
    if short:
        return Check(found.metric, found.class_name, found.estimate, known[0], None, next(iter(short.values())))
    error = float(np.hypot(found.estimate.high - found.estimate.low, known[2] - known[1])) / (2 * norm.ppf((1 + LEVEL) / 2))
    if not error > 0:
        return Check(found.metric, found.class_name, found.estimate, known[0], None, "not defined here")
    p = float(norm.cdf((found.estimate.value - known[0]) / error))
    words = f"p = {p:.2g} for a fall below the test studies' {known[0]:.3f} [{known[1]:.3f}, {known[2]:.3f}]"
    return Check(found.metric, found.class_name, found.estimate, known[0], p <= alpha, words)


def _known(package: Package, found: Result) -> tuple[float, float, float] | None:
    """Give what the package says of its test studies: value and limits."""
    rows = package.facts.get("results", []) if isinstance(package.facts, dict) else []
    assert YARDSTICKS[package.target.task].metric == found.metric
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and (row.get("metric"), row.get("class")) == (found.metric, found.class_name):
            values = [one for one in map(row.get, ("value", "low", "high")) if isinstance(one, float | int)]
            if len(values) == len(("value", "low", "high")):
                return float(values[0]), float(values[1]), float(values[2])
    return None
