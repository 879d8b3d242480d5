"""AUROC within folds: by hand, by pairs counted one by one, and free of what folds do to scales."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medmm.evaluation.delong import aurocs, placements
from medmm.evaluation.intervals import patient_weights
from medmm.evaluation.metrics import auroc
from medmm.evaluation.paired import Rated, headline_of
from medmm.evaluation.within_folds import auroc_within, headline_within, mean_placements, placements_within
from medmm.types import Array, Scores

TARGET = np.array([1, 0, 0, 1, 0, 1, 1])
FOLD = np.array([0, 0, 0, 1, 1, 1, 2])
SCORE = np.array([0.5, 0.4, 0.6, 0.2, 0.2, 0.1, 0.9])


def test_pairs_of_one_fold_by_hand() -> None:
    # Fold 0: 0.5 beats 0.4 and not 0.6. Fold 1: 0.2 ties with 0.2, 0.1 loses. Fold 2 has no negative study.
    assert auroc_within(SCORE, TARGET, FOLD, np.ones((1, 7)))[0] == pytest.approx((1 + 0.5) / 4)


def by_pairs(score: Array, target: Array, fold: Array, weight: Array) -> float:
    right = pairs = 0.0
    for i in np.flatnonzero(target == 1):
        for j in np.flatnonzero(target == 0):
            if fold[i] == fold[j]:
                count = weight[i] * weight[j]
                pairs += count
                right += count * ((score[i] > score[j]) + 0.5 * (score[i] == score[j]))
    return right / pairs if pairs else np.nan


@pytest.mark.parametrize("seed", range(20))
def test_resamples_agree_with_pairs_counted_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patient, fold = rng.integers(0, 12, 40), rng.integers(0, 4, 40)
    target, score = rng.integers(0, 2, 40), rng.integers(0, 6, 40) / 5
    weights = patient_weights(patient, 5, seed)
    expected = [by_pairs(score, target, fold, weight.astype(float)) for weight in weights]
    np.testing.assert_allclose(auroc_within(score, target, fold, weights), expected)


@pytest.mark.parametrize("seed", range(20))
def test_placements_average_to_the_auroc_over_either_outcome(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fold, target, score = rng.integers(0, 4, 50), rng.integers(0, 2, 50), rng.random((3, 50))
    placed = placements_within(score, target, fold)
    for row, own in zip(score, placed, strict=True):
        whole = auroc_within(row, target, fold, np.ones((1, 50)))[0]
        assert own[target == 1].mean() == pytest.approx(whole)
        assert own[target == 0].mean() == pytest.approx(whole)


def test_one_fold_is_the_usual_auroc() -> None:
    rng = np.random.default_rng(0)
    target, score, fold = rng.integers(0, 2, 60), rng.random(60), np.zeros(60, int)
    assert auroc_within(score, target, fold, np.ones((1, 60)))[0] == pytest.approx(roc_auc_score(target, score))
    np.testing.assert_allclose(placements_within(score, target, fold), placements(score, target))


def test_a_fold_without_pairs_moves_nothing() -> None:
    value = auroc_within(SCORE, TARGET, FOLD, np.ones((1, 7)))[0]
    assert placements_within(SCORE, TARGET, FOLD)[6] == pytest.approx(value)
    assert np.isnan(placements_within(SCORE, TARGET, np.arange(7))).all()
    assert np.isnan(auroc_within(SCORE, TARGET, np.arange(7), np.ones((1, 7)))[0])


def test_the_scale_of_a_fold_changes_nothing_and_ruins_the_auroc_of_all_together() -> None:
    rng = np.random.default_rng(1)
    target, fold = rng.integers(0, 2, 400), np.arange(400) % 4
    score = 1 / (1 + np.exp(-(rng.normal(size=400) + 2 * target)))
    moved = score / (1 + 9 * fold)  # as if each model were calibrated in another way
    patient = np.arange(400)

    def rated(values: Array) -> Rated:
        scores = Scores(("sick",), values[:, None], target[:, None].astype(float), patient)
        return Rated("m", (scores,), np.ones(400, bool), (fold,))

    everyone = np.ones(400, bool)
    assert headline_of(rated(moved), everyone, 100) == headline_of(rated(score), everyone, 100)
    together = auroc(moved, target, np.ones((1, 400)))[0]
    assert together < headline_of(rated(moved), everyone, 100).value - 0.1


@pytest.mark.parametrize("seed", range(3))
def test_the_standard_error_is_that_of_the_bootstrap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patients, fold_of = np.repeat(np.arange(120), 2), np.repeat(rng.permutation(120) % 5, 2)
    target = np.repeat(rng.random(120) < 0.4, 2).astype(float)
    score = np.repeat(rng.normal(size=120), 2) + target + 0.3 * rng.normal(size=240) + fold_of
    scores = Scores(("sick",), 1 / (1 + np.exp(-score))[:, None], target[:, None], patients)
    error = np.sqrt(aurocs(mean_placements([scores], [fold_of])[None], scores.target, patients).covariance[0, 0])
    drawn = headline_within(scores, fold_of, patient_weights(patients, 3000, seed))
    assert error == pytest.approx(np.nanstd(drawn), rel=0.15)


def test_folds_of_another_number_than_seeds_are_refused() -> None:
    from medmm.errors import DataError

    scores = Scores(("sick",), np.full((4, 1), 0.5), np.array([[0.0], [1], [0], [1]]), np.arange(4))
    with pytest.raises(DataError, match="fold of each"):
        Rated("m", (scores, scores), np.ones(4, bool), (np.zeros(4, int),))
