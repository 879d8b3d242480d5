"""For which thresholds it is better to act on the model's word than on everybody or on nobody."""

import numpy as np
import pandas as pd

from medmm.evaluation.canvas import counts
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.decision_curve import DecisionCurve, by_horizon, decision_curve, decision_plot
from medmm.evaluation.intervals import Estimate, sample_and_resamples
from medmm.types import Array

from ..screen import Screen
from ..subject import Subject
from .telling import enough, named, resting_on, told

NAME, TITLE = "decision_curve", "Decision curve"
MARKS = (0.05, 0.1, 0.2, 0.5)
"""Thresholds whose numbers go to MLflow; the table has all."""


def decision_curve_chapter(subject: Subject, screen: Screen) -> Chapter:
    """Give the net benefit over the thresholds, and where the model beats both acting on all and on nobody."""
    target, scores = subject.config.target, subject.test.scores
    if target.task == "regression":
        return Chapter(NAME, TITLE, ("A regression model gives a value, not a probability, so it has no decision curve.",))
    columns, short = enough(scores, target.task)
    if not columns:
        return Chapter(NAME, TITLE, short)
    weights = sample_and_resamples(scores.patient, subject.config.evaluation.resamples, 0)
    curves = []
    for column in columns:
        stands_for: Array | None = None
        ill = scores.target[:, column] if target.task != "survival" else np.empty(0)
        if target.task == "survival":
            ill, stands_for = by_horizon(scores.target, target.horizons[column])
        name, probability = scores.classes[column], scores.predicted[:, column]
        curves.append(decision_curve(name, probability, ill, scores.patient, weights, counts=stands_for))
    measures: dict[str, Estimate] = {}
    says = [
        "Net benefit is the share of true positives less that of false positives at the rate of exchange of the threshold: at "
        "0.1, nine treated in vain for one who is ill. Intervals hold for each threshold on its own."
    ]
    for one in curves:
        for mark in MARKS:
            benefit, _, gain = one.at(int(np.abs(one.thresholds - mark).argmin()))
            measures[named(f"net_benefit_at_{mark:g}", one.name, scores.classes)] = benefit
            measures[named(f"gain_at_{mark:g}", one.name, scores.classes)] = gain
        says.append(_sentence(one))
    table = pd.concat([one.table() for one in curves])
    figure = decision_plot(curves, TITLE, counts(scores))
    return Chapter(NAME, TITLE, (*says, *short), measures, {"net_benefit": table}, {"net_benefit": figure})


def _sentence(one: DecisionCurve) -> str:
    best = int(one.gain[0].argmax())
    _, _, gain = one.at(best)
    ranges = [f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}" for low, high in one.better()]
    where = (
        f"at thresholds {' and '.join(ranges)} acting on the model beats both acting on all and on nobody, with the lower limit"
        if ranges
        else "at no threshold does acting on the model beat both acting on all and on nobody with its lower limit"
    )
    return (
        f"{one.name}: {where} ({resting_on(gain)}); the gain is largest at {one.thresholds[best]:.2f}, where it is "
        f"{told(gain, 3)} true positives a study."
    )
