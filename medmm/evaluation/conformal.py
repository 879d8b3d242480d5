"""Split conformal prediction: the answers that cannot be ruled out at a level, or the interval that holds the value.

A new study's set holds its true answer with at least the level's probability, whatever the model is worth, if its patient is
drawn like those of the calibration studies. Studies of one patient resemble each other and are not exchangeable one by one, so
patients are: each calibration patient weighs the same, shared among the studies of that patient, and one patient's weight is
kept back for the new one (hierarchical conformal prediction). What holds is the share over patients, a study of each drawn by
chance; where patients with many studies are harder, the share over all studies may be less.

Calibration studies are the validation studies, on which temperature and thresholds were fitted too. Thresholds do not enter a
set, and a temperature cannot change that of a yes-no question: it bends both sides alike, and the limit with them. Of three
classes, in simulated cohorts of 30 (60, 120) patients with two studies each, sets at the level 0.9 held 0.921 (0.909, 0.904) of
the true answers with the temperature of these very patients, and 0.921 (0.909, 0.904) with one of others; standard error 0.001.

How far an answer y is from what the model says:

| task | distance |
| --- | --- |
| binary, multilabel, multiclass | 1 - P(y), whose sets are the smallest on average |
| ordinal | the greater of P(grade < y) and P(grade > y), whose sets are runs of neighbouring grades |
| regression | absolute residual, so the interval has the same width for all |
| survival | none: a time that is cut off has no residual |

Letters: S studies, Q questions (labels of a multilabel task, else 1), M possible answers to each, C answers of the model.

Source:
    Angelopoulos & Bates, Conformal prediction: a gentle introduction, Found. Trends Mach. Learn. 16 (2023), section 3.2 (beta).
    Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World (2005), sections 4.2 and 4.6 (label-conditional).
    Lee, Barber & Willett, Distribution-free inference with hierarchical data, arXiv:2306.06342 (2023), section 3.
    Sadinle, Lei & Wasserman, Least ambiguous set-valued classifiers, J. Am. Stat. Assoc. 114 (2019) 223-234.
"""

from dataclasses import dataclass

import numpy as np

from medmm.cohort.target import TargetSettings
from medmm.errors import DataError
from medmm.evaluation.tasks import check
from medmm.types import Array, Scores, Task

CLASS_PATIENTS = 50
"""Validation patients with a study of an answer that a limit of its own rests on; its coverage then moves by 4 points."""

ROUNDING = 1e-9
"""Sums of weights are compared with a level up to this."""


@dataclass(frozen=True)
class Conformal:
    """What tells the answers that cannot be ruled out.

    Attributes:
        task: What is predicted; not survival.
        level: Share of the sets that are to hold the true answer.
        limits: (Q, M) greatest distance of an answer within a set, (1, 1) half the width for a regression; infinite where the
            validation patients are too few for the level, then nothing is ruled out.
        by_class: Whether each answer has a limit of its own, so that the level holds for the studies of each.
        studies: Validation studies that it rests on.
        patients: Their patients.
    """

    task: Task
    level: float
    limits: Array
    by_class: bool
    studies: int
    patients: int

    @property
    def expected(self) -> tuple[float, float]:
        """Between what the coverage of new patients lies in 95 % of draws of as many validation patients, one study of each."""
        short = int((self.patients + 1) * (1 - self.level) + ROUNDING)
        if not short:
            return 1.0, 1.0
        from scipy.stats import beta

        low, high = np.asarray(beta.interval(0.95, self.patients + 1 - short, short))
        return float(low), float(high)

    def sets(self, predicted: Array) -> Array:
        """Tell for answers (S, C) of a task of classes which possible answers are in each set: (S, Q, M) bool."""
        return np.asarray(distances(predicted, self.task) <= self.limits)

    def interval(self, predicted: Array) -> Array:
        """Give lower and upper limit (S, 2) of values (S, 1) of a regression."""
        half = self.limits[0, 0]
        return np.concatenate([predicted - half, predicted + half], axis=1).astype(np.float64)

    def covered(self, scores: Scores) -> Array:
        """Tell whether each set, or interval, holds the true answer: (S, Q) bool."""
        if self.task == "regression":
            low, high = self.interval(scores.predicted).T
            value = scores.target[:, 0]
            return np.asarray((low <= value) & (value <= high))[:, np.newaxis]
        return np.asarray((self.sets(scores.predicted) & truth(scores.target, self.task)).any(axis=2))

    def open_questions(self, predicted: Array) -> Array:
        """Tell where a set has none or several answers, (S, Q) bool; of a regression nowhere."""
        if self.task == "regression":
            return np.zeros((len(predicted), 1), bool)
        return np.asarray(self.sets(predicted).sum(axis=2) != 1)


def fit_conformal(scores: Scores, task: Task, level: float, *, by_class: bool = False) -> Conformal | None:
    """Fit the limits on validation studies.

    Args:
        scores: Of the validation split, the answers as they are given, after temperature and rules.
        task: What the columns mean.
        level: Inside 0 to 1.
        by_class: Give each possible answer a limit of its own, where every one has studies of `CLASS_PATIENTS` patients.

    Returns:
        None for a survival task.

    Raises:
        DataError: The scores are not of this task, or the level is none.
    """
    check(scores, task)
    if not 0 < level < 1:
        raise DataError(f"a conformal level of {level:g}: give one between 0 and 1, such as 0.9")
    if task == "survival":
        return None
    patients = len(np.unique(scores.patient))
    if task == "regression":
        limit = patient_quantile(np.abs(scores.target[:, 0] - scores.predicted[:, 0]), scores.patient, level)
        return Conformal(task, level, np.array([[limit]]), by_class=False, studies=len(scores.patient), patients=patients)
    far, true = distances(scores.predicted, task), truth(scores.target, task)
    own = by_class and all(
        len(np.unique(scores.patient[true[:, q, m]])) >= CLASS_PATIENTS for q, m in np.ndindex(true.shape[1:])
    )
    limits = np.empty(true.shape[1:])
    for q in range(true.shape[1]):
        if own:
            limits[q] = [patient_quantile(far[has, q, m], scores.patient[has], level) for m, has in enumerate(true[:, q].T)]
        else:
            limits[q] = patient_quantile((far[:, q] * true[:, q]).sum(axis=1), scores.patient, level)
    return Conformal(task, level, limits, own, len(scores.patient), patients)


def distances(predicted: Array, task: Task) -> Array:
    """Give how far each possible answer is from answers (S, C) of a task of classes: (S, Q, M) in [0, 1].

    Possible are the positive and the negative answer (binary, and for each label of a multilabel task), each class, or each
    grade from the lowest.
    """
    probability = np.asarray(predicted, np.float64)
    if task in ("binary", "multilabel"):
        return np.stack([1 - probability, probability], axis=2)
    if task == "multiclass":
        return np.asarray((1 - probability)[:, np.newaxis])
    edge = np.ones((len(probability), 1))
    reached = np.concatenate([edge, probability, 0 * edge], axis=1)  # (S, G + 1) of each grade, then of none
    return np.asarray(np.maximum(1 - reached[:, :-1], reached[:, 1:]))[:, np.newaxis]


def truth(target: Array, task: Task) -> Array:
    """Tell which possible answer is the true one, for targets (S, C) of a task of classes: (S, Q, M) bool."""
    true = np.asarray(target == 1)
    if task in ("binary", "multilabel"):
        return np.stack([true, ~true], axis=2)
    if task == "multiclass":
        return true[:, np.newaxis]
    grade = true.sum(axis=1)
    return np.asarray((np.arange(target.shape[1] + 1) == grade[:, np.newaxis])[:, np.newaxis])


def questions(target: TargetSettings) -> list[tuple[str, tuple[str, ...]]]:
    """Name the questions of a task of classes, and the possible answers to each, in the order of `distances`."""
    if target.task in ("binary", "multilabel"):
        return [(name, (f"has_{name}", f"not_{name}")) for name in target.names]
    return [(target.column or "", tuple(target.classes))]


def patient_quantile(values: Array, patient: Array, level: float) -> float:
    """Give the least value that a study of a new patient stays at or below with a probability of at least `level`.

    Args:
        values: (S,) of the calibration studies.
        patient: (S,) whole numbers that tell patients apart; K of them.
        level: Inside 0 to 1.

    Returns:
        Infinite where K is below level / (1 - level).

    Source:
        Lee, Barber & Willett (2023), equation 8: each patient weighs 1 / (K + 1), shared among its studies; so does infinity.
    """
    _, index, count = np.unique(patient, return_inverse=True, return_counts=True)
    if not len(count):
        return float("inf")
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(1 / (count[index[order]] * (len(count) + 1.0)))
    place = int(np.searchsorted(reached, level - ROUNDING))
    return float(values[order[place]]) if place < len(values) else float("inf")
