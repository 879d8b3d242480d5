"""Examples are chosen by rule, of every task, and say what each input added."""

from types import SimpleNamespace

import numpy as np
import pytest

from medmm.evaluation.shapley import shapley
from medmm.types import Array, Scores, Task
from medmm.workflows.chapters.examples import abstained, confidence, groups


def scores(predicted: Array, target: Array, classes: tuple[str, ...] = ("flu",)) -> Scores:
    return Scores(classes, np.asarray(predicted, float), np.asarray(target, float), np.arange(len(predicted)))


def chosen(found: Scores, task: Task, thresholds: tuple[float, ...]) -> dict[str, tuple[int, int]]:
    return {group.name: (group.typical, len(group.places)) for group in groups(found, task, thresholds) if len(group.places)}


def test_of_each_group_the_study_of_median_confidence_is_taken() -> None:
    # By hand, threshold 0.5: right and positive are 0, 1, 2 with 0.9, 0.6, 0.8, of which 0.8 is in the middle.
    predicted = [[0.9], [0.6], [0.8], [0.1], [0.7], [0.45], [0.2], [0.3]]
    target = [[1], [1], [1], [0], [0], [1], [0], [0]]
    found = chosen(scores(predicted, target), "binary", (0.5,))
    assert found == {
        "right_positive": (2, 3),
        "right_negative": (6, 3),
        "wrong_positive": (4, 1),
        "wrong_negative": (5, 1),
        "unsure": (5, 1),
    }


def test_a_group_that_has_no_study_is_left_out() -> None:
    assert set(chosen(scores([[0.9], [0.8]], [[1], [1]]), "binary", (0.5,))) == {"right_positive", "unsure"}


def test_confidence_is_the_distance_to_being_said_otherwise() -> None:
    odds = np.log([4.0, 1 / 9])
    np.testing.assert_allclose(confidence(np.array([[0.8], [0.1]]), (0.5,)), np.abs(odds))
    # Of several questions the one nearest to its threshold counts, of several classes the second likeliest.
    np.testing.assert_allclose(confidence(np.array([[0.8, 0.55]]), (0.5, 0.5)), np.log(0.55 / 0.45))
    np.testing.assert_allclose(confidence(np.array([[0.6, 0.3, 0.1]]), ()), np.log(0.6 / 0.4) - np.log(0.3 / 0.7))


@pytest.mark.parametrize(
    ("task", "predicted", "target", "thresholds", "names"),
    [
        ("multiclass", [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]], [[1, 0, 0], [1, 0, 0]], (), {"right", "wrong", "unsure"}),
        ("multilabel", [[0.7, 0.2], [0.1, 0.6]], [[1, 0], [1, 0]], (0.5, 0.5), {"right", "wrong", "unsure"}),
        ("ordinal", [[0.7, 0.2], [0.4, 0.1]], [[1, 0], [1, 0]], (0.5, 0.5), {"right", "wrong", "unsure"}),
        ("regression", [[1.0], [2.0], [9.0]], [[1.1], [2.5], [2.0]], (), {"usual_error", "large_error"}),
        ("survival", [[0.9], [0.1], [0.8], [0.2]], [[1, 1], [9, 0], [8, 0], [2, 1]], (),
         {"right_high", "right_low", "wrong_high", "wrong_low"}),
    ],
)  # fmt: skip
def test_every_task_has_its_groups(
    task: Task, predicted: list[list[float]], target: list[list[float]], thresholds: tuple[float, ...], names: set[str]
) -> None:
    classes = tuple("abc"[: len(predicted[0])])
    assert set(chosen(scores(np.array(predicted), np.array(target), classes), task, thresholds)) == names


def test_the_largest_error_is_among_the_large_ones_and_a_middle_one_is_usual() -> None:
    predicted = np.arange(20.0)[:, None]
    found = chosen(scores(predicted, np.zeros((20, 1))), "regression", ())
    assert found == {"usual_error": (10, 20), "large_error": (19, 2)}


def test_an_input_that_adds_nothing_has_no_share() -> None:
    worth = {frozenset[str](): 1.0, frozenset("a"): 3.0, frozenset("b"): 1.0, frozenset("ab"): 3.0}
    assert shapley({some: np.array(value) for some, value in worth.items()}) == {"a": 2.0, "b": 0.0}


def test_studies_without_an_answer_are_a_group_of_their_own() -> None:
    scores = Scores(("ill",), np.array([[0.9], [0.5], [0.3], [0.6]]), np.array([[1.0], [0], [0], [1]]), np.arange(4))
    cells = {"abstain": [True, False, True, True]}
    target = SimpleNamespace(task="binary")
    package = SimpleNamespace(doubts=lambda studies, answers, said: cells, thresholds=(0.5,), target=target)
    subject = SimpleNamespace(test=SimpleNamespace(scores=scores, rows=range(4)), package=package, studies=[None] * 4)
    (group,) = abstained(subject)  # type: ignore[arg-type]
    # By hand, in log odds from the threshold: 2.20, -, 0.85, 0.41.
    assert (group.name, group.places.tolist(), group.typical) == ("abstained", [3, 2, 0], 2)
    cells.clear()
    assert not list(abstained(subject))  # type: ignore[arg-type]
