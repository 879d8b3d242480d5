import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.horizons import brier_at, dynamic_auc, going_on, integrated_brier
from medmm.evaluation.intervals import patient_weights
from medmm.evaluation.survival import WHENEVER
from medmm.types import Array, Scores


def followed(studies: int = 80, seed: int = 0, cut: bool = True) -> tuple[Array, Array, Array]:
    """Draw risks, times with ties and events, and patients."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=studies)
    time = np.ceil(rng.exponential(6 * np.exp(-latent)))
    end = rng.integers(2, 20, studies) if cut else np.full(studies, np.inf)
    risk = 1 / (1 + np.exp(-(latent + rng.normal(size=studies)).round(1)))
    return risk, np.stack([np.minimum(time, end), time <= end], axis=1).astype(float), np.arange(studies) // 2


def test_how_long_observations_go_on_by_hand() -> None:
    # Ends at 2 (of 5 still observed, the event at 2 has come first) and at 4 (of 2): 1 until 2, then 3/4, then 3/8.
    target = np.array([[1.0, 1], [2.0, 1], [2.0, 0], [3.0, 1], [4.0, 0], [5.0, 1]])
    before, until = going_on(target, 4.0, np.ones((1, 6), np.uint8))
    np.testing.assert_allclose(before[0], [1, 1, 1, 3 / 4, 3 / 4, 3 / 8])
    assert until[0] == pytest.approx(3 / 8)


def test_brier_and_auc_by_hand() -> None:
    # By 3 the event came to studies 0, 1 and 3, weights 1, 1 and 4/3; studies 4 and 5 are without it, weight 4/3; 2 was cut.
    target = np.array([[1.0, 1], [2.0, 1], [2.0, 0], [3.0, 1], [4.0, 0], [5.0, 1]])
    risk = np.array([0.9, 0.2, 0.5, 0.6, 0.4, 0.2])
    once = np.ones((1, 6), np.uint8)
    squares = 0.1**2 + 0.8**2 + 4 / 3 * 0.4**2 + 4 / 3 * (0.4**2 + 0.2**2)
    assert brier_at(risk, target, 3.0, once)[0] == pytest.approx(squares / 6)
    assert dynamic_auc(risk, target, 3.0, once)[0] == pytest.approx((2 + 0.5 + 4 / 3 * 2) / (2 * (2 + 4 / 3)))


@pytest.mark.parametrize("seed", range(3))
def test_a_weight_is_a_study_repeated(seed: int) -> None:
    risk, target, patient = followed(seed=seed)
    weights = patient_weights(patient, 6, seed)
    for measure in (dynamic_auc, brier_at):
        for value, counted in zip(measure(risk, target, 5.0, weights), weights, strict=True):
            often = np.repeat(np.arange(len(risk)), counted)
            once = np.ones((1, len(often)), np.uint8)
            assert value == pytest.approx(measure(risk[often], target[often], 5.0, once)[0])


def test_where_every_event_is_seen_both_are_those_of_a_class() -> None:
    risk, target, _ = followed(cut=False)
    once = np.ones((1, len(risk)), np.uint8)
    had = target[:, 0] <= 4
    assert dynamic_auc(risk, target, 4.0, once)[0] == pytest.approx(roc_auc_score(had, risk))
    assert brier_at(risk, target, 4.0, once)[0] == pytest.approx(np.mean((had - risk) ** 2))


def test_beyond_the_last_observation_neither_is_defined() -> None:
    risk, target, _ = followed()
    target = np.concatenate([target, [[25.0, 0.0]]])
    risk, once = np.append(risk, 0.5), np.ones((1, len(target)), np.uint8)
    assert np.isfinite([dynamic_auc(risk, target, 24.0, once), brier_at(risk, target, 24.0, once)]).all()
    assert np.isnan([dynamic_auc(risk, target, 25.0, once), brier_at(risk, target, 25.0, once)]).all()
    assert np.isnan(dynamic_auc(risk, target, 0.5, once)[0])
    assert np.isnan(dynamic_auc(risk[:1], np.array([[3.0, 0.0]]), 5.0, once[:, :1])[0])


def test_the_mean_over_time_is_that_of_straight_lines() -> None:
    # From 1 to 2 on average 0.15, from 2 to 4 on average 0.25: (0.15 + 2 * 0.25) / 3.
    assert integrated_brier(np.array([[0.1, 0.2, 0.3]]), (1.0, 2.0, 4.0))[0] == pytest.approx(0.65 / 3)


def test_the_results_of_risks_name_each_horizon() -> None:
    risk, target, patient = followed(seed=4)
    scores = Scores(("by_3", "by_6"), np.stack([risk / 2, risk], axis=1), target, patient, {}, (3.0, 6.0))
    evaluation = evaluate(scores, "survival", (), resamples=100)
    once = np.ones((1, len(risk)), np.uint8)
    brier = [brier_at(risk * share, target, at, once)[0] for share, at in ((0.5, 3.0), (1, 6.0))]
    assert [evaluation.pick("brier", name).value for name in scores.classes] == pytest.approx(brier)
    assert evaluation.pick("dynamic_auc", "by_3").value == pytest.approx(dynamic_auc(risk, target, 3.0, once)[0])
    whole = evaluation.pick("integrated_brier", WHENEVER)
    assert whole.value == pytest.approx(np.mean(brier))
    assert whole.low < whole.value < whole.high
    one = Scores(("by_3",), risk[:, np.newaxis], target, patient, {}, (3.0,))
    assert "integrated_brier" not in set(evaluate(one, "survival", (), resamples=100).table()["metric"])
