from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from medmm.errors import DataError
from medmm.evaluation.delong import aurocs, placements
from medmm.evaluation.intervals import difference, patient_weights, tails
from medmm.evaluation.paired import Rated, contrasts, headline_of, holm, normal_p, resampled_p
from medmm.evaluation.yardstick import headline
from medmm.types import Array, Scores

SICK = ("sick",)


def rated(name: str, probability: Array, target: Array, patient: Array) -> Rated:
    """Make a binary method of (seeds, S) probabilities."""
    scores = tuple(Scores(SICK, one[:, np.newaxis], target[:, np.newaxis], patient) for one in probability)
    return Rated(name, scores, np.ones(len(target), bool))


def cohort(rng: np.random.Generator, patients: int, lifts: tuple[float, ...], seeds: int = 1) -> list[Rated]:
    """Draw methods whose scores resemble each other, three studies a patient; a method's lift is that of its positives."""
    patient = np.repeat(np.arange(patients), 3)
    sick = rng.random(patients) < 0.4
    shared = np.sqrt(0.5) * rng.normal(size=patients)[patient]
    methods = []
    for index, lift in enumerate(lifts):
        own = np.sqrt(0.3) * rng.normal(size=patients)[patient]
        drawn = shared + own + lift * sick[patient] + np.sqrt(0.2) * rng.normal(size=(seeds, len(patient)))
        methods.append(rated(f"m{index}", norm.cdf(drawn), sick[patient].astype(int), patient))
    return methods


ALL = np.ones(150, bool)


def three_methods() -> list[Rated]:
    return cohort(np.random.default_rng(0), 50, (1.4, 1.1, 1.0), seeds=2)


def mean_auroc(method: Rated, keep: Array) -> float:
    return float(np.mean([roc_auc_score(one.target[keep, 0], one.predicted[keep, 0]) for one in method.scores]))


def test_a_gain_is_the_difference_of_the_means_over_seeds_on_the_studies_kept() -> None:
    a, b, rival = three_methods()
    keep = np.arange(150) % 7 > 1
    found = contrasts([a, b], rival, keep, resamples=20)
    for contrast, method in zip(found, (a, b), strict=True):
        assert (contrast.name, contrast.rival) == (method.name, rival.name)
        assert contrast.rival_value == pytest.approx(mean_auroc(rival, keep))
        assert contrast.gain.value == pytest.approx(mean_auroc(method, keep) - mean_auroc(rival, keep))
        assert (contrast.gain.studies, contrast.gain.patients) == (keep.sum(), 50)
        assert headline_of(method, keep, 20).value == pytest.approx(mean_auroc(method, keep))


def test_every_method_meets_the_same_resamples() -> None:
    a, _, rival = three_methods()
    a, rival = replace(a, scores=a.scores[:1]), replace(rival, scores=rival.scores[:1])
    (found,) = contrasts([a], rival, ALL, resamples=100, seed=3)
    assert found.gain == difference(headline, a.scores[0], rival.scores[0], resamples=100, seed=3, rests_on=found.rarer)
    assert contrasts([a, a], rival, ALL, resamples=100, seed=3)[1].gain == found.gain
    (other,) = contrasts([a], rival, ALL, resamples=100, seed=4)
    assert other.gain.low != found.gain.low


def test_limits_and_p_values_follow_from_gain_error_and_resamples() -> None:
    *methods, rival = three_methods()
    weights = patient_weights(rival.scores[0].patient, 400, seed=0)
    p = []
    for contrast, method in zip(contrasts(methods, rival, ALL, 400, picked_from=2), methods, strict=True):
        placed = [
            np.mean([placements(one.predicted[:, 0], one.target[:, 0]) for one in each.scores], axis=0)
            for each in (method, rival)
        ]
        both = aurocs(np.array(placed)[..., np.newaxis], rival.scores[0].target, rival.scores[0].patient)
        error = np.sqrt(both.covariance[0, 0] + both.covariance[1, 1] - 2 * both.covariance[0, 1])
        drawn = np.mean([headline(one, weights) for one in method.scores], axis=0)
        drawn -= np.mean([headline(one, weights) for one in rival.scores], axis=0)
        gain = contrast.gain.value
        assert contrast.error == pytest.approx(error)
        assert (contrast.low, contrast.high) == (pytest.approx(gain - 1.959964 * error), pytest.approx(gain + 1.959964 * error))
        # Two comparisons: 2.5 % for a pair of limits, a normal deviate of 2.2414; four for the upper ones: 2.4977.
        assert contrast.corrected_low == pytest.approx(
            min(gain - 2.241403 * error, np.quantile(drawn, tails(0.975, contrast.rarer)[0]))
        )
        assert contrast.corrected_high == pytest.approx(
            max(gain + 2.497705 * error, np.quantile(drawn, tails(0.9875, contrast.rarer)[1]))
        )
        assert contrast.delong_p == pytest.approx(2 * norm.sf(abs(gain) / error))
        assert contrast.bootstrap_p == pytest.approx(2 * (1 + min((drawn <= 0).sum(), (drawn >= 0).sum())) / 401)
        p.append((contrast.corrected_p, max(contrast.delong_p, contrast.bootstrap_p)))
    corrected, larger = zip(*p, strict=True)
    np.testing.assert_allclose(corrected, multipletests(larger, method="holm")[1])


def test_a_rival_picked_from_several_raises_upper_limits_only() -> None:
    *methods, rival = three_methods()
    given, picked = (contrasts(methods, rival, ALL, 200, picked_from=count) for count in (1, 3))
    for one, other in zip(given, picked, strict=True):
        assert other.corrected_high > one.corrected_high
        assert replace(other, corrected_high=one.corrected_high, picked_from=1) == one


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed: int) -> None:
    p = np.random.default_rng(seed).random(6) ** 3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def test_an_unknown_p_value_counts_as_a_comparison() -> None:
    np.testing.assert_allclose(holm(np.array([0.02, np.nan, 0.01])), [0.04, np.nan, 0.03])


def test_a_p_value_of_resamples_has_one_added() -> None:
    # Nine resamples, one below zero and one at zero, which counts for both sides: 2 (1 + 2) / (9 + 1).
    assert resampled_p(np.array([0.1, -0.1, 0, 0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.4, np.nan])) == pytest.approx(0.6)
    assert resampled_p(np.array([0.1, *[0.2] * 99])) == pytest.approx(0.02)
    assert resampled_p(np.array([0.0, *[0.0] * 99])) == 1


def test_a_normal_p_value_is_the_tables() -> None:
    assert normal_p(-0.0196, 0.01) == pytest.approx(0.05, abs=1e-4)
    assert normal_p(0, 0) == 1
    assert np.isnan(normal_p(0.1, 0))


def test_a_method_gains_nothing_over_itself_or_its_logarithm() -> None:
    rival = three_methods()[0]
    bent = [replace(one, predicted=np.log1p(one.predicted)) for one in rival.scores]
    for method in (rival, replace(rival, scores=tuple(bent))):
        (found,) = contrasts([method], rival, ALL, resamples=50)
        assert (found.gain.value, found.error, found.corrected_low, found.corrected_high) == (0, 0, 0, 0)
        assert (found.delong_p, found.bootstrap_p, found.corrected_p, found.note) == (1, 1, 1, "")


def test_a_gain_without_variance_rests_on_the_resamples_and_says_so() -> None:
    target = np.tile([0, 1], 30)
    perfect = rated("perfect", target[np.newaxis].astype(float), target, np.arange(60))
    flat = rated("flat", np.full((1, 60), 0.5), target, np.arange(60))
    (found,) = contrasts([perfect], flat, np.ones(60, bool), resamples=99)
    assert (found.gain.value, found.error) == (0.5, 0)
    assert np.isnan(found.delong_p)
    assert found.corrected_p == found.bootstrap_p == pytest.approx(0.02)
    assert found.note == "every patient shows the same gain, so the intervals understate the uncertainty"


@pytest.mark.parametrize("positives", [0, 1])
def test_too_few_patients_give_no_numbers_and_no_crash(positives: int) -> None:
    rng = np.random.default_rng(0)
    target = np.zeros(30, int)
    target[: 2 * positives] = 1
    patient = np.arange(30) // 2
    methods = [rated(name, rng.random((2, 30)), target, patient) for name in "abc"]
    for found in contrasts(methods[:2], methods[2], np.ones(30, bool), resamples=50):
        assert np.isfinite(found.gain.value) == bool(positives)
        assert np.isnan([found.gain.low, found.gain.high, found.error, found.delong_p, found.bootstrap_p]).all()
        assert np.isnan([found.corrected_p, found.corrected_low, found.corrected_high, found.low, found.high]).all()
        assert found.note == f"patients of the rarer outcome: {positives}, an interval needs 2"


def test_without_studies_there_is_no_gain() -> None:
    a, _, rival = three_methods()
    (found,) = contrasts([a], rival, ~ALL, resamples=5)
    assert np.isnan(found.gain.value)
    assert (found.gain.studies, found.rarer) == (0, 0)
    assert np.isnan(headline_of(a, ~ALL, 5).value)
    assert contrasts([], rival, ALL) == ()


def test_resamples_without_an_outcome_are_counted_out() -> None:
    rng = np.random.default_rng(0)
    target = np.array([1, 1] + [0] * 20)
    a, b = (rated(name, rng.random((1, 22)), target, np.arange(22)) for name in "ab")
    (found,) = contrasts([a], b, np.ones(22, bool), resamples=200)
    assert found.rarer == 2
    assert found.note == f"defined in {found.gain.defined} of 200 resamples"
    # A resample misses both positives with the chance (20 / 22)^22 = 12 %.
    assert found.gain.defined / 200 == pytest.approx(0.88, abs=0.07)


def test_the_rarer_outcome_is_the_least_over_the_classes_in_use() -> None:
    rng = np.random.default_rng(0)
    target = np.zeros((40, 3), int)
    target[:30, 0], target[:4, 1] = 1, 1  # class 2 has no positive
    scores = [Scores(("a", "b", "c"), rng.random((40, 3)), target, np.arange(40) // 2) for _ in range(2)]
    a, b = (Rated(name, (one,), np.ones(40, bool)) for name, one in zip("ab", scores, strict=True))
    (found,) = contrasts([a], b, np.ones(40, bool), resamples=5)
    assert found.rarer == 2
    turned = [replace(one, scores=tuple(replace(s, target=1 - s.target) for s in one.scores)) for one in (a, b)]
    assert contrasts(turned[:1], turned[1], np.ones(40, bool), resamples=5)[0].rarer == 2
    expected = [np.mean([roc_auc_score(target[:, c], one.predicted[:, c]) for c in (0, 1)]) for one in scores]
    assert found.gain.value == pytest.approx(expected[0] - expected[1])


def test_scores_of_other_studies_are_refused() -> None:
    a, b, _ = three_methods()
    turned = tuple(replace(one, target=one.target[::-1]) for one in b.scores)
    with pytest.raises(DataError, match="the targets of 'm0' and 'm1' differ: compare scores of the same studies"):
        contrasts([a], replace(b, scores=turned), ALL, resamples=2)
    with pytest.raises(DataError, match="the targets of two seeds of method 'm0' differ"):
        replace(a, scores=(a.scores[0], turned[0]))
    with pytest.raises(DataError, match="method 'm0' has no scores: give those of at least one seed"):
        replace(a, scores=())
    with pytest.raises(DataError, match=r"covers of method 'm0' has shape \(149,\): give one value for 150 studies"):
        replace(a, covers=a.covers[1:])


def test_equal_methods_are_called_different_in_a_twentieth_of_cohorts_and_intervals_cover() -> None:
    rng = np.random.default_rng(0)
    rejected: dict[str, list[bool]] = {"delong": [], "bootstrap": [], "careful": []}
    covered: dict[str, list[bool]] = {"delong": [], "bootstrap": []}
    for repetition in range(300):
        a, b, lifted = cohort(rng, 60, (1.0, 1.0, 1.6))
        null, real = contrasts([a, lifted], b, a.covers, resamples=300, seed=repetition)
        rejected["delong"].append(null.delong_p < 0.05)
        rejected["bootstrap"].append(null.bootstrap_p < 0.05)
        rejected["careful"].append(max(null.delong_p, null.bootstrap_p) < 0.05)
        truth = norm.cdf(1.6 / np.sqrt(2)) - norm.cdf(1 / np.sqrt(2))
        covered["delong"].append(real.low <= truth <= real.high)
        covered["bootstrap"].append(real.gain.low <= truth <= real.gain.high)
    low, high = binom.ppf([0.0005, 0.9995], 300, 0.05) / 300
    for name in ("delong", "bootstrap"):
        assert low <= np.mean(rejected[name]) <= high
        assert 1 - high <= np.mean(covered[name]) <= 1 - low
    assert np.mean(rejected["careful"]) <= high
