"""Slope, calibration error, smooth curve and observed risks by statsmodels and by hand; the null holds its level."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from statsmodels.nonparametric.smoothers_lowess import lowess

from medmm.evaluation.calibration_curve import curve_plot, local_regression, smooth_curve
from medmm.evaluation.calibration_error import brier_skill, calibration_error, residual_likeness
from medmm.evaluation.calibration_slope import in_the_large, linear_recalibration, logistic_recalibration
from medmm.evaluation.event_calibration import risk_groups, risk_plot
from medmm.evaluation.horizons import excess_risk, observed_risk
from medmm.evaluation.intervals import sample_and_resamples, summarise
from medmm.evaluation.survival import kaplan_meier
from medmm.types import Array


def sample(studies: int, seed: int, slope: float = 1.0, intercept: float = 0.0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    probability = expit(rng.normal(-0.5, 1.5, studies))
    target = (rng.random(studies) < expit(intercept + slope * logit(probability))).astype(float)
    return probability, target


def test_every_resample_has_the_slope_that_statsmodels_fits() -> None:
    probability, target = sample(150, 0)
    weights = sample_and_resamples(np.repeat(np.arange(50), 3), 12, 1)
    found = logistic_recalibration(probability, target, weights)
    large = in_the_large(probability, target, weights)
    x = logit(probability)
    for row, pair, alone in zip(weights, found, large, strict=True):
        model = sm.GLM(target, sm.add_constant(x), sm.families.Binomial(), freq_weights=row)
        assert pair == pytest.approx(model.fit(tol=1e-12).params, abs=1e-6)
        model = sm.GLM(target, np.ones(150), sm.families.Binomial(), offset=x, freq_weights=row)
        assert alone == pytest.approx(model.fit(tol=1e-12).params[0], abs=1e-6)


def test_the_planted_slope_and_shift_are_found() -> None:
    probability, target = sample(40_000, 1, slope=0.5, intercept=-1)
    one = np.ones((1, len(target)))
    assert logistic_recalibration(probability, target, one)[0] == pytest.approx((-1, 0.5), abs=0.05)
    probability, target = sample(40_000, 2, intercept=0.7)
    assert in_the_large(probability, target, one)[0] == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize(
    ("probability", "target"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]),  # separated
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 1, 1]),  # one outcome
        ([0.3, 0.3, 0.3, 0.3], [0, 1, 0, 1]),  # one probability
    ],
)
def test_without_a_solution_there_is_no_slope(probability: list[float], target: list[int]) -> None:
    found = logistic_recalibration(np.array(probability), np.array(target), np.ones((1, 4), np.uint8))
    assert np.isnan(found).all()


def test_probabilities_of_zero_and_one_do_not_break_the_slope() -> None:
    probability = np.array([0.0, 1.0, *np.linspace(0.1, 0.9, 30)], np.float32)
    target = np.array([1, 0, *([0, 1, 1] * 10)])
    assert np.isfinite(logistic_recalibration(probability, target, np.ones((1, 32)))).all()


def test_a_slope_interval_is_by_patient() -> None:
    probability, target = sample(60, 3)
    copies = np.repeat(np.arange(60), 5)
    once = logistic_recalibration(probability, target, sample_and_resamples(np.arange(60), 400, 0))[:, 1]
    many = logistic_recalibration(probability[copies], target[copies], sample_and_resamples(copies, 400, 0))[:, 1]
    np.testing.assert_allclose(summarise(once, np.arange(60)).low, summarise(many, copies).low)


def test_the_line_of_values_is_the_line_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.normal(1000, 3, 80)
    true = 5 + 0.8 * predicted + rng.normal(size=80)
    weights = sample_and_resamples(np.arange(80), 5, 0)
    for row, pair in zip(weights, linear_recalibration(predicted, true, weights), strict=True):
        model = sm.WLS(true, sm.add_constant(predicted), weights=row.astype(float)).fit()
        assert pair == pytest.approx(model.params, rel=1e-6)
    assert np.isnan(linear_recalibration(np.full(80, 3.0), true, weights)[:, 1]).all()


def test_brier_skill_by_hand() -> None:
    target = np.array([1, 0, 0, 0])
    one = np.ones((1, 4))
    assert brier_skill(np.full(4, 0.25), target, one)[0] == pytest.approx(0)
    assert brier_skill(target.astype(float), target, one)[0] == 1
    # Brier 0.25 of a coin, against 1/4 * 3/4.
    assert brier_skill(np.full(4, 0.5), target, one)[0] == pytest.approx(1 - 0.25 / 0.1875)
    assert np.isnan(brier_skill(np.full(4, 0.5), np.ones(4), one)[0])


def test_calibration_error_by_hand() -> None:
    # Two bins of 20: said 0.2 and 0.7, true 0.5 and 0.75.
    probability = np.repeat([0.2, 0.7], 20)
    target = np.array([1] * 10 + [0] * 10 + [1] * 15 + [0] * 5)
    found = calibration_error(probability, target, np.arange(40), np.ones((1, 40), np.uint8)).found
    assert found.value == pytest.approx((0.3 + 0.05) / 2)


def test_the_null_is_what_perfect_models_show() -> None:
    chances, errors, nulls = [], [], []
    for seed in range(120):
        probability, target = sample(200, seed)
        one = calibration_error(probability, target, np.arange(200), np.ones((1, 200), np.uint8), seed, 200)
        chances.append(one.chance.value)
        errors.append(one.found.value)
        nulls.append(one.null.value)
    assert np.mean(errors) == pytest.approx(np.mean(nulls), rel=0.05)
    assert np.mean(nulls) > 0.05  # far from 0, though every probability is true
    assert np.mean(np.array(chances) <= 0.05) <= 0.1
    assert 0.4 < np.mean(chances) < 0.6


def test_a_model_that_is_too_sure_is_found() -> None:
    probability, target = sample(400, 0, slope=0.4)
    one = calibration_error(probability, target, np.arange(400), np.ones((1, 400), np.uint8), 0, 500)
    assert one.found.value > one.null.high
    assert one.chance.value < 0.01


def test_the_null_knows_that_studies_of_a_patient_are_alike() -> None:
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(60), 5)
    few = 0
    for seed in range(60):
        probability = expit(rng.normal(size=60))
        target = (rng.random(60) < probability).astype(float)  # all five studies of a patient have one outcome
        weights = np.ones((1, 300), np.uint8)
        one = calibration_error(probability[patient], target[patient], patient, weights, seed, 200)
        assert one.likeness > 0.9
        few += one.chance.value <= 0.05
    assert few <= 8  # with a null of independent studies nearly all would be
    assert residual_likeness(expit(rng.normal(size=300)), rng.integers(0, 2, 300), np.arange(300)) == 0


@pytest.mark.parametrize("span", [0.4, 0.75])
def test_the_curve_is_that_of_statsmodels(span: float) -> None:
    probability, target = sample(120, 0)
    at = np.linspace(0.1, 0.8, 9)
    found = local_regression(probability, target, at, np.ones((1, 120), np.uint8), span)[0]
    # int() cuts the number of neighbours there.
    expected = lowess(target, probability, frac=(np.ceil(span * 120) + 1e-6) / 120, it=0, xvals=at)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_resample_of_the_curve_is_that_of_the_repeated_studies_in_the_same_neighbourhoods() -> None:
    x, y = np.array([0.1, 0.2, 0.6, 0.9]), np.array([0.0, 1, 0, 1])
    weights = np.array([[1, 1, 1, 1], [2, 0, 1, 1]], np.uint8)
    found = local_regression(x, y, np.array([0.4]), weights, 1.0)
    near = (1 - (np.abs(x - 0.4) / 0.5) ** 3) ** 3
    for row, value in zip(weights, found[:, 0], strict=True):
        assert value == pytest.approx(sm.WLS(y, sm.add_constant(x), weights=row * near).fit().predict([[1, 0.4]])[0])


def test_the_band_holds_the_truth_at_nearly_every_place() -> None:
    held = []
    for seed in range(40):
        probability, target = sample(300, seed, slope=0.6)
        curve = smooth_curve("x", probability, target, sample_and_resamples(np.arange(300), 200, seed), (0, 1))
        truth = expit(0.6 * logit(curve.at))
        held.append(((curve.low <= truth) & (truth <= curve.high)).mean())
    assert 0.85 < np.mean(held) <= 1


@pytest.mark.parametrize("values", [[0.5] * 12, [0.0] * 6 + [1.0] * 6, [0.2] * 11 + [0.9]])
def test_few_distinct_probabilities_still_give_a_curve(values: list[float]) -> None:
    weights = sample_and_resamples(np.arange(12), 20, 0)
    curve = smooth_curve("x", np.array(values), np.tile([0.0, 1.0], 6), weights, (0, 1))
    assert np.isfinite(curve.observed).all()
    curve_plot([curve], "Calibration", "12 studies", ("probability", "share"), (0, 1)).canvas.draw()


def survival(studies: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    risk = rng.random(studies)
    died = rng.exponential(-10 / np.log1p(-np.clip(risk, 1e-3, 0.999)))  # by time 10 with this risk
    left = rng.uniform(2, 30, studies)
    return risk, np.stack([np.minimum(died, left).round(1), died <= left], axis=1)


def test_every_resample_has_the_risk_of_the_repeated_studies() -> None:
    _, target = survival(90, 0)
    weights = sample_and_resamples(np.repeat(np.arange(30), 3), 8, 0)
    for row, value in zip(weights, observed_risk(target, 8.0, weights), strict=True):
        assert value == pytest.approx(1 - kaplan_meier(np.repeat(target, row, axis=0), [8.0])[0])


def test_a_risk_beyond_the_observation_is_not_known() -> None:
    target = np.array([[1.0, 1], [2, 0], [3, 0]])
    assert np.isnan(observed_risk(target, 5, np.ones((1, 3)))[0])
    assert observed_risk(target, 3, np.ones((1, 3)))[0] == pytest.approx(1 / 3)
    assert observed_risk(np.array([[1.0, 1], [2, 1]]), 5, np.ones((1, 2)))[0] == 1


def test_true_risks_are_judged_true_and_doubled_ones_too_high() -> None:
    risk, target = survival(1500, 1)
    patient = np.arange(1500)
    weights = sample_and_resamples(patient, 200, 0)
    groups = risk_groups("by 10", risk, target, 10, patient, weights)
    assert len(groups) == 5
    assert sum(one.observed.low <= one.predicted <= one.observed.high for one in groups) >= 4
    doubled = summarise(excess_risk(np.minimum(1, 2 * risk), target, 10, weights), patient)
    assert doubled.high < -0.1
    risk_plot([groups], "Calibration", "1,500 studies").canvas.draw()


def test_the_interval_of_the_excess_holds_nothing_where_risks_are_true() -> None:
    held = 0
    for seed in range(60):
        risk, target = survival(300, seed)
        weights = sample_and_resamples(np.arange(300), 200, seed)
        excess = summarise(excess_risk(risk, target, 10, weights), np.arange(300))
        held += excess.low <= 0 <= excess.high
    assert held >= 53


def test_few_events_make_one_group() -> None:
    risk, target = survival(20, 0)
    assert len(risk_groups("by 10", risk, target, 10, np.arange(20), sample_and_resamples(np.arange(20), 10, 0))) == 1
