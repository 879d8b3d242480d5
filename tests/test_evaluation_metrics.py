import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from medmm.evaluation.metrics import (
    Metric,
    auroc,
    average_precision,
    brier,
    by_blocks,
    cumulative_counts,
    prevalence,
    sensitivity,
    specificity,
)
from medmm.types import Array

ONE = np.ones((1, 4), np.uint8)
REFERENCES: list[tuple[Metric, Callable[..., float]]] = [
    (auroc, roc_auc_score),
    (average_precision, average_precision_score),
    (brier, brier_score_loss),
]


def drawn(seed: int, levels: int, studies: int = 300) -> tuple[Array, Array]:
    """Make probabilities of a few levels, so that many tie, and targets that follow them."""
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, levels + 1, studies) / levels
    return probability, (rng.random(studies) < probability * 0.6 + 0.2).astype(int)


@pytest.mark.parametrize("levels", [1, 5, 40, 10**9])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("metric", "reference"), REFERENCES)
def test_a_metric_agrees_with_scikit_learn(metric: Metric, reference: Callable[..., float], seed: int, levels: int) -> None:
    probability, target = drawn(seed, levels)
    rng = np.random.default_rng(seed)
    whole = rng.poisson(1.0, (4, len(target))).astype(np.uint8)
    for weights in (whole, rng.random((4, len(target)))):
        expected = [reference(target, probability, sample_weight=row) for row in weights]
        np.testing.assert_allclose(metric(probability, target, weights), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", [auroc, average_precision, brier])
def test_a_whole_weight_is_a_study_repeated(metric: Metric) -> None:
    probability, target = drawn(0, 20, studies=80)
    weights = np.random.default_rng(1).poisson(1.0, (3, 80)).astype(np.uint8)
    once = np.ones((1, int(weights.sum(axis=1).max())), np.uint8)
    for row in weights:
        again = metric(np.repeat(probability, row), np.repeat(target, row), once[:, : row.sum()])
        np.testing.assert_allclose(metric(probability, target, row[np.newaxis]), again, rtol=0, atol=1e-12)


def test_values_by_hand() -> None:
    probability, target = np.array([0.1, 0.5, 0.5, 0.9]), np.array([0, 0, 1, 1])
    # Pairs: 0.5 over 0.1 won, 0.5 over 0.5 half, 0.9 over both won: 3.5 of 4.
    assert auroc(probability, target, ONE) == pytest.approx(3.5 / 4)
    # Precision 1/1 at recall 1/2, then 2/3 at recall 1.
    assert average_precision(probability, target, ONE) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert brier(probability, target, ONE) == pytest.approx((0.01 + 0.25 + 0.25 + 0.01) / 4)


def test_rates_by_hand() -> None:
    decided, target = np.array([True, False, True, False]), np.array([1, 1, 0, 0])
    weights = np.array([[1, 1, 1, 1], [3, 1, 0, 2], [0, 0, 1, 4]], np.uint8)
    np.testing.assert_allclose(sensitivity(decided, target, weights), [0.5, 0.75, np.nan])
    np.testing.assert_allclose(specificity(decided, target, weights), [0.5, 1.0, 0.8])
    np.testing.assert_allclose(prevalence(target, weights), [0.5, 4 / 6, 0.0])


def test_ranking_is_undefined_with_one_class_while_the_brier_score_is_not() -> None:
    probability = np.array([0.2, 0.4, 0.6, 0.8])
    for target in (np.zeros(4, int), np.ones(4, int)):
        assert np.isnan(auroc(probability, target, ONE)).all()
        assert np.isnan(average_precision(probability, target, ONE)).all()
        assert np.isfinite(brier(probability, target, ONE)).all()
    assert np.isnan(sensitivity(probability > 0.5, np.zeros(4, int), ONE)).all()
    assert np.isnan(specificity(probability > 0.5, np.ones(4, int), ONE)).all()


def test_a_resample_that_lost_a_class_is_undefined_alone() -> None:
    probability, target = np.array([0.1, 0.3, 0.6, 0.9]), np.array([0, 0, 1, 1])
    weights = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]], np.uint8)
    for metric in (auroc, average_precision):
        np.testing.assert_array_equal(metric(probability, target, weights), [1, np.nan, np.nan])


@pytest.mark.parametrize("seed", range(5))
def test_reversing_the_ranking_reverses_the_auroc(seed: int) -> None:
    probability, target = drawn(seed, 10)
    weights = np.random.default_rng(seed).poisson(1.0, (3, len(target))).astype(np.uint8)
    np.testing.assert_allclose(auroc(probability, target, weights), 1 - auroc(1 - probability, target, weights), atol=1e-12)


def test_counts_hold_ties_together() -> None:
    probability, target = np.array([0.5, 0.9, 0.5, 0.1]), np.array([1, 1, 0, 0])
    true, false = cumulative_counts(probability, target, np.array([[1, 2, 3, 4]], np.uint8))
    np.testing.assert_array_equal(true, [[2, 3, 3]])
    np.testing.assert_array_equal(false, [[0, 3, 7]])


def test_blocks_join_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medmm.evaluation.metrics.BLOCK_VALUES", 10)
    weights = np.arange(28).reshape(7, 4)
    blocks: list[int] = []

    def total(block: Array) -> Array:
        blocks.append(len(block))
        return np.asarray(block.sum(axis=1))

    np.testing.assert_array_equal(by_blocks(total, weights), weights.sum(axis=1))
    assert blocks == [2, 2, 2, 1]


@pytest.mark.parametrize("metric", [auroc, average_precision, brier])
def test_memory_does_not_grow_with_the_resamples(metric: Metric) -> None:
    probability, target = drawn(0, 10**9, studies=20_000)
    weights = np.ones((200, 20_000), np.uint8)
    tracemalloc.start()
    metric(probability, target, weights)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 200e6
