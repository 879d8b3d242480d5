"""How often the 95 % intervals hold the truth: simulated cohorts whose patients have one to five studies each.

Studies of a patient share what the model sees of it, and a chance of his own to have the outcome, so they are far
from independent. The truth of a metric is its value in a cohort so large that it hardly scatters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from medmm.evaluation.delong import auroc_estimates
from medmm.evaluation.evaluate import compare, evaluate
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.subgroups import subgroups
from medmm.types import Array, Scores

COHORTS = 500
RESAMPLES = 1000
SIZES: Mapping[str, tuple[int, float]] = {
    "120 patients, three in ten studies positive": (120, -1.0),
    "120 patients, one in eleven studies positive": (120, -3.0),
    "40 patients, three in ten studies positive": (40, -1.0),
}
"""Name -> patients, and the log odds of the outcome at the mean."""

STUDIES_EACH = (1, 5)
LARGE_PATIENTS, LARGE_TIMES = 60_000, 4
LARGE_PATIENTS_OF_PAIRS = 2_000  # a concordance looks at every pair
NOISY_SITE, NOISY_SHARE = "B", 0.35
DECIDED = 0.2
HORIZONS = (40.0, 100.0)
HELD = (0.93, 0.97)
"""Between these the share of 500 cohorts is that of an interval that holds 95 %, give or take two standard errors."""


@dataclass(frozen=True)
class Cohort:
    """Answers of two models to a yes or no with a site, and of one model to grades, values and times; the same patients."""

    binary: Scores
    rival: Scores
    grades: Scores
    values: Scores
    times: Scores


@dataclass(frozen=True)
class Coverage:
    """The table of coverage."""

    title: str
    rows: Sequence[tuple[str, float, float, float]]

    def markdown(self) -> str:
        """Give the table."""
        lines = [f"**{self.title}**", "", "| interval of | truth | mean width | holds the truth |", "| --- | --- | --- | --- |"]
        for name, truth, width, held in self.rows:
            lines.append(f"| {name} | {truth:.3f} | {width:.3f} | {held:.1%} |")
        outside = [name for name, *_, held in self.rows if not HELD[0] <= held <= HELD[1]]
        verdict = f"outside 93-97 %: {', '.join(outside)}" if outside else "all inside 93-97 %"
        return "\n".join([*lines, "", f"{len(self.rows)} intervals, {verdict}."])


def run() -> list[Coverage]:
    """Simulate cohorts of each size."""
    tables = []
    for title, (patients, odds) in SIZES.items():
        truth = truths(odds)
        held, widths = coverage(truth, patients, odds, COHORTS, RESAMPLES)
        rows = [(name, truth[name], widths[name], held[name]) for name in truth]
        tables.append(Coverage(f"{title}; {COHORTS} cohorts, {RESAMPLES} resamples each", rows))
    return tables


def truths(odds: float, seed: int = 1) -> dict[str, float]:
    """Give the value of every metric in large cohorts: the mean over several."""
    found: dict[str, list[float]] = {}
    for repetition in range(LARGE_TIMES):
        large = draw(np.random.default_rng([seed, repetition]), LARGE_PATIENTS, odds)
        smaller = draw(np.random.default_rng([seed, repetition, 1]), LARGE_PATIENTS_OF_PAIRS, odds)
        for name, estimate in (classes(large, 0) | others(large, 0) | of_times(smaller, 0)).items():
            found.setdefault(name, []).append(estimate.value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def coverage(
    truth: Mapping[str, float], patients: int, odds: float, cohorts: int, resamples: int, *, only_classes: bool = False
) -> tuple[dict[str, float], dict[str, float]]:
    """Give the share of cohorts whose interval holds the truth, and the mean width of the interval, for each metric.

    A cohort in which a metric is not defined, or a group has too few patients, does not count for it.
    """
    held: dict[str, list[bool]] = {name: [] for name in truth}
    widths: dict[str, list[float]] = {name: [] for name in truth}
    for number in range(cohorts):
        cohort = draw(np.random.default_rng([7, number]), patients, odds)
        found = classes(cohort, resamples, number)
        if not only_classes:
            found |= others(cohort, resamples, number) | of_times(cohort, resamples, number)
        for name, one in found.items():
            if name in truth and np.isfinite(one.low):
                held[name].append(one.low <= truth[name] <= one.high)
                widths[name].append(one.high - one.low)
    counted = [name for name in truth if held[name]]
    return {name: float(np.mean(held[name])) for name in counted}, {name: float(np.mean(widths[name])) for name in counted}


def draw(rng: np.random.Generator, patients: int, odds: float) -> Cohort:
    """Draw patients with one to five studies each."""
    patient = np.repeat(np.arange(patients), rng.integers(STUDIES_EACH[0], STUDIES_EACH[1] + 1, patients))
    studies = len(patient)

    def of_patient() -> Array:
        return np.asarray(rng.normal(size=patients)[patient])

    seen = 0.8 * of_patient() + 0.6 * rng.normal(size=studies)
    own = of_patient()
    sick = (rng.random(studies) < expit(odds + 1.5 * seen + 0.8 * own)).astype(float)[:, None]
    site = np.where(rng.random(studies) < NOISY_SHARE, NOISY_SITE, "A")
    score = seen + np.where(site == NOISY_SITE, 1.0, 0.0) * rng.normal(size=studies)
    other = seen + 0.7 * of_patient() + 0.4 * rng.normal(size=studies)
    illness = seen + 0.6 * own + 0.6 * rng.normal(size=studies)
    cuts = np.array([0.0, 1.2])
    died = 100 * rng.exponential(np.exp(-seen - 0.4 * own))
    end = rng.uniform(20, 300, studies)
    times = np.stack([np.minimum(died, end), died <= end], axis=1).astype(float)
    risks = np.stack([1 - np.exp(-at / 100 * np.exp(seen)) for at in HORIZONS], axis=1)
    groups = {"site": site}
    return Cohort(
        Scores(("sick",), expit(odds + 1.3 * score)[:, None], sick, patient, groups),
        Scores(("sick",), expit(odds + 1.3 * other)[:, None], sick, patient, groups),
        Scores(("mild", "severe"), expit(1.5 * (score[:, None] - cuts)), (illness[:, None] > cuts).astype(float), patient),
        Scores(("value",), seen[:, None], illness[:, None], patient),
        Scores(tuple(f"by_{at:g}" for at in HORIZONS), risks, times, patient, {}, HORIZONS),
    )


def classes(cohort: Cohort, resamples: int, seed: int = 0) -> dict[str, Estimate]:
    """Give the estimates of the yes or no: of the whole, of the gap between sites, and of the gain over the other model."""
    scores = cohort.binary
    found = {one.metric: one.estimate for one in evaluate(scores, "binary", [DECIDED], resamples, seed).results}
    found["auroc, DeLong and Obuchowski"] = auroc_estimates(scores)["sick"]
    for row in subgroups(scores, "binary", [DECIDED], resamples, seed):
        if row.value == NOISY_SITE:
            found[f"{row.result.metric} of a site"] = row.result.estimate
            found[f"gap of {row.result.metric} between sites"] = row.gap.estimate
    found["gain of auroc over another model"] = compare(scores, cohort.rival, "binary", resamples, seed)
    return found


def others(cohort: Cohort, resamples: int, seed: int = 0) -> dict[str, Estimate]:
    """Give the estimates of grades and values."""
    graded = evaluate(cohort.grades, "ordinal", [0.5, 0.5], resamples, seed)
    found = {f"{metric} of grades": graded.pick(metric) for metric in ("kappa", "grade_error")}
    found["mean auroc of grades"] = graded.headline
    valued = evaluate(cohort.values, "regression", [], resamples, seed)
    return found | {f"{one.metric} of a value": one.estimate for one in valued.results}


def of_times(cohort: Cohort, resamples: int, seed: int = 0) -> dict[str, Estimate]:
    """Give the estimates of times to an event."""
    timed = evaluate(cohort.times, "survival", [], resamples, seed)
    return {f"{one.metric}, {one.class_name}": one.estimate for one in timed.results}
