"""What a model is worth at its fixed thresholds: rates, predictive values and likelihood ratios. S studies, C classes, R
resamples.

Each number has two intervals. The first draws patients anew; it has no width where all or none of the studies are decided
alike. The second is Wilson's for shares and that of the logarithm for likelihood ratios; both count studies as independent,
so their n is first divided by the design effect: how much more a share varies from patients to patients than from as many
independent studies, as the studies themselves show it.

Simulated, 500 cohorts of 100 patients with three studies each: the 95 % intervals by patient held the truth in 93.4 (negative
predictive value) to 94.4 % (positive predictive value, likelihood ratio of a negative answer).

Source:
    Wilson, Probable inference, J. Am. Stat. Assoc. 22 (1927) 209-212.
    Kish, Survey Sampling (1965), section 8.2: the design effect; Rao & Scott, A simple method for the analysis of clustered
    binary data, Biometrics 48 (1992) 577-585: its estimate, and n divided by it.
    Simel, Samsa & Matchar, Likelihood ratios with confidence, J. Clin. Epidemiol. 44 (1991) 763-770.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from medmm.evaluation.decision import decide
from medmm.evaluation.intervals import LEVEL, RESAMPLES, Estimate, sample_and_resamples, summarise
from medmm.evaluation.metrics import by_blocks
from medmm.evaluation.tasks import check
from medmm.types import Array, Scores, Task

SHARES: Mapping[str, tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array]]] = {
    "sensitivity": (lambda called, _: called, lambda _, ill: ill),
    "specificity": (lambda called, _: ~called, lambda _, ill: ~ill),
    "ppv": (lambda _, ill: ill, lambda called, _: called),
    "npv": (lambda _, ill: ~ill, lambda called, _: ~called),
}
"""Share -> which studies have it, and among which it is counted, by whether they are called and are positive."""


@dataclass(frozen=True)
class Point:
    """One number at a threshold.

    Attributes:
        measure: `sensitivity`, `specificity`, `ppv`, `npv`, `lr_positive`, `lr_negative`; with `ppv` and `npv` also `_at_`
            and a prevalence.
        class_name: Column of the answers.
        threshold: At or above which a study is called positive; NaN where the likeliest class is taken.
        estimate: With the interval by drawing patients anew, and the n that is counted.
        effective: Independent studies to which the counted ones amount; NaN where the second interval has no n of its own.
        low: Lower limit of the second interval; NaN where there is none.
        high: Upper limit.
        method: Of the second interval: `wilson`, `log`, or empty.
    """

    measure: str
    class_name: str
    threshold: float
    estimate: Estimate
    effective: float = np.nan
    low: float = np.nan
    high: float = np.nan
    method: str = ""

    def row(self) -> dict[str, object]:
        """Give the number as cells of a table."""
        one = self.estimate
        return {
            "class": self.class_name,
            "threshold": self.threshold,
            "measure": self.measure,
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "second_method": self.method,
            "second_low": self.low,
            "second_high": self.high,
            "studies": one.studies,
            "effective_studies": self.effective,
            "patients": one.patients,
        }


def operating_points(
    scores: Scores,
    task: Task,
    thresholds: Sequence[float],
    prevalences: Sequence[float] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Point, ...]:
    """Give every number at the fixed threshold of each class.

    Args:
        scores: Of the test split.
        task: One of classes.
        thresholds: (C,) chosen on the validation split; empty for a multiclass task, which takes the likeliest class.
        prevalences: Inside 0 to 1; predictive values there follow from sensitivity and specificity by Bayes.
        resamples: How often patients are drawn anew.
        seed: Of the draws.

    Returns:
        Class by class; NaN where nothing is counted, or a likelihood ratio is infinite.

    Raises:
        DataError: The scores or thresholds are not of this task.
    """
    check(scores, task)
    decided = decide(scores.predicted, thresholds, task)
    weights = sample_and_resamples(scores.patient, resamples, seed)
    points: list[Point] = []
    for column, name in enumerate(scores.classes):
        threshold = float(thresholds[column]) if len(thresholds) else np.nan
        points += _of_class(scores, name, threshold, decided[:, column], scores.target[:, column] == 1, weights, prevalences)
    return tuple(points)


def point_table(points: Sequence[Point]) -> pd.DataFrame:
    """Give one row a number."""
    return pd.DataFrame([point.row() for point in points])


def effective_number(outcome: Array, patient: Array) -> float:
    """Give how many independent studies as many of several patients amount to, for a share.

    n divided by the design effect, which is at least 1 and at most what it is where all studies of a patient are alike. That
    most is taken where all outcomes are the same, because then they do not tell how much alike they are.

    Args:
        outcome: (n,) bool.
        patient: (n,)
    """
    _, index, sizes = np.unique(patient, return_inverse=True, return_counts=True)
    n, patients = len(outcome), len(sizes)
    if patients == n or not n:
        return float(n)
    most = float((sizes**2).sum() / n)
    mean = outcome.mean()
    if mean in (0, 1) or patients == 1:
        return n / most
    sums = np.bincount(index, outcome - mean)
    effect = patients / (patients - 1) * (sums**2).sum() / (n * mean * (1 - mean))
    return float(n / np.clip(effect, 1, most))


def wilson(outcome: Array, patient: Array, level: float = LEVEL) -> tuple[float, float, float]:
    """Give Wilson's limits of the share of (n,) outcomes, and the effective n on which they rest; NaN without a study."""
    n = effective_number(outcome, patient)
    if not n:
        return np.nan, np.nan, 0.0
    low, high = proportion_confint(float(outcome.mean()) * n, n, alpha=1 - level, method="wilson")
    return float(low), float(high), n


def predictive_values(sensitivity: Array, specificity: Array, prevalence: float) -> tuple[Array, Array]:
    """Give PPV and NPV at a prevalence, by Bayes; NaN where nobody would be called positive, or negative."""
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    missed, spared = (1 - sensitivity) * prevalence, specificity * (1 - prevalence)
    return _ratio(true, true + false), _ratio(spared, spared + missed)


def _of_class(
    scores: Scores,
    name: str,
    threshold: float,
    called: Array,
    ill: Array,
    weights: Array,
    prevalences: Sequence[float],
) -> list[Point]:
    patient = scores.patient
    values: dict[str, Array] = {}
    seconds: dict[str, tuple[Array, Array]] = {}  # the counted outcomes and their patients
    points: list[Point] = []
    for measure, (has, among) in SHARES.items():
        counted = among(called, ill)
        outcome, whose = has(called, ill)[counted], patient[counted]
        values[measure] = _share(outcome, weights[:, counted])
        seconds[measure] = outcome, whose
        low, high, n = wilson(outcome, whose)
        points.append(Point(measure, name, threshold, summarise(values[measure], whose), n, low, high, "wilson"))
    hit, spared = values["sensitivity"], values["specificity"]
    for measure, above, below in (
        ("lr_positive", hit, 1 - spared),
        ("lr_negative", 1 - hit, spared),
    ):
        estimate = summarise(_ratio(above, below), patient)
        low, high = _log_limits(measure, estimate.value, seconds)
        points.append(Point(measure, name, threshold, estimate, low=low, high=high, method="log"))
    for prevalence in prevalences:
        for measure, one in zip(("ppv", "npv"), predictive_values(hit, spared, prevalence), strict=True):
            points.append(Point(f"{measure}_at_{prevalence:g}", name, threshold, summarise(one, patient)))
    return points


def _log_limits(measure: str, value: float, seconds: Mapping[str, tuple[Array, Array]]) -> tuple[float, float]:
    """Give the limits of a likelihood ratio on the scale of its logarithm; NaN where it is 0 or not finite."""
    if not np.isfinite(value) or value <= 0:
        return np.nan, np.nan
    variance = 0.0
    for rate in ("sensitivity", "specificity"):
        outcome, whose = seconds[rate]
        turned = (rate == "specificity") == (measure == "lr_positive")  # LR+ has 1 - specificity, LR- has 1 - sensitivity
        share = 1 - outcome.mean() if turned else outcome.mean()
        variance += (1 - share) / (share * effective_number(outcome, whose))
    reach = np.exp(norm.ppf((1 + LEVEL) / 2) * np.sqrt(variance))
    return float(value / reach), float(value * reach)


def _share(outcome: Array, weights: Array) -> Array:
    exact = outcome.astype(np.float64)
    return by_blocks(lambda block: _ratio(block @ exact, block.sum(axis=1, dtype=np.float64)), weights)


def _ratio(part: Array, whole: Array) -> Array:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0))
