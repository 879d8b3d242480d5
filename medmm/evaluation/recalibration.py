"""The choice of what makes probabilities true: temperature alone, a logistic curve on top of it, or steps on top of it.

Each is fitted on some validation patients and judged by its log loss on the others, in turn (cross-fitting); then the one
that is taken is fitted on all of them. A curve is taken only where it is better by more than one standard error of the
difference, by patient, than what is simpler: a small validation split asks for little. Nothing here sees a test study.

Letters: S studies, C answers, K logits.

Source:
    Platt, Probabilistic outputs for support vector machines, Advances in Large Margin Classifiers (1999): the logistic curve,
    and the targets just inside 0 and 1 by which neither curve ever says "certainly".
    Zadrozny & Elkan, Transforming classifier scores into accurate multiclass probability estimates, KDD 2002: steps that
    rise, and one curve a class, of which the sum is then made 1.
    Niculescu-Mizil & Caruana, Predicting good probabilities with supervised learning, ICML 2005: steps need many studies.
    Breiman, Friedman, Olshen & Stone, Classification and Regression Trees (1984), section 3.4.3: the rule of one standard
    error.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal, Self, TypeAlias

import numpy as np
from pydantic import model_validator
from scipy.special import expit

from medmm.evaluation.calibration import fit_temperature
from medmm.evaluation.calibration_slope import logistic_recalibration, logits_of
from medmm.evaluation.tasks import has_both
from medmm.settings import Settings
from medmm.types import Array, Task

Kind: TypeAlias = Literal["temperature", "platt", "isotonic"]

FOLDS = 5

PATIENTS: dict[Kind, int] = {"temperature": 0, "platt": 20, "isotonic": 100}
"""Patients of the rarer outcome that each kind needs, in the simplest order: of each class, for each has its own curve."""

Answer: TypeAlias = Callable[[Array, float], Array]
"""(S, K) logits and a temperature -> (S, C) probabilities."""


class Recalibration(Settings):
    """What is done to the probabilities that a temperature has given; as plain JSON in the package."""

    kind: Kind = "temperature"
    """`temperature` leaves them as they are, `platt` bends them by a logistic curve a class, `isotonic` by rising steps."""

    platt: tuple[tuple[float, float], ...] = ()
    """Of each class the intercept and the slope, above 0, of the logit."""

    isotonic: tuple[tuple[tuple[float, float], ...], ...] = ()
    """Of each class the corners of a rising line: probability before, probability after."""

    said: str = "not chosen: the temperature stands alone"
    """How it was chosen, with the numbers."""

    @model_validator(mode="after")
    def _curves_are_of_the_kind(self) -> Self:
        if bool(self.platt) != (self.kind == "platt") or bool(self.isotonic) != (self.kind == "isotonic"):
            raise ValueError(f"a calibration of kind {self.kind!r} has the curves of that kind and no others")
        if any(slope <= 0 for _, slope in self.platt):
            raise ValueError("a slope of a calibration is not above 0, so it would turn the order of the studies around")
        for corners in self.isotonic:
            values = [value for corner in corners for value in corner]
            if not corners or min(values) < 0 or max(values) > 1:
                raise ValueError("corners of a calibration are missing or outside 0 to 1")
            if any(after[0] <= before[0] or after[1] < before[1] for before, after in pairwise(corners)):
                raise ValueError("corners of a calibration do not rise")
        return self

    def apply(self, probability: Array, task: Task) -> Array:
        """Give the probabilities (S, C) that are to be believed; of classes they sum to 1, those of grades fall.

        Args:
            probability: (S, C) as the temperature gives them.
            task: What the columns mean.
        """
        if self.kind == "temperature":
            return probability
        exact = probability.astype(np.float64)
        if self.kind == "platt":
            intercept, slope = np.array(self.platt).T
            bent = expit(intercept + slope * logits_of(exact))
        else:
            lines = (np.array(corners).T for corners in self.isotonic)
            bent = np.stack([np.interp(column, *line) for column, line in zip(exact.T, lines, strict=True)], axis=1)
        if task == "multiclass":
            return np.asarray(bent / bent.sum(axis=1, keepdims=True))
        return np.asarray(np.minimum.accumulate(bent, axis=1)) if task == "ordinal" else bent


def choose_recalibration(
    logits: Array, target: Array, patient: Array, task: Task, answer: Answer, seed: int = 0
) -> tuple[float, Recalibration]:
    """Fit the temperature and choose what stands on top of it.

    Args:
        logits: (S, K) of the validation split.
        target: (S, C) of 0 and 1.
        patient: (S,) whole numbers that tell patients apart.
        task: One of classes.
        answer: How logits become probabilities.
        seed: Of the shares of patients.

    Returns:
        Temperature, and the rest.

    Raises:
        DataError: As of `fit_temperature`.
    """
    temperature = fit_temperature(logits, target, task)
    rarest = _rarest(target, patient)
    kinds = [kind for kind, least in PATIENTS.items() if rarest >= least]
    if len(kinds) == 1:
        why = f"temperature alone: {rarest} validation patients have the rarer outcome, {PATIENTS['platt']} are needed for more"
        return temperature, Recalibration(said=why)
    losses = _cross_fitted(logits, target, patient, task, answer, kinds, seed)
    kinds = list(losses)
    best = min(kinds, key=lambda kind: losses[kind].mean())
    for kind in kinds:  # the simplest first
        worse = losses[kind] - losses[best]
        if worse.mean() <= standard_error(worse, patient):
            break
    said = ", ".join(f"{one} {loss.mean():.4f}" for one, loss in losses.items())
    share = f"{len(patient)} validation studies of {len(np.unique(patient))} patients"
    why = f"log loss on patients left out: {said} ({share}); the simplest within one standard error of the best is taken"
    if "isotonic" not in kinds and rarest < PATIENTS["isotonic"]:
        why += f"; isotonic needs {PATIENTS['isotonic']} patients of the rarer outcome, found {rarest}"
    fitted = fit_recalibration(kind, answer(logits, temperature), target)
    if fitted is None:  # of all studies none of its curves rises
        return temperature, Recalibration(said=f"temperature alone: {kind} does not rise on all validation studies")
    return temperature, fitted.model_copy(update={"said": why})


def fit_recalibration(kind: Kind, probability: Array, target: Array) -> Recalibration | None:
    """Fit one kind to probabilities (S, C) and targets (S, C); None where a class has no rising curve of it."""
    if kind == "temperature":
        return Recalibration()
    columns = list(zip(probability.T.astype(np.float64), target.T, strict=True))
    if kind == "platt":
        lines = [_platt(column, outcome) for column, outcome in columns]
        if not all(np.isfinite(line).all() and line[1] > 0 for line in lines):
            return None
        return Recalibration(kind="platt", platt=tuple((float(line[0]), float(line[1])) for line in lines))
    steps = [_isotonic(column, outcome) for column, outcome in columns]
    if any(corners[0][1] == corners[-1][1] for corners in steps):
        return None
    return Recalibration(kind="isotonic", isotonic=tuple(steps))


def standard_error(values: Array, patient: Array) -> float:
    """Give the standard error of the mean of (S,) values, of which those of a patient may be alike."""
    _, index = np.unique(patient, return_inverse=True)
    sums = np.bincount(index, values - values.mean())
    return float(np.sqrt((sums**2).sum()) / len(values))


def log_loss(probability: Array, target: Array, task: Task) -> Array:
    """Give the log loss (S,) of probabilities (S, C): of several questions their sum."""
    sure = np.clip(probability.astype(np.float64), 1e-12, 1.0)
    hit = -(target * np.log(sure)).sum(axis=1)
    if task == "multiclass":
        return np.asarray(hit)
    return np.asarray(hit - ((1 - target) * np.log(np.clip(1 - probability.astype(np.float64), 1e-12, 1.0))).sum(axis=1))


def _cross_fitted(
    logits: Array, target: Array, patient: Array, task: Task, answer: Answer, kinds: list[Kind], seed: int
) -> dict[Kind, Array]:
    """Give the log loss (S,) of each study by curves that did not see its patient; kinds that cannot be fitted are left out."""
    losses = {kind: np.full(len(target), np.nan) for kind in kinds}
    for out in _shares(target, patient, seed):
        if not has_both(target[~out]).all():
            return {"temperature": log_loss(answer(logits, fit_temperature(logits, target, task)), target, task)}
        temperature = fit_temperature(logits[~out], target[~out], task)
        probability = answer(logits, temperature)
        for kind in kinds:
            fitted = fit_recalibration(kind, probability[~out], target[~out])
            if fitted is not None:
                losses[kind][out] = log_loss(fitted.apply(probability[out], task), target[out], task)
    return {kind: loss for kind, loss in losses.items() if np.isfinite(loss).all()}


def _shares(target: Array, patient: Array, seed: int) -> Iterator[Array]:
    """Deal patients into folds, those of like outcomes evenly; give which studies (S,) each holds."""
    names, index = np.unique(patient, return_inverse=True)
    outcome = np.zeros((len(names), target.shape[1]))
    np.maximum.at(outcome, index, target)
    chance = np.random.default_rng(seed).permutation(len(names))
    order = np.lexsort([chance, *outcome.T])
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % FOLDS
    for number in range(FOLDS):
        if (fold == number).any():
            yield fold[index] == number


def _rarest(target: Array, patient: Array) -> int:
    return min(len(np.unique(patient[column == outcome])) for column in target.T for outcome in (0, 1))


def _inside(target: Array) -> Array:
    """Give Platt's targets: as if of each outcome there had been one study more, of unknown outcome."""
    ill = float(target.sum())
    return np.asarray(np.where(target == 1, (ill + 1) / (ill + 2), 1 / (len(target) - ill + 2)))


def _platt(probability: Array, target: Array) -> Array:
    # A target between 0 and 1 is a study that counts as positive by that share and as negative by the rest.
    share = _inside(target)
    twice = np.concatenate([probability, probability])
    outcome = np.repeat([1.0, 0.0], len(target))
    return np.asarray(logistic_recalibration(twice, outcome, np.concatenate([share, 1 - share])[np.newaxis])[0])


def _isotonic(probability: Array, target: Array) -> tuple[tuple[float, float], ...]:
    from sklearn.isotonic import IsotonicRegression  # which takes a second to load, and no scoring needs it

    fitted = IsotonicRegression(out_of_bounds="clip").fit(probability, _inside(target))
    return tuple(zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True))
