"""Operating points by hand and by statsmodels, and that studies of one patient do not pass for as many."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from medmm.evaluation.intervals import interval
from medmm.evaluation.metrics import patients_behind, sensitivity
from medmm.evaluation.operating import (
    Point,
    effective_number,
    operating_points,
    point_table,
    predictive_values,
    wilson,
)
from medmm.types import Array, Scores


def by_measure(points: tuple[Point, ...]) -> dict[str, Point]:
    return {point.measure: point for point in points}


def binary(probability: Array, target: Array, patient: Array | None = None) -> Scores:
    whose = np.arange(len(target)) if patient is None else patient
    return Scores(("ill",), probability[:, np.newaxis], target[:, np.newaxis], whose)


# Of ten studies, four are ill, of which three are called; of the six others one is called.
TEN = binary(np.array([0.9, 0.8, 0.7, 0.2, 0.6, 0.1, 0.1, 0.3, 0.3, 0.2]), np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0]))


def test_every_number_by_hand() -> None:
    of = by_measure(operating_points(TEN, "binary", (0.5,), (0.1,), resamples=200))
    expected = {
        "sensitivity": (3 / 4, 4),
        "specificity": (5 / 6, 6),
        "ppv": (3 / 4, 4),
        "npv": (5 / 6, 6),
        "lr_positive": ((3 / 4) / (1 / 6), 10),
        "lr_negative": ((1 / 4) / (5 / 6), 10),
        "ppv_at_0.1": (0.075 / (0.075 + 0.15), 10),  # 3/4 of 0.1 are called, and 1/6 of 0.9
        "npv_at_0.1": (0.75 / (0.75 + 0.025), 10),
    }
    assert {name: (point.estimate.value, point.estimate.studies) for name, point in of.items()} == {
        name: (pytest.approx(value), n) for name, (value, n) in expected.items()
    }
    for share, n in ((3, 4), (5, 6)):
        low, high = proportion_confint(share, n, method="wilson")
        point = of["sensitivity" if n == 4 else "specificity"]
        assert (point.low, point.high, point.effective) == pytest.approx((low, high, n))
    # By hand (Simel 1991): the logarithm of LR+ has variance 1/3 - 1/4 + 1/1 - 1/6.
    reach = np.exp(1.959964 * np.sqrt(1 / 3 - 1 / 4 + 1 - 1 / 6))
    assert (of["lr_positive"].low, of["lr_positive"].high) == pytest.approx((4.5 / reach, 4.5 * reach))
    reach = np.exp(1.959964 * np.sqrt(1 - 1 / 4 + 1 / 5 - 1 / 6))
    assert (of["lr_negative"].low, of["lr_negative"].high) == pytest.approx((0.3 / reach, 0.3 * reach))


def test_the_bootstrap_interval_is_that_of_the_metric() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 200)
    probability = np.clip(0.5 + 0.3 * (target - 0.5) + rng.normal(0, 0.3, 200), 0, 1)
    patient = np.repeat(np.arange(50), 4)
    of = by_measure(operating_points(binary(probability, target, patient), "binary", (0.5,), (), resamples=300, seed=3))
    few = patients_behind("sensitivity", target, patient)
    by_metric = interval(lambda w: sensitivity(probability >= 0.5, target, w), patient, 300, 3, rests_on=few)
    assert of["sensitivity"].estimate.low == pytest.approx(by_metric.low)
    assert of["sensitivity"].estimate.high == pytest.approx(by_metric.high)


def test_what_is_not_defined_says_so_and_raises_nothing() -> None:
    scores = binary(np.array([0.1, 0.2, 0.3]), np.array([0, 0, 1]))
    of = by_measure(operating_points(scores, "binary", (0.5,), (0.2,), resamples=100))
    assert np.isnan(of["ppv"].estimate.value)  # nobody is called
    assert of["ppv"].effective == 0
    assert np.isnan(of["lr_positive"].estimate.value)  # 0 over 0
    assert of["lr_negative"].estimate.value == 1
    assert np.isnan(of["ppv_at_0.2"].estimate.value)
    assert of["npv_at_0.2"].estimate.value == pytest.approx(0.8)
    assert len(point_table(tuple(of.values()))) == 8


@pytest.mark.parametrize("copies", [2, 5])
def test_studies_that_repeat_their_patient_tell_nothing_new(copies: int) -> None:
    outcome = np.random.default_rng(0).random(60) < 0.7
    patient = np.arange(60)
    repeated, whose = np.repeat(outcome, copies), np.repeat(patient, copies)
    assert effective_number(repeated, whose) == pytest.approx(60, rel=0.02)
    assert wilson(repeated, whose)[:2] == pytest.approx(wilson(outcome, patient)[:2], abs=2e-3)


def test_independent_studies_of_a_patient_count_nearly_all() -> None:
    rng = np.random.default_rng(0)
    counted = [effective_number(rng.random(300) < 0.6, np.repeat(np.arange(100), 3)) for _ in range(60)]
    assert np.mean(counted) == pytest.approx(280, abs=20)
    assert max(counted) == 300


def test_where_all_are_right_the_studies_of_a_patient_count_as_one() -> None:
    assert effective_number(np.ones(12, bool), np.repeat(np.arange(4), 3)) == pytest.approx(4)
    assert wilson(np.ones(12, bool), np.repeat(np.arange(4), 3))[0] == pytest.approx(
        proportion_confint(4, 4, method="wilson")[0]
    )
    # By hand: two patients with 1 and 3 studies amount to 16 / (1 + 9).
    assert effective_number(np.ones(4, bool), np.array([0, 1, 1, 1])) == pytest.approx(1.6)
    assert effective_number(np.array([True, False]), np.array([0, 0])) == 1


def test_wilson_limits_hold_the_truth_where_patients_resemble_each_other() -> None:
    rng = np.random.default_rng(1)
    patient = np.repeat(np.arange(60), 4)
    held = naive = 0
    for _ in range(400):
        outcome = rng.random(240) < rng.beta(2.8, 0.7, 60)[patient]  # mean 0.8, alike by 1 / (1 + 3.5)
        low, high, _ = wilson(outcome, patient)
        held += low <= 0.8 <= high
        low, high = proportion_confint(outcome.sum(), 240, method="wilson")
        naive += low <= 0.8 <= high
    assert 0.92 <= held / 400 <= 0.98
    assert naive / 400 < 0.9


def test_predictive_values_at_the_own_prevalence_are_those_of_the_studies() -> None:
    of = by_measure(operating_points(TEN, "binary", (0.5,), (0.4,), resamples=100))
    assert of["ppv_at_0.4"].estimate.value == pytest.approx(of["ppv"].estimate.value)
    assert of["npv_at_0.4"].estimate.value == pytest.approx(of["npv"].estimate.value)
    ppv, npv = predictive_values(np.array([0.5]), np.array([0.5]), 0.3)
    assert (ppv[0], npv[0]) == pytest.approx((0.3, 0.7))  # a coin tells nothing


def test_the_likeliest_of_several_classes_has_no_threshold() -> None:
    target = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    scores = Scores(("a", "b", "c"), np.full((6, 3), 1 / 3) + 0.1 * target - 0.1 / 3, target, np.arange(6))
    points = operating_points(scores, "multiclass", (), resamples=100)
    assert all(np.isnan(point.threshold) for point in points)
    assert {point.class_name for point in points} == {"a", "b", "c"}
    assert all(point.estimate.value == 1 for point in points if point.measure in ("sensitivity", "specificity"))
