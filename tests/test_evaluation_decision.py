from typing import Literal

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_curve

from medmm.errors import DataError
from medmm.evaluation.decision import DecisionSettings, choose_thresholds, decide
from medmm.types import Array, Scores

Rule = Literal["youden", "sensitivity", "specificity"]


def scores(probability: list[float] | Array, target: list[int] | Array) -> Scores:
    columns = np.asarray(probability)[:, np.newaxis], np.asarray(target)[:, np.newaxis]
    return Scores(("sick",), *columns, np.arange(len(probability)))


EIGHT = scores([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [0, 0, 1, 0, 0, 1, 1, 1])


def threshold(of: Scores, rule: Rule, at_least: float = 0.9) -> float:
    (value,) = choose_thresholds(of, "binary", DecisionSettings(rule=rule, at_least=at_least))
    return value


def test_thresholds_by_hand() -> None:
    # Between 0.5 and 0.6: sensitivity 3/4, specificity 4/4; between 0.2 and 0.3: 4/4 and 2/4.
    assert threshold(EIGHT, "youden") == pytest.approx(0.55)
    assert threshold(EIGHT, "sensitivity", 0.76) == pytest.approx(0.25)
    assert threshold(EIGHT, "sensitivity", 0.75) == pytest.approx(0.55)
    assert threshold(EIGHT, "specificity", 0.5) == pytest.approx(0.25)
    assert threshold(EIGHT, "specificity", 0.51) == pytest.approx(0.55)


def test_of_equally_good_thresholds_the_most_sensitive_is_taken() -> None:
    # Above 0.15: 2/2 and 1/2; above 0.35: 1/2 and 2/2.
    assert threshold(scores([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1]), "youden") == pytest.approx(0.15)


@pytest.mark.parametrize("seed", range(8))
def test_youden_agrees_with_scikit_learns_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 30, 200) / 30
    target = (rng.random(200) < probability).astype(int)
    false_rate, true_rate, _ = roc_curve(target, probability)
    called = probability >= threshold(scores(probability, target), "youden")
    assert called[target == 1].mean() - called[target == 0].mean() == pytest.approx((true_rate - false_rate).max())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("at_least", [0.5, 0.8, 0.9])
def test_a_kept_rate_is_kept_and_the_other_is_the_best_possible(seed: int, at_least: float) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 40, 100) / 40
    target = (rng.random(100) < 0.1 + 0.8 * probability).astype(int)

    def rates(cut: float) -> tuple[float, float]:
        return float((probability >= cut)[target == 1].mean()), float((probability < cut)[target == 0].mean())

    every = [rates(cut) for cut in np.unique(probability)[1:]]
    sensitive = rates(threshold(scores(probability, target), "sensitivity", at_least))
    assert sensitive == max((pair for pair in every if pair[0] >= at_least), key=lambda pair: (pair[1], pair[0]))
    specific = rates(threshold(scores(probability, target), "specificity", at_least))
    assert specific == max((pair for pair in every if pair[1] >= at_least), key=lambda pair: (pair[0], pair[1]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("steps", [0, 1])
def test_neighbouring_numbers_are_divided(dtype: type, steps: int) -> None:
    low = dtype(0.3) + steps * np.spacing(dtype(0.3))
    high = np.nextafter(low, dtype(1))
    of = scores(np.array([low, high] * 5, dtype), [0, 1] * 5)
    decided = decide(of.predicted, choose_thresholds(of, "binary", DecisionSettings()), "binary")
    np.testing.assert_array_equal(decided, of.target == 1)


@pytest.mark.parametrize("target", [[0, 0, 0], [1, 1, 1]])
def test_one_class_alone_is_refused(target: list[int]) -> None:
    with pytest.raises(DataError, match=r"'sick' has \d positive and \d negative.* enlarge the validation split"):
        threshold(scores([0.1, 0.2, 0.3], target), "youden")


@pytest.mark.parametrize("rule", ["youden", "sensitivity", "specificity"])
def test_a_constant_prediction_is_refused(rule: Rule) -> None:
    with pytest.raises(DataError, match="no threshold between the 1 distinct probabilities"):
        threshold(scores([0.5, 0.5, 0.5], [0, 1, 1]), rule)


def test_a_rate_that_no_threshold_keeps_is_refused() -> None:
    upside_down = scores([0.1, 0.5, 0.9], [1, 1, 0])
    with pytest.raises(DataError, match=r"rule 'sensitivity' \(at_least: 0.9\): lower decision.at_least"):
        threshold(upside_down, "sensitivity")
    with pytest.raises(DataError, match=r"rule 'specificity' \(at_least: 0.9\): lower decision.at_least"):
        threshold(upside_down, "specificity")


def test_each_label_has_its_own_threshold_and_a_multiclass_task_none() -> None:
    probability = np.array([[0.1, 0.9], [0.3, 0.7], [0.8, 0.2]])
    target = np.array([[0, 1], [1, 0], [1, 0]])
    two = Scores(("a", "b"), probability, target, np.arange(3))
    assert choose_thresholds(two, "multilabel", DecisionSettings()) == (pytest.approx(0.2), pytest.approx(0.8))
    assert choose_thresholds(two, "multiclass", DecisionSettings()) == ()


def test_decisions_by_hand() -> None:
    probability = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    np.testing.assert_array_equal(decide(probability, (0.2, 0.6, 0.3), "multilabel"), [[1, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(decide(probability, (), "multiclass"), [[0, 1, 0], [1, 0, 0]])


def test_thresholds_must_match_the_classes() -> None:
    with pytest.raises(DataError, match="1 thresholds for a multilabel task of 2 classes, expected 2"):
        decide(np.zeros((1, 2)), (0.5,), "multilabel")
    with pytest.raises(DataError, match="expected 0"):
        decide(np.zeros((1, 2)), (0.5, 0.5), "multiclass")


def test_settings_refuse_what_cannot_be_kept() -> None:
    for at_least in (0, 1.1):
        with pytest.raises(ValidationError):
            DecisionSettings(at_least=at_least)
