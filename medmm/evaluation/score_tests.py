"""Whether a number of calibration is what it was: tests by the equation that it solves, sound for few studies.

A slope or an intercept is the value at which the residuals of the outcome sum to nothing. At the value that is to be tested the
sum is known without fitting it, and so is its variance: that of the outcomes, if the probabilities are true and studies stand
alone, and that among patients, which asks for neither. The larger of the two is taken. The interval of a fitted value is too
narrow where outcomes are few; this is not (`python -m benchmarks quality`). Against the value of other studies their own error
is added. S studies, G patients.

Source:
    Cox, Two further applications of a model for binary regression, Biometrika 45 (1958) 562-565: slope and intercept.
    Boos, On generalized score tests, Am. Stat. 46 (1992) 327-333.
    Liang & Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73 (1986) 13-22: sums by cluster.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from medmm.evaluation.calibration_slope import in_the_large, logits_of
from medmm.evaluation.horizons import excess_risk
from medmm.types import Array

GROUPS = 500
"""Of patients that are left out in turn, at most."""


@dataclass(frozen=True)
class Equation:
    """The equation of a number, at one value of it.

    Attributes:
        sums: (G,) residuals of each patient, or of groups of them.
        rate: How much their total falls where the value grows by one, above 0.
        variance: Of the total, if probabilities are true and studies stand alone; 0 where nothing says so.
    """

    sums: Array
    rate: float
    variance: float = 0.0

    @property
    def among_patients(self) -> float:
        """Variance of the total by how patients differ."""
        return float(len(self.sums) * self.sums.var(ddof=1)) if len(self.sums) > 1 else np.nan

    def error(self) -> float:
        """Give the standard error of the number, where the value is the fitted one."""
        return float(np.sqrt(self.among_patients) / self.rate) if self.rate > 0 else np.nan

    def p(self, error: float = 0.0) -> float:
        """Give the p that the number is this value, itself known with a standard error; NaN where nothing varies."""
        from scipy.stats import t  # which takes a second to load, and no scoring needs it

        variance = max(self.among_patients, self.variance) + (self.rate * error) ** 2
        return float(2 * t.sf(abs(self.sums.sum()) / np.sqrt(variance), len(self.sums) - 1)) if variance > 0 else np.nan


At = Callable[[float], Equation]
"""A value -> the equation at it."""


def logistic_slope(probability: Array, target: Array, patient: Array) -> At:
    """Give the equation of the slope of (S,) targets of 0 and 1 on the logits of probabilities (S,)."""
    x = logits_of(probability)

    def at(slope: float) -> Equation:
        whole = np.ones((1, len(x)))
        chance = expit(slope * x + in_the_large(expit(slope * x), target, whole)[0])
        weight = chance * (1 - chance)
        apart = x - np.average(x, weights=weight)
        rate = float((weight * apart**2).sum())
        return Equation(_by_patient(apart * (target - chance), patient), rate, rate)

    return at


def logistic_shift(probability: Array, target: Array, patient: Array) -> At:
    """Give the equation of what all logits lack."""
    x = logits_of(probability)

    def at(shift: float) -> Equation:
        chance = expit(x + shift)
        rate = float((chance * (1 - chance)).sum())
        return Equation(_by_patient(target - chance, patient), rate, rate)

    return at


def linear_slope(predicted: Array, true: Array, patient: Array) -> At:
    """Give the equation of the slope of truths (S,) on predictions (S,)."""
    x = predicted.astype(np.float64) - predicted.mean(dtype=np.float64)
    y = true.astype(np.float64) - true.mean(dtype=np.float64)
    return lambda slope: Equation(_by_patient(x * (y - slope * x), patient), float((x * x).sum()))


def mean_excess(predicted: Array, true: Array, patient: Array) -> At:
    """Give the equation of how much truths (S,) lie above predictions (S,) in the mean."""
    apart = true.astype(np.float64) - predicted
    return lambda excess: Equation(_by_patient(apart - excess, patient), float(len(apart)))


def risk_excess(risk: Array, target: Array, horizon: float, patient: Array) -> At:
    """Give the equation of how much more have an event by a horizon than risks (S,) say.

    Patients are left out in turn (the jackknife), for Kaplan and Meier's share is no mean of studies.

    Source:
        Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 11.
    """
    _, person = np.unique(patient, return_inverse=True)
    groups = min(GROUPS, int(person.max()) + 1)
    weights = np.ones((1 + groups, len(risk)), np.uint8)
    weights[1 + person % groups, np.arange(len(risk))] = 0
    whole, *without = excess_risk(risk, target, horizon, weights).tolist()
    pseudo = groups * whole - (groups - 1) * np.array(without)
    return lambda excess: Equation(pseudo - excess, float(groups))


def _by_patient(values: Array, patient: Array) -> Array:
    return np.bincount(np.unique(patient, return_inverse=True)[1], values)
