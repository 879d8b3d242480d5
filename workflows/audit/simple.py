"""Simple models that a check holds against the real one; they learn from training and validation studies only.

Letters: S studies, F features, C answers, T numbers of a target.
"""

import warnings

import numpy as np

from medmm.types import Array, Task

RIDGE = 10.0
"""Penalty of a linear model of standardised features."""


def simple_answers(known: Array, target: Array, asked: Array, task: Task) -> Array:
    """Fit a penalised linear model and let it speak.

    Of classes a logistic regression each, of a value ridge regression, of survival ridge regression of the martingale
    residuals, which is one step towards a Cox model and ranks as that does.

    Args:
        known: (S, F) of the studies to learn from.
        target: (S, T) of these.
        asked: (n, F) of the studies to speak of.
        task: What the numbers of the target mean.

    Returns:
        (n, C) answers; of survival one risk of no scale.

    Source:
        Therneau, Grambsch & Fleming, Martingale-based residuals for survival models, Biometrika 77 (1990) 147-160.
    """
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(known)
    learned, told = scaler.transform(known), scaler.transform(asked)
    if task in ("regression", "survival"):
        wanted = target[:, 0] if task == "regression" else _martingale(target)
        return np.asarray(Ridge(RIDGE).fit(learned, wanted).predict(told)).reshape(-1, 1)
    columns = []
    for labels in target.T:
        if labels.min() == labels.max():
            columns.append(np.full(len(told), labels[0], np.float64))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that is not quite done ranks as well
            model = LogisticRegression(C=1 / RIDGE, max_iter=500).fit(learned, labels)
        columns.append(np.asarray(model.predict_proba(told)[:, 1]))
    return np.stack(columns, axis=1)


def _martingale(target: Array) -> Array:
    """Give event less expected events (Nelson-Aalen) of each (S, 2) time and event."""
    time, event = target[:, 0], target[:, 1]
    order = np.argsort(time, kind="stable")
    at_risk = len(time) - np.searchsorted(time[order], time[order], side="left")
    hazard = np.cumsum(event[order] / at_risk)
    last = np.searchsorted(time[order], time[order], side="right") - 1
    expected = np.empty(len(time))
    expected[order] = hazard[last]
    return np.asarray(event - expected)
