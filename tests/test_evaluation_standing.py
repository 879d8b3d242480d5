"""Whether calibration is what it was: tests that hold for few studies, errors by a second method, shares of few patients."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit, ndtr
from scipy.stats import binomtest

from medmm.evaluation.calibration_slope import logistic_recalibration
from medmm.evaluation.intervals import patient_weights
from medmm.evaluation.score_tests import At, linear_slope, logistic_shift, logistic_slope, mean_excess, risk_excess
from medmm.evaluation.standing import Standing, calibration_measures, more_than, standing_calibration, standing_share
from medmm.types import Array, Scores

EACH = 3
LOOKS = 400


def drawn(rng: np.random.Generator, studies: int, *, slope: float = 1.0) -> tuple[Array, Array, Array]:
    """True probabilities, outcomes that patients of three studies share, and patients."""
    patient = np.arange(studies) // EACH
    people = int(patient.max()) + 1
    logit = 1.2 * rng.normal(size=people)[patient] + rng.normal(size=studies)
    together = ndtr(np.sqrt(0.5) * rng.normal(size=people)[patient] + np.sqrt(0.5) * rng.normal(size=studies))
    return expit(slope * logit), (together < expit(logit)) * 1.0, patient


def survival(rng: np.random.Generator, studies: int) -> tuple[Array, Array, Array]:
    hazard = np.exp(rng.normal(-4.0, 0.7, studies))
    died, end = rng.exponential(1 / hazard), rng.uniform(20, 200, studies)
    return 1 - np.exp(-hazard * 30), np.stack([np.minimum(died, end), died <= end], axis=1) * 1.0, np.arange(studies)


def values(rng: np.random.Generator, studies: int) -> tuple[Array, Array, Array]:
    patient = np.arange(studies) // EACH
    said = rng.normal(50, 10, studies)
    return said, said + 3 * rng.normal(size=studies)[patient] + 3 * rng.normal(size=studies), patient


@pytest.mark.parametrize("studies", [60, 200])
@pytest.mark.parametrize(
    ("test", "make", "truth"),
    [
        (logistic_slope, drawn, 1.0),
        (logistic_shift, drawn, 0.0),
        (linear_slope, values, 1.0),
        (mean_excess, values, 0.0),
        (lambda risk, target, patient: risk_excess(risk, target, 30, patient), survival, 0.0),
    ],
    ids=["slope", "in the large", "slope of a value", "excess of a value", "excess of risk"],
)
def test_what_is_true_is_refused_in_no_more_looks_than_promised(
    test: Callable[[Array, Array, Array], At], make: Callable[..., tuple[Array, Array, Array]], truth: float, studies: int
) -> None:
    rng = np.random.default_rng(studies)
    p = np.array([test(*make(rng, studies))(truth).p() for _ in range(LOOKS)])
    # 5 % are promised; with 6 % of 400 looks nobody could tell, with a tenth one can.
    assert binomtest(int((p <= 0.05).sum()), LOOKS, 0.05, "greater").pvalue > 0.01
    assert (p <= 0.5).mean() > 0.3  # and it is no test that never refuses


def test_two_groups_of_studies_of_one_model_differ_in_no_more_looks_than_promised() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(LOOKS):
        validation, new = drawn(rng, 150, slope=1.5), drawn(rng, 450, slope=1.5)
        known = {one.metric: one for one in standing_calibration(scores(*validation), "binary")}
        found.append(
            [logistic_slope(*new)(known["slope"].value).p(known["slope"].error), logistic_slope(*new)(known["slope"].value).p()]
        )
    both, one = (np.array(found) <= 0.05).sum(axis=0)
    assert binomtest(int(both), LOOKS, 0.05, "greater").pvalue > 0.01
    assert binomtest(int(one), LOOKS, 0.05, "greater").pvalue < 0.01  # without the error of the validation studies


def scores(said: Array, true: Array, patient: Array) -> Scores:
    return Scores(("sick",), said[:, None], true[:, None], patient)


def test_the_error_is_that_of_resampled_patients() -> None:
    said, true, patient = drawn(np.random.default_rng(0), 1500)
    resampled = logistic_recalibration(said, true, patient_weights(patient, 400, 0))[:, 1]
    (slope, shift) = standing_calibration(scores(said, true, patient), "binary")
    assert slope.error == pytest.approx(resampled.std(), rel=0.15)
    assert (slope.metric, slope.studies, slope.patients) == ("slope", 1500, 500)
    assert shift.limits[0] < 0 < shift.limits[1]
    assert str(slope) == f"{slope.value:.3f} [{slope.limits[0]:.3f}, {slope.limits[1]:.3f}]"


def test_at_its_own_value_nothing_is_left_over() -> None:
    some = scores(*drawn(np.random.default_rng(1), 300))
    for one in calibration_measures(some, "binary"):
        assert one.at(float(one.of(np.ones((1, 300)))[0])).p() == pytest.approx(1.0, abs=1e-5)
        assert one.rests_on is not None


def test_what_validation_studies_do_not_define_is_left_out() -> None:
    said = np.linspace(0.1, 0.9, 20)
    assert standing_calibration(scores(said, np.zeros(20), np.arange(20)), "binary") == ()
    assert [one.metric for one in standing_calibration(scores(said, (said > 0.5) * 1.0, np.arange(20)), "binary")] == [
        "in_the_large"
    ]


def test_a_share_counts_as_many_studies_as_are_independent() -> None:
    flags = np.arange(60) < 12
    alone = standing_share("abstain", flags, np.arange(60))
    alike = standing_share("abstain", flags, np.arange(60) // 4)
    assert alone is not None
    assert alike is not None
    assert alone.value == alike.value == 0.2
    assert alone.counts == (12, 60)
    assert alike.counts == (3, 15)  # of 15 patients three
    assert alike.limits == pytest.approx((0.043, 0.481), abs=0.001)  # Clopper and Pearson, 3 of 15
    none = standing_share("abstain", np.zeros(60, bool), np.arange(60) // 4)
    assert none is not None
    assert none.counts == (0, 15)
    assert standing_share("abstain", flags[:0], np.arange(0)) is None


def test_a_share_that_has_not_risen_is_told_so_in_no_more_looks_than_promised() -> None:
    rng = np.random.default_rng(3)

    def share(patients: int, each: int) -> Standing:
        patient = np.repeat(np.arange(patients), each)
        often = rng.beta(0.3, 2.0, patients)[patient]  # of some patients nearly all studies
        found = standing_share("rejected", rng.random(len(patient)) < often, patient)
        assert found is not None
        return found

    p = np.array([more_than(share(60, 1), share(100, 3)) for _ in range(LOOKS)])
    assert binomtest(int((p <= 0.05).sum()), LOOKS, 0.05, "greater").pvalue > 0.01
