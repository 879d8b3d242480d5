"""What a model was on its own validation studies, kept so that later studies can be held against it: calibration, and shares.

Calibration was fitted on these very studies, so that they say slope 1 of themselves. Their error is then how far the model may
be from that elsewhere, and the difference to other studies has the errors of both, fitted or not.

Source:
    Korn & Graubard, Confidence intervals for proportions with small expected number of positive counts estimated from survey
    data, Survey Methodology 24 (1998) 193-201: exact limits by the effective number of independent studies.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, get_args

import numpy as np

from medmm.errors import DataError
from medmm.evaluation.calibration_slope import in_the_large, linear_recalibration, logistic_recalibration
from medmm.evaluation.horizons import excess_risk
from medmm.evaluation.metrics import patients_behind, share
from medmm.evaluation.score_tests import At, linear_slope, logistic_shift, logistic_slope, mean_excess, risk_excess
from medmm.settings import Plain
from medmm.types import CLASS_TASKS, Array, Scores, Task

Metric: TypeAlias = Literal["slope", "in_the_large", "excess", "rejected", "abstain"]

PERFECT: dict[str, float] = {"slope": 1.0, "in_the_large": 0.0, "excess": 0.0}
"""What calibration is at best."""


@dataclass(frozen=True)
class Standing:
    """One number of the validation studies.

    Attributes:
        metric: Of calibration, or the share of studies that were rejected, or abstained from.
        class_name: Of the answer; "" for a share.
        value: Finite.
        error: Its standard error, by patient, at least 0.
        studies: Behind it.
        patients: Whose they are.
    """

    metric: Metric
    class_name: str
    value: float
    error: float
    studies: int
    patients: int

    @property
    def limits(self) -> tuple[float, float]:
        """95 % interval; of a share inside 0 to 1, exact by its effective number."""
        from scipy.stats import binomtest, t  # which takes a second to load, and no scoring needs it

        if self.metric in PERFECT:
            reach = self.error * float(t.ppf(0.975, max(1, self.patients - 1)))
            return self.value - reach, self.value + reach
        found = binomtest(*self.counts).proportion_ci(0.95)
        return float(found.low), float(found.high)

    @property
    def counts(self) -> tuple[int, int]:
        """Studies of a share that have it, and all, as if each were of a patient of its own."""
        spread = self.value * (1 - self.value) * self.patients / max(1, self.patients - 1)  # as the error has it
        effective = spread / self.error**2 if spread > 0 and self.error > 0 else self.patients
        whole = max(1, round(min(effective, self.studies)))
        return round(self.value * whole), whole

    def __str__(self) -> str:
        low, high = self.limits
        return f"{self.value:.3f} [{low:.3f}, {high:.3f}]"


@dataclass(frozen=True)
class Measure:
    """A number of calibration.

    Attributes:
        metric: Its name.
        class_name: Of the answer.
        of: (R, S) weights -> its values (R,).
        at: A value -> the equation by which it is tested.
        rests_on: Patients on whom it rests, where these are fewer than all: those of the rarer outcome.
    """

    metric: Metric
    class_name: str
    of: Callable[[Array], Array]
    at: At
    rests_on: int | None = None


def calibration_measures(scores: Scores, task: Task) -> Iterator[Measure]:
    """Give what tells of each answer whether it is calibrated."""
    target, patient = scores.target, scores.patient
    for column, name in enumerate(scores.classes):
        said = scores.predicted[:, column]
        if task == "survival":
            if column >= len(scores.horizons):
                continue
            horizon = scores.horizons[column]
            yield Measure(
                "excess",
                name,
                partial(excess_risk, said, target, horizon),
                risk_excess(said, target, horizon, patient),
            )
            continue
        true = target[:, column]
        if task in CLASS_TASKS:
            few = patients_behind("auroc", true, patient)
            slope = partial(_slope, logistic_recalibration, said, true)
            yield Measure("slope", name, slope, logistic_slope(said, true, patient), few)
            yield Measure("in_the_large", name, partial(in_the_large, said, true), logistic_shift(said, true, patient), few)
        else:
            slope = partial(_slope, linear_recalibration, said, true)
            yield Measure("slope", name, slope, linear_slope(said, true, patient))
            yield Measure("in_the_large", name, partial(share, true - said), mean_excess(said, true, patient))


def standing_calibration(scores: Scores, task: Task) -> tuple[Standing, ...]:
    """Measure calibration on validation studies; what they do not define is left out."""
    found = []
    studies, patients = len(scores.patient), len(np.unique(scores.patient))
    for one in calibration_measures(scores, task):
        value = float(one.of(np.ones((1, studies)))[0])
        error = one.at(value).error() if np.isfinite(value) else np.nan
        if np.isfinite(error):
            found.append(Standing(one.metric, one.class_name, value, error, studies, patients))
    return tuple(found)


def standing_share(metric: Metric, flags: Array, patient: Array) -> Standing | None:
    """Measure the share of true flags (S,), of patients (S,); None of no study."""
    if not len(flags):
        return None
    _, person = np.unique(patient, return_inverse=True)
    patients = int(person.max()) + 1
    value = float(flags.mean())
    sums = np.bincount(person, flags - value)
    error = float(np.sqrt((sums**2).sum() * patients / max(1, patients - 1))) / len(flags)
    return Standing(metric, "", value, error, len(flags), patients)


def more_than(now: Standing, known: Standing) -> float:
    """Give the p that a share has not risen: Fisher's exact test of the two effective numbers."""
    from scipy.stats import fisher_exact

    table = np.array([[count, whole - count] for count, whole in (now.counts, known.counts)])
    return float(fisher_exact(table, alternative="greater").pvalue)


def pack_standing(standing: Sequence[Standing]) -> Plain:
    """Give them as plain data."""
    return [dict(vars(one)) for one in standing]


def unpack_standing(plain: Plain, classes: Sequence[str], repair: str) -> tuple[Standing, ...]:
    """Read what `pack_standing` gives, of a package that may come from elsewhere; an older one has nothing.

    Raises:
        DataError: It is something else.
    """
    if plain is None:
        return ()
    kinds = {"metric": str, "class_name": str, "value": float, "error": float, "studies": int, "patients": int}
    found = []
    for one in plain if isinstance(plain, list) else [None]:
        if not isinstance(one, dict) or set(one) != set(kinds) or any(type(one[k]) is not kinds[k] for k in kinds):
            raise DataError(f"what the package says of its validation studies is damaged: {repair}")
        own = Standing(**one)
        name_fits = own.class_name in classes if own.metric in PERFECT else own.class_name == "" and 0 <= own.value <= 1
        sound = math.isfinite(own.value) and 0 <= own.error < math.inf and 1 <= own.patients <= own.studies
        if own.metric not in get_args(Metric) or not name_fits or not sound:
            raise DataError(f"what the package says of its validation studies holds impossible values: {repair}")
        found.append(own)
    return tuple(found)


def _slope(fit: Callable[[Array, Array, Array], Array], said: Array, true: Array, weights: Array) -> Array:
    return fit(said, true, weights)[:, 1]
