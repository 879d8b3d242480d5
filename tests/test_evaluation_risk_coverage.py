"""Risk-coverage by hand and by a loop; what is gained by leaving out the least sure."""

import numpy as np
import pytest
from scipy.special import expit

from medmm.evaluation.intervals import sample_and_resamples
from medmm.evaluation.risk_coverage import (
    EVERY_CLASS,
    Answered,
    accuracy_at,
    decisions,
    risk_area,
    risk_coverage_plot,
    selective_risk,
)
from medmm.types import Array, Scores

ONE = np.ones((1, 4), np.uint8)
SURE, WRONG = np.array([0.9, 0.8, 0.7, 0.6]), np.array([False, True, False, True])


def test_the_error_of_the_surest_by_hand() -> None:
    found = selective_risk(SURE, WRONG, np.array([0.2, 0.25, 0.5, 0.75, 1.0]), ONE)
    assert found[0] == pytest.approx([0, 0, 1 / 2, 1 / 3, 1 / 2])
    assert risk_area(SURE, WRONG, ONE)[0] == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_equally_sure_studies_are_answered_together() -> None:
    sure = np.array([0.9, 0.7, 0.7, 0.7])
    assert selective_risk(sure, WRONG, np.array([0.25, 0.5, 1]), ONE)[0] == pytest.approx([0, 1 / 2, 1 / 2])
    assert risk_area(np.ones(4), WRONG, ONE)[0] == pytest.approx(1 / 2)
    order = np.array([3, 1, 0, 2])
    assert risk_area(sure[order], WRONG[order], ONE)[0] == pytest.approx(risk_area(sure, WRONG, ONE)[0])


@pytest.mark.parametrize("levels", [7, 1000])
def test_every_resample_is_that_of_the_repeated_studies(levels: int) -> None:
    rng = np.random.default_rng(0)
    sure, wrong = rng.integers(0, levels, 40) / levels, rng.random(40) < 0.3
    weights = sample_and_resamples(np.repeat(np.arange(20), 2), 10, 0)
    areas, risks = risk_area(sure, wrong, weights), selective_risk(sure, wrong, np.array([0.3, 0.8]), weights)
    for row, area, risk in zip(weights, areas, risks, strict=True):
        own, missed = np.repeat(sure, row), np.repeat(wrong, row)
        assert area == pytest.approx(np.mean([missed[own >= one].mean() for one in own]))
        for coverage, value in zip((0.3, 0.8), risk, strict=True):
            least = np.sort(own)[::-1][int(np.ceil(coverage * len(own) - 1e-9)) - 1]
            assert value == pytest.approx(missed[own >= least].mean())


def binary(probability: Array, target: Array) -> Scores:
    return Scores(("ill",), probability[:, np.newaxis], target[:, np.newaxis], np.arange(len(target)))


def test_at_a_threshold_of_a_half_sureness_is_the_larger_probability() -> None:
    probability = np.array([0.1, 0.45, 0.55, 0.8])
    (one,) = decisions(binary(probability, np.array([0, 1, 1, 0])), "binary", (0.5,))
    assert one.sure == pytest.approx([0.9, 0.55, 0.55, 0.8])
    assert one.wrong.tolist() == [False, True, False, True]


def test_at_another_threshold_the_least_sure_are_those_beside_it() -> None:
    (one,) = decisions(binary(np.array([0.02, 0.19, 0.22, 0.9]), np.array([0, 0, 1, 1])), "binary", (0.2,))
    assert set(np.argsort(one.sure)[:2]) == {1, 2}
    # By hand: odds of 9 against odds of a quarter are 36 to 1.
    assert one.sure[3] == pytest.approx(36 / 37)


def test_of_several_classes_the_likeliest_is_right_or_wrong_once() -> None:
    predicted = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    scores = Scores(("a", "b", "c"), predicted, np.eye(3)[[0, 2, 2]], np.arange(3))
    (one,) = decisions(scores, "multiclass", ())
    assert one.name == EVERY_CLASS
    assert one.sure == pytest.approx([0.6, 0.5, 0.7])
    assert one.wrong.tolist() == [False, True, False]


def test_leaving_out_the_least_sure_helps_a_model_that_knows_what_it_knows() -> None:
    rng = np.random.default_rng(0)
    probability = expit(rng.normal(0, 2, 500))
    target = (rng.random(500) < probability).astype(int)
    weights = sample_and_resamples(np.arange(500), 200, 0)
    (one,) = decisions(binary(probability, target), "binary", (0.5,))
    at = accuracy_at(one, weights)
    assert at[0.5].low > at[1.0].high
    assert at[1.0].value == pytest.approx(1 - one.wrong.mean())
    shuffled = Answered("ill", rng.permutation(one.sure), one.wrong, one.patient)
    assert accuracy_at(shuffled, weights)[0.5].value == pytest.approx(at[1.0].value, abs=0.05)
    assert risk_area(shuffled.sure, shuffled.wrong, weights)[0] == pytest.approx(one.wrong.mean(), abs=0.05)
    risk_coverage_plot([one, shuffled], weights, "Abstention", "500 studies").canvas.draw()
