from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from medmm.errors import DataError
from medmm.evaluation.intervals import difference, interval, patient_weights, sample_and_resamples, summarise, tails
from medmm.evaluation.metrics import auroc, prevalence
from medmm.types import Array, Scores

PATIENT = np.array([7, 3, 7, 9, 3, 7])


def test_studies_of_a_patient_are_drawn_together_and_patients_keep_their_number() -> None:
    weights = patient_weights(PATIENT, 500, seed=0)
    assert weights.shape == (500, 6)
    assert weights.dtype == np.uint8
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 0], weights[:, 5])
    np.testing.assert_array_equal(weights[:, 1], weights[:, 4])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1, dtype=int), np.full(500, 3))


def test_draws_are_those_of_sampling_with_replacement() -> None:
    weights = patient_weights(np.arange(50), 4000, seed=0)
    counts = np.bincount(weights.ravel(), minlength=4)[:4] / weights.size
    # Binomial (50, 1/50): chances of 0, 1, 2 and 3 draws.
    np.testing.assert_allclose(counts, [0.3642, 0.3716, 0.1858, 0.0607], atol=0.005)
    np.testing.assert_allclose(weights.mean(axis=0), np.ones(50), atol=0.07)


def test_a_seed_repeats_and_the_order_of_studies_is_irrelevant() -> None:
    order = np.random.default_rng(0).permutation(6)
    first = patient_weights(PATIENT, 40, seed=3)
    np.testing.assert_array_equal(first, patient_weights(PATIENT, 40, seed=3))
    np.testing.assert_array_equal(first[:, order], patient_weights(PATIENT[order], 40, seed=3))
    assert not np.array_equal(first, patient_weights(PATIENT, 40, seed=4))


def test_the_sample_itself_stands_in_row_0() -> None:
    weights = sample_and_resamples(PATIENT, 10, seed=1)
    np.testing.assert_array_equal(weights[0], np.ones(6))
    np.testing.assert_array_equal(weights[1:], patient_weights(PATIENT, 10, seed=1))


def test_limits_are_percentiles_of_the_defined_resamples() -> None:
    values = np.array([50.5, *range(101), np.nan])
    estimate = summarise(values, PATIENT, level=0.9, rests_on=10**9)
    assert (estimate.value, estimate.low, estimate.high) == (50.5, pytest.approx(5), pytest.approx(95))
    assert (estimate.studies, estimate.patients, estimate.defined) == (6, 3, 101)
    assert str(estimate) == "50.500 [5.000, 95.000]"


def test_a_biased_number_reaches_as_far_as_its_corrected_percentiles() -> None:
    # Nine in ten draws lie below the value, a shift of 2 * 1.2816: from 2.5 % to 72.7 % and from 97.5 % to 1 - 3e-6.
    values = np.array([0.9, *np.linspace(0, 1, 1001)])
    plain, biased = (summarise(values, PATIENT, rests_on=10**9, biased=one) for one in (False, True))
    assert (plain.low, plain.high) == (pytest.approx(0.025), pytest.approx(0.975))
    assert (biased.low, biased.high) == (pytest.approx(0.025), pytest.approx(1.0, abs=1e-4))


def test_few_patients_push_the_limits_out() -> None:
    # Student's t, 12 degrees of freedom: 2.1788 for 95 %, times sqrt(13 / 12) is 2.2678; below it 1.167 % of the normal curve.
    assert tails(0.95, 13) == (pytest.approx(0.01167, abs=2e-5), pytest.approx(1 - 0.01167, abs=2e-5))
    assert tails(0.95, 1) == tails(0.95, 0) == (pytest.approx(0.025), pytest.approx(0.975))
    values = np.linspace(0, 100, 10002)
    by_patients = summarise(values, np.arange(13))
    assert (by_patients.low, by_patients.high) == (pytest.approx(1.167, abs=0.02), pytest.approx(98.833, abs=0.02))
    assert summarise(values, np.arange(13), rests_on=5).low < by_patients.low < summarise(values, np.arange(500)).low


@pytest.mark.parametrize("values", [[np.nan, 0.1, 0.2], [0.5, np.nan, np.nan], [0.5]])
def test_without_a_value_or_a_resample_there_are_no_limits(values: list[float]) -> None:
    estimate = summarise(np.array(values), PATIENT)
    assert np.isnan((estimate.low, estimate.high)).all()


def test_the_interval_of_a_share_is_the_textbook_one() -> None:
    target = np.arange(1000) % 10 < 3
    estimate = interval(lambda weights: prevalence(target, weights), np.arange(1000), resamples=4000)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert estimate.value == pytest.approx(0.3)
    assert (estimate.low, estimate.high) == (pytest.approx(0.3 - half, abs=0.003), pytest.approx(0.3 + half, abs=0.003))
    narrow = interval(lambda weights: prevalence(target, weights), np.arange(1000), resamples=4000, level=0.5)
    assert narrow.high - narrow.low == pytest.approx((estimate.high - estimate.low) * 0.6745 / 1.96, rel=0.1)


def clustered(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw 40 sick and 40 healthy patients with five studies each; a study scatters half as much as a patient."""
    patient = np.repeat(np.arange(80), 5)
    sick = np.arange(80) < 40
    score = (rng.normal(size=80) + 1.5 * sick)[patient] + 0.5 * rng.normal(size=400)
    return norm.cdf(score), sick[patient].astype(int), patient


def test_an_interval_by_patient_covers_the_truth_and_one_by_study_does_not() -> None:
    # Differences of two normal scores: the true AUROC of this population is Phi(1.5 / sqrt(2 (1 + 0.25))).
    truth = norm.cdf(1.5 / np.sqrt(2 * (1 + 0.25)))
    rng = np.random.default_rng(0)
    by_patient, by_study = [], []
    for repetition in range(200):
        probability, target, patient = clustered(rng)
        for covered, drawn in ((by_patient, patient), (by_study, np.arange(400))):
            estimate = interval(lambda w, p=probability, t=target: auroc(p, t, w), drawn, 200, seed=repetition)
            covered.append(estimate.low <= truth <= estimate.high)
    assert np.mean(by_patient) == pytest.approx(0.94, abs=0.03)
    assert np.mean(by_study) < 0.75


def scores(probability: Array, target: Array, patient: Array) -> Scores:
    return Scores(("sick",), probability[:, np.newaxis], target[:, np.newaxis], patient)


def first_auroc(of: Scores, weights: Array) -> Array:
    return auroc(of.predicted[:, 0], of.target[:, 0], weights)


def test_a_difference_is_paired() -> None:
    probability, target, patient = clustered(np.random.default_rng(1))
    a = scores(probability, target, patient)
    rng = np.random.default_rng(2)
    b = scores(np.clip(probability + 0.02 * rng.normal(size=400), 0, 1), target, patient)
    both = difference(first_auroc, a, b, resamples=300)
    alone = [interval(lambda w, of=of: first_auroc(of, w), patient, resamples=300) for of in (a, b)]
    assert both.value == pytest.approx(alone[0].value - alone[1].value)
    assert both.high - both.low < (alone[0].high - alone[0].low) / 4
    nothing = difference(first_auroc, a, a, resamples=20)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    narrow = difference(first_auroc, a, b, resamples=300, level=0.5)
    assert both.low < narrow.low < narrow.high < both.high
    turned = difference(first_auroc, b, a, resamples=300)
    np.testing.assert_allclose((turned.value, turned.low, turned.high), (-both.value, -both.high, -both.low), atol=1e-12)


def test_scores_of_other_studies_are_not_compared() -> None:
    a = scores(*clustered(np.random.default_rng(1)))
    others = {"classes": ("well",), "patient": a.patient[::-1], "target": 1 - a.target}
    for field, value in others.items():
        with pytest.raises(DataError, match="of the two models differ: compare scores of the same studies"):
            difference(first_auroc, a, replace(a, **{field: value}), resamples=2)
