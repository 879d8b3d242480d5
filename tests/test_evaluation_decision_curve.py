"""Net benefit by hand, and where a model is better than acting on all or on nobody."""

import numpy as np
import pytest
from scipy.special import expit

from medmm.evaluation.decision_curve import THRESHOLDS, DecisionCurve, by_horizon, decision_curve, decision_plot
from medmm.evaluation.intervals import sample_and_resamples
from medmm.types import Array

FIVE = np.array([0.1, 0.3, 0.3, 0.6, 0.9]), np.array([0, 0, 1, 1, 1])


def curve(probability: Array, target: Array, resamples: int = 200) -> DecisionCurve:
    patient = np.arange(len(target))
    return decision_curve("ill", probability, target, patient, sample_and_resamples(patient, resamples, 0))


def test_net_benefit_by_hand() -> None:
    one = curve(*FIVE)
    places = [THRESHOLDS.index(t) for t in (0.05, 0.3, 0.5, 0.95)]
    # Called: all; at 0.3 three ill and one not; at 0.5 two ill; at 0.95 none.
    expected = [3 / 5 - 2 / 5 * 0.05 / 0.95, 3 / 5 - 1 / 5 * 0.3 / 0.7, 2 / 5, 0]
    assert one.model[0, places] == pytest.approx(expected)
    assert one.everyone[0, places] == pytest.approx([3 / 5 - 2 / 5 * t / (1 - t) for t in (0.05, 0.3, 0.5, 0.95)])
    assert one.gain[0, places[0]] == 0
    assert one.gain[0, places[1]] == pytest.approx(1 / 5 * 0.3 / 0.7)  # one spared
    assert one.gain[0, places[2]] == pytest.approx(1 / 5)  # against acting on all, 3/5 - 2/5


def test_every_resample_is_that_of_the_repeated_studies() -> None:
    rng = np.random.default_rng(0)
    probability, target, patient = rng.random(30).round(2), rng.integers(0, 2, 30), np.repeat(np.arange(10), 3)
    weights = sample_and_resamples(patient, 6, 0)
    whole = decision_curve("ill", probability, target, patient, weights)
    for number, row in enumerate(weights):
        chosen = np.repeat(np.arange(30), row)
        alone = decision_curve("ill", probability[chosen], target[chosen], chosen, np.ones((1, len(chosen)), np.uint8))
        np.testing.assert_allclose(whole.model[number], alone.model[0])
        np.testing.assert_allclose(whole.everyone[number], alone.everyone[0])


def test_a_good_model_is_better_over_a_range_and_one_that_knows_nothing_nowhere() -> None:
    rng = np.random.default_rng(0)
    probability = expit(rng.normal(-1, 2, 600))
    target = (rng.random(600) < probability).astype(int)
    first, last = max(curve(probability, target).better(), key=lambda one: one[1] - one[0])
    assert first < 0.15
    assert last > 0.6
    nothing = curve(rng.permutation(probability), target)
    wins = sum(round((high - low) * 100) + 1 for low, high in nothing.better())
    assert wins <= 5


def test_where_everybody_is_called_nothing_is_gained() -> None:
    one = curve(np.linspace(0.5, 0.9, 20), np.tile([0, 1], 10))
    below = slice(THRESHOLDS.index(0.5))
    np.testing.assert_allclose(one.gain[:, below], np.minimum(one.everyone, 0)[:, below], atol=1e-12)
    assert (one.gain[:, 0] == 0).all()
    assert not [low for low, _ in one.better() if low < 0.3]


def test_the_table_has_a_row_a_threshold_with_intervals() -> None:
    table = curve(*FIVE).table()
    assert list(table["threshold"]) == list(THRESHOLDS)
    assert (table["net_benefit_low"] <= table["net_benefit_high"]).all()


def test_who_has_the_event_by_a_horizon_and_for_whom_they_stand() -> None:
    target = np.array([[1.0, 1], [2, 0], [3, 1], [4, 0], [5, 1]])
    ill, stands_for = by_horizon(target, 4)
    assert ill.tolist() == [1, 0, 1, 0, 0]
    # The one that left at 2 is shared by the three after it: each of these stands for four thirds.
    assert stands_for == pytest.approx([1, 0, 4 / 3, 4 / 3, 4 / 3])
    ill, stands_for = by_horizon(target, 4.5)
    # The one that left at 4 is shared by the last alone.
    assert stands_for == pytest.approx([1, 0, 4 / 3, 0, 8 / 3])


def test_many_classes_are_drawn_in_panels() -> None:
    figure = decision_plot([curve(*FIVE)] * 4, "Decision curve", "5 studies")
    figure.canvas.draw()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 4
    assert all(any("model" in str(line.get_label()) for line in axes.lines) for axes in shown)
