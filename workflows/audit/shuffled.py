"""Check of the whole pipeline: with labels that mean nothing, nothing can be told.

Each patient gets the label of another, drawn by chance, in training and test alike. What then predicts the labels of test
studies from neighbours of the training can only know the patient: one person on both sides of the split, an image stored
twice, a row that was copied.

Source:
    Ojala & Garriga, Permutation tests for studying classifier performance, JMLR 11 (2010) 1833-1863.
"""

from dataclasses import replace

import numpy as np
from scipy.stats import t

from medmm.evaluation.intervals import LEVEL, Estimate
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.types import Array

from .audited import Audited
from .finding import Finding, judge, not_applicable, shown

SHUFFLES = 60
"""How often labels are drawn anew."""

NEIGHBOURS = 5
"""Training studies, nearest by embedding, that say what a test study has."""

BEYOND_CHANCE = 0.02
"""By which shuffled labels may surely be told."""


def label_shuffle(audited: Audited) -> Finding:
    """Predict shuffled labels of test studies from those of their nearest training studies, by embedding."""
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    subject, learning = audited.subject, audited.learning
    task = subject.config.target.task
    yardstick = YARDSTICKS[task]
    if learning is None:
        return not_applicable("the training studies are not in this cohort")
    count = min(NEIGHBOURS, len(learning.rows))
    scaler = StandardScaler().fit(learning.joint)
    search = NearestNeighbors(n_neighbors=count).fit(scaler.transform(learning.joint))
    near = search.kneighbors(scaler.transform(subject.test.joint), return_distance=False)  # (S, neighbours)
    scores = subject.test.scores
    patients = np.concatenate([learning.scores.patient, scores.patient])
    labels = np.concatenate([learning.scores.target, scores.target])
    _, person = np.unique(patients, return_inverse=True)
    rng, one = np.random.default_rng(0), np.ones((1, len(scores.patient)), np.uint8)
    values = []
    for _ in range(SHUFFLES):
        drawn = labels[rng.integers(len(labels), size=person.max() + 1)][person]  # one label a patient
        learned, judged = drawn[: len(learning.rows)], drawn[len(learning.rows) :]
        said = learned[near].mean(axis=1)  # (S, T)
        answers = -said[:, :1] if task == "survival" else said  # who lives long is at low risk
        values.append(float(yardstick.of(replace(scores, predicted=answers, target=judged), one)[0]))
    chance = _mean(np.array(values), len(scores.patient), len(np.unique(scores.patient)))
    evidence = (
        f"mean {yardstick.label} over {SHUFFLES} shuffles {shown(chance, 3)}; nothing is {yardstick.nothing:g}, and what "
        f"surely exceeds it by {BEYOND_CHANCE} knows patients of the test part"
    )
    most = yardstick.nothing + BEYOND_CHANCE
    return judge(f"{yardstick.label} for shuffled labels", chance, evidence, most=most, rests_on=yardstick.rests_on(scores))


def _mean(values: Array, studies: int, patients: int) -> Estimate:
    """Estimate the mean of independent draws; it is undefined where a shuffle left one class only."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return Estimate(np.nan, np.nan, np.nan, studies, patients, len(known))
    half = float(t.isf((1 - LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return Estimate(float(known.mean()), float(known.mean()) - half, float(known.mean()) + half, studies, patients, len(known))
