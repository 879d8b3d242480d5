"""A model that knows its training studies by heart is found out; one that does not is not."""

import numpy as np
import pytest
from scipy.special import expit

from medmm.evaluation.membership import membership
from medmm.evaluation.metrics import auroc
from medmm.types import Array, Scores, Task


def draw(task: Task, learned: float, seed: int, patients: int = 150) -> Scores:
    """Draw two studies a patient; `learned` is how far the predictions follow the outcome itself."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 2)
    signal = rng.normal(size=len(patient))
    outcome = signal + rng.normal(size=len(patient))
    seen = (1 - learned) * signal + learned * outcome
    names = ("a", "b") if task in ("multiclass", "multilabel", "ordinal") else ("a",)
    cuts = np.array([-0.5, 0.5])[: len(names)]
    target: Array = (outcome[:, None] > cuts).astype(float)
    predicted = expit(2 * (seen[:, None] - cuts))
    if task == "regression":
        target, predicted = outcome[:, None], seen[:, None]
    elif task == "survival":
        target = np.stack([np.exp(-outcome), rng.random(len(patient)) < 0.7], axis=1)
    elif task == "multiclass":
        target, predicted = np.eye(2)[target[:, 0].astype(int)], np.stack([1 - predicted[:, 0], predicted[:, 0]], axis=1)
    return Scores(names, predicted, target, patient)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "ordinal", "regression", "survival"])
def test_a_study_that_was_learned_by_heart_betrays_itself(task: Task) -> None:
    found = membership(draw(task, 0.9, 0), draw(task, 0.0, 1), task, resamples=200)
    assert found.low > 0.55
    assert (found.studies, found.patients) == (600, 300)


@pytest.mark.parametrize("task", ["binary", "survival"])
def test_a_model_that_learned_nothing_by_heart_is_not_blamed(task: Task) -> None:
    alarms = [membership(draw(task, 0.0, 2 * s), draw(task, 0.0, 2 * s + 1), task, resamples=100).low > 0.5 for s in range(60)]
    assert np.mean(alarms) < 0.1  # 2.5 % are to be expected


def test_the_number_is_the_auroc_of_the_losses() -> None:
    train, test = draw("binary", 0.5, 0), draw("binary", 0.0, 1)
    loss = [-np.log(np.where(one.target == 1, one.predicted, 1 - one.predicted))[:, 0] for one in (train, test)]
    expected = auroc(-np.concatenate(loss), np.repeat([1, 0], 300), np.ones((1, 600), np.uint8))[0]
    assert membership(train, test, "binary", resamples=100).value == pytest.approx(expected)


def test_patients_of_both_parts_stay_apart_though_their_numbers_are_the_same() -> None:
    assert membership(draw("binary", 0.0, 0), draw("binary", 0.0, 1), "binary", resamples=100).patients == 300
