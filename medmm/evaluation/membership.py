"""Whether a model betrays which studies it learned from: can its loss tell training from test studies?

Source:
    Yeom, Giacomelli, Fredrikson & Jha, Privacy risk in machine learning, CSF 2018, adversary 1: a small loss means a member.
    Carlini et al., Membership inference attacks from first principles, S&P 2022: an attack that trains rivals finds more.
"""

from functools import partial

import numpy as np

from medmm.evaluation.intervals import RESAMPLES, Estimate, interval
from medmm.evaluation.metrics import auroc
from medmm.evaluation.tasks import check
from medmm.types import Array, Scores, Task

SMALLEST = 1e-7
"""Probability below which a loss grows no further: half of what float32 tells from 1."""

BLOCK = 512
"""Studies whose pairs are counted at once."""


def membership(train: Scores, test: Scores, task: Task, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Estimate how well the loss of a study tells whether the model learned from it.

    Args:
        train: Of the training studies.
        test: Of studies of other patients, which the model did not learn from.
        task: What the columns mean.
        resamples: How often patients are drawn anew.
        seed: Of the draws.

    Returns:
        AUROC: 0.5 where the losses tell nothing, 1 where every training study has a smaller loss than every test study.

    Raises:
        DataError: Scores are not of this task.
    """
    check(train, task)
    check(test, task)
    known = np.concatenate([_fit(train, test, task), _fit(test, test, task)])
    learned = np.repeat([1, 0], [len(train.patient), len(test.patient)])
    apart = [f"{side} {person}" for side, one in enumerate((train, test)) for person in one.patient.tolist()]
    patient = np.unique(apart, return_inverse=True)[1]
    return interval(partial(auroc, known, learned), patient, resamples, seed)


def _fit(scores: Scores, test: Scores, task: Task) -> Array:
    """Tell how well the model answers each study, (S,), more is better."""
    if task == "survival":
        return _concordance(scores, test)
    predicted, target = scores.predicted.astype(np.float64), scores.target.astype(np.float64)
    if task == "regression":
        return -np.abs(predicted - target)[:, 0]
    likelihood = np.where(target == 1, predicted, 1 - predicted)
    if task == "multiclass":
        likelihood = predicted[target == 1][:, np.newaxis]
    elif task == "ordinal":
        likelihood = _of_grade(predicted, target)
    return np.asarray(np.log(np.clip(likelihood, SMALLEST, 1)).sum(axis=1))


def _of_grade(predicted: Array, target: Array) -> Array:
    edge = np.ones((len(predicted), 1))
    reached = np.concatenate([edge, predicted, 0 * edge], axis=1)
    grade = target.sum(axis=1).astype(np.int64)
    row = np.arange(len(grade))
    return np.asarray(reached[row, grade] - reached[row, grade + 1])[:, np.newaxis]


def _concordance(scores: Scores, test: Scores) -> Array:
    """Give for each study the share of pairs with a test study, whose order is known, that its risk puts right.

    A study has no loss of its own under Cox' likelihood. Every study is paired with the test studies, so that training and test
    studies are measured by the same rod; 0.5 where no order is known, as with itself.
    """
    risk, time, event = scores.predicted[:, -1], scores.target[:, 0], scores.target[:, 1] == 1
    other_risk, other_time, other_event = test.predicted[:, -1], test.target[:, 0], test.target[:, 1] == 1
    found = np.empty(len(risk))
    for start in range(0, len(risk), BLOCK):
        part = slice(start, start + BLOCK)
        sooner = event[part, np.newaxis] & (time[part, np.newaxis] < other_time)
        later = other_event & (other_time < time[part, np.newaxis])
        ahead = np.sign(risk[part, np.newaxis] - other_risk) / 2 + 0.5
        right = (sooner * ahead + later * (1 - ahead)).sum(axis=1)
        pairs = (sooner | later).sum(axis=1)
        found[part] = np.divide(right, pairs, out=np.full(len(pairs), 0.5), where=pairs > 0)
    return found
