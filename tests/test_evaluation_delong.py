from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, norm
from sklearn.metrics import roc_auc_score

from medmm.evaluation.delong import aurocs, placements
from medmm.evaluation.within_folds import mean_placements
from medmm.types import Array, Scores


def wins(positive: float, negative: float) -> float:
    return float(positive > negative) + 0.5 * float(positive == negative)


def naive_covariance(probability: Array, target: Array, patient: Array) -> Array:
    """Obuchowski's formulas written out for one class, pair by pair: (M, S), (S,), (S,) -> (M, M)."""
    methods, studies = probability.shape
    positives = [s for s in range(studies) if target[s]]
    negatives = [s for s in range(studies) if not target[s]]
    m, n = len(positives), len(negatives)
    people = sorted(set(patient.tolist()))
    with_positive = len({int(patient[s]) for s in positives})
    with_negative = len({int(patient[s]) for s in negatives})
    X, Y = np.zeros((methods, len(people))), np.zeros((methods, len(people)))
    for k, (i, one) in product(range(methods), enumerate(people)):
        area = sum(wins(probability[k, s], probability[k, t]) for s in positives for t in negatives) / (m * n)
        for s in positives:
            if patient[s] == one:
                X[k, i] += sum(wins(probability[k, s], probability[k, t]) for t in negatives) / n - area
        for t in negatives:
            if patient[t] == one:
                Y[k, i] += sum(wins(probability[k, s], probability[k, t]) for s in positives) / m - area
    S10 = with_positive / ((with_positive - 1) * m) * X @ X.T
    S01 = with_negative / ((with_negative - 1) * n) * Y @ Y.T
    S11 = len(people) / (len(people) - 1) * X @ Y.T
    return np.asarray(S10 / m + S01 / n + (S11 + S11.T) / (m * n))


def delong_covariance(probability: Array, target: Array) -> Array:
    """DeLong's formula for independent studies from all pairs: (M, S), (S,) -> (M, M)."""
    pairs = np.vectorize(wins)(probability[:, target == 1, np.newaxis], probability[:, np.newaxis, target == 0])  # (M, m, n)
    m, n = pairs.shape[1:]
    return np.asarray(np.cov(pairs.mean(axis=2)) / m + np.cov(pairs.mean(axis=1)) / n)


def ratings(seed: int, methods: int = 3, studies: int = 40, patients: int = 15) -> tuple[Array, Array, Array]:
    """Draw (M, S) coarse scores with ties, (S,) targets and patients; patients mix positive and negative studies."""
    rng = np.random.default_rng(seed)
    target = rng.integers(2, size=studies)
    probability = (rng.normal(size=studies) + rng.normal(size=(methods, studies)) + target).round(0) / 10 + 0.5
    return probability, target, rng.integers(patients, size=studies)


def one_class(probability: Array, target: Array) -> tuple[Array, Array]:
    return placements(probability, target)[..., np.newaxis], target[:, np.newaxis]


def test_placements_are_shares_of_the_other_outcome() -> None:
    # Positives 0.4 and 0.9, negatives 0.1, 0.4 and 0.6: 0.4 beats 0.1 and ties with 0.4, 0.9 beats all.
    placed = placements(np.array([0.1, 0.4, 0.9, 0.4, 0.6]), np.array([0, 1, 1, 0, 0]))
    np.testing.assert_allclose(placed, [1, 1.5 / 3, 1, 0.75, 0.5])


@pytest.mark.parametrize("seed", range(5))
def test_both_means_of_placements_are_the_auroc(seed: int) -> None:
    probability, target, _ = ratings(seed)
    placed = placements(probability.reshape(1, 3, -1), target)[0]
    for scores, shares in zip(probability, placed, strict=True):
        expected = roc_auc_score(target, scores)
        assert shares[target == 1].mean() == pytest.approx(expected)
        assert shares[target == 0].mean() == pytest.approx(expected)


@pytest.mark.parametrize("outcome", [0, 1])
def test_without_the_other_outcome_nothing_has_a_place(outcome: int) -> None:
    assert np.isnan(placements(np.array([0.1, 0.2]), np.array([outcome, outcome]))).all()


@pytest.mark.parametrize("seed", range(5))
def test_with_one_study_a_patient_the_covariance_is_that_of_delong(seed: int) -> None:
    probability, target, _ = ratings(seed)
    found = aurocs(*one_class(probability, target), np.random.default_rng(seed).permutation(len(target)))
    np.testing.assert_allclose(found.value, [roc_auc_score(target, scores) for scores in probability])
    np.testing.assert_allclose(found.covariance, delong_covariance(probability, target), rtol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_with_several_studies_a_patient_it_is_that_of_obuchowski(seed: int) -> None:
    probability, target, patient = ratings(seed)
    found = aurocs(*one_class(probability, target), patient)
    np.testing.assert_allclose(found.covariance, naive_covariance(probability, target, patient), rtol=1e-10)


def test_the_mean_over_classes_counts_what_classes_share() -> None:
    rng = np.random.default_rng(4)
    patient = rng.integers(25, size=90)
    label = rng.integers(3, size=90)
    target = np.eye(3, dtype=int)[label]
    probability = rng.random((2, 90, 3)) + 0.5 * target
    placed = np.stack([placements(probability[..., c], target[:, c]) for c in range(3)], axis=-1)
    found = aurocs(placed, target, patient)
    people = sorted(set(patient.tolist()))
    deviation = np.zeros((2, 3, len(people)))
    for k, c, s in product(range(2), range(3), range(90)):
        area = roc_auc_score(target[:, c], probability[k, :, c])
        of_outcome = (target[:, c] == target[s, c]).sum()
        deviation[k, c, people.index(patient[s])] += (placed[k, s, c] - area) / of_outcome
    expected = np.zeros((2, 2))
    for c, d in product(range(3), range(3)):
        if c == d:
            expected += naive_covariance(probability[..., c], target[:, c], patient)
        else:
            expected += len(people) / (len(people) - 1) * deviation[:, c] @ deviation[:, d].T
    np.testing.assert_allclose(found.covariance, expected / 9, rtol=1e-10)
    np.testing.assert_allclose(
        found.value, [np.mean([roc_auc_score(target[:, c], one[:, c]) for c in range(3)]) for one in probability]
    )


def test_seeds_are_averaged_as_methods_would_be() -> None:
    probability, target, patient = ratings(1, methods=4)
    scores = [Scores(("sick",), one[:, np.newaxis], target[:, np.newaxis], patient) for one in probability]
    found = aurocs(
        mean_placements(scores, [np.zeros(len(target), int)] * len(scores))[np.newaxis], target[:, np.newaxis], patient
    )
    seeds = aurocs(*one_class(probability, target), patient)
    assert found.value[0] == pytest.approx(np.mean([roc_auc_score(target, one) for one in probability]))
    assert found.covariance[0, 0] == pytest.approx(seeds.covariance.mean())


def test_a_difference_of_placements_is_a_difference_of_aurocs() -> None:
    probability, target, patient = ratings(2)
    placed, column = one_class(probability, target)
    both = aurocs(placed, column, patient)
    apart = aurocs(placed[:2] - placed[2], column, patient)
    contrast = np.array([[1, 0, -1], [0, 1, -1]])
    np.testing.assert_allclose(apart.value, contrast @ both.value, atol=1e-14)
    np.testing.assert_allclose(apart.covariance, contrast @ both.covariance @ contrast.T, rtol=1e-9)


def test_the_order_of_studies_is_irrelevant_and_no_contrast_has_a_negative_variance() -> None:
    rng = np.random.default_rng(0)
    target, patient = rng.integers(2, size=(60, 4)), rng.integers(20, size=60)
    placed = np.stack([placements(rng.random((6, 60)), target[:, c]) for c in range(4)], axis=-1)
    order = rng.permutation(60)
    found = aurocs(placed, target, patient)
    turned = aurocs(placed[:, order], target[order], 100 - patient[order])
    np.testing.assert_allclose(found.covariance, turned.covariance, rtol=1e-9)
    assert np.linalg.eigvalsh(found.covariance).min() > 0


def test_a_class_of_one_outcome_is_left_out_and_one_of_a_single_patient_has_no_error() -> None:
    probability, target, patient = ratings(0, methods=2)
    placed, column = one_class(probability, target)
    empty = np.full_like(placed, np.nan)
    alone = aurocs(placed, column, patient)
    with_empty = aurocs(np.concatenate([empty, placed], axis=-1), np.concatenate([0 * column, column], axis=1), patient)
    np.testing.assert_array_equal(with_empty.covariance, alone.covariance)
    nothing = aurocs(empty, 0 * column, patient)
    assert np.isnan(nothing.value).all()
    assert nothing.covariance.shape == (2, 2)
    single = np.where(target == 1, 99, patient)  # all positive studies come from one patient
    lonely = aurocs(placed, column, single)
    np.testing.assert_array_equal(lonely.value, alone.value)
    assert np.isnan(lonely.covariance).all()


def clustered(rng: np.random.Generator, patients: int, studies: int, classes: int) -> tuple[Array, Array, Array]:
    """Draw (S, C) scores whose classes and whose studies of a patient resemble each other, targets and patients.

    The score of a class is normal with variance 1 and a mean of 1 for the positives, so that its AUROC is Phi(1 / sqrt(2)).
    """
    patient = np.repeat(np.arange(patients), studies)
    sick = rng.random((patients, classes)) < 0.4
    of_patient = np.sqrt(0.4) * rng.normal(size=(patients, 1)) + np.sqrt(0.3) * rng.normal(size=(patients, classes))
    score = (of_patient + sick)[patient] + np.sqrt(0.3) * rng.normal(size=(len(patient), classes))
    return score, sick[patient].astype(int), patient


@pytest.mark.parametrize("classes", [1, 3])
def test_a_clustered_interval_covers_the_truth_and_one_by_study_is_too_narrow(classes: int) -> None:
    rng = np.random.default_rng(classes)
    truth = norm.cdf(1 / np.sqrt(2))
    covered: dict[str, list[bool]] = {"patient": [], "study": []}
    ratios = []
    for _ in range(300):
        score, target, patient = clustered(rng, 70, 3, classes)
        placed = np.stack([placements(score[:, c], target[:, c]) for c in range(classes)], axis=-1)[np.newaxis]
        errors = {}
        for name, unit in (("patient", patient), ("study", np.arange(len(patient)))):
            value, covariance = aurocs(placed, target, unit)
            errors[name] = np.sqrt(covariance[0, 0])
            covered[name].append(abs(value[0] - truth) < 1.96 * errors[name])
        ratios.append(errors["patient"] / errors["study"])
    low, high = binom.ppf([0.0005, 0.9995], 300, 0.95) / 300
    assert low - 0.01 <= np.mean(covered["patient"]) <= high  # a hundredth for what a normal interval of 70 patients lacks
    assert np.mean(covered["study"]) < low - 0.05
    assert min(ratios) > 1
