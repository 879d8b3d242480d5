"""What the model is worth at the thresholds that it carries."""

import numpy as np

from medmm.evaluation.chapter import Chapter
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.operating import Point, operating_points, point_table
from medmm.types import CLASS_TASKS

from ..screen import Screen
from ..subject import Subject
from .telling import enough, named, resting_on, told

TITLE = "At the fixed thresholds"


def operating_points_chapter(subject: Subject, screen: Screen) -> Chapter:
    """Give rates, predictive values and likelihood ratios at the thresholds of the package."""
    settings, task, scores = subject.config.evaluation, subject.config.target.task, subject.test.scores
    if task not in CLASS_TASKS:
        return Chapter("operating_points", TITLE, (f"A {task} model has no threshold, so it has no operating point.",))
    columns, short = enough(scores, task)
    if not columns:
        return Chapter("operating_points", TITLE, short)
    points = operating_points(scores, task, subject.package.thresholds, settings.prevalences, settings.resamples)
    enough_of = {scores.classes[column] for column in columns}
    points = tuple(point for point in points if point.class_name in enough_of)
    says = tuple(_sentence([p for p in points if p.class_name == name]) for name in scores.classes if name in enough_of)
    chosen = (
        "The likeliest class is taken; there is no threshold."
        if task == "multiclass"
        else "Thresholds were chosen on the validation studies and are not touched here."
    )
    wilson = (
        "Intervals draw patients anew. The table has a second one beside it (Wilson's for shares), for which the number of "
        "studies is divided by the design effect where patients have several: studies of one patient tell less than as many of "
        "others."
    )
    measures = {named(point.measure, point.class_name, scores.classes): point.estimate for point in points}
    return Chapter("operating_points", TITLE, (chosen, *says, *short, wilson), measures, {"points": point_table(points)})


def _sentence(points: list[Point]) -> str:
    of = {point.measure: point for point in points}
    name, threshold = points[0].class_name, points[0].threshold
    hit, spared = of["sensitivity"], of["specificity"]
    at = "" if np.isnan(threshold) else f" at a threshold of {threshold:.3f}"
    said = (
        f"{name}{at}: sensitivity {told(hit.estimate)}, {resting_on(hit.estimate)} with it; specificity "
        f"{told(spared.estimate)}, {resting_on(spared.estimate)} without it; positive predictive value "
        f"{told(of['ppv'].estimate)}, negative {told(of['npv'].estimate)}, at the prevalence of these studies. Likelihood "
        f"ratio of a positive answer {told(of['lr_positive'].estimate, 1)}, of a negative {told(of['lr_negative'].estimate)}."
    )
    stated = [one.removeprefix("ppv_at_") for one in of if one.startswith("ppv_at_")]
    for what, measure in (("positive", "ppv"), ("negative", "npv")):
        parts = [f"{_short(of[f'{measure}_at_{one}'].estimate)} where {float(one):.0%} have it" for one in stated]
        said += f" A {what} answer would be right in {', '.join(parts)}." if parts else ""
    return said


def _short(one: Estimate) -> str:
    return f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
