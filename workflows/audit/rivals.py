"""Checks against rivals: what needs no image, no note and no laboratory must not do as well; nor must one input alone."""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np

from medmm.evaluation.intervals import Estimate, difference
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.yardstick import YARDSTICKS
from medmm.settings import Plain
from medmm.types import Array

from ..subject import Said
from .audited import Audited
from .finding import Finding, beyond, not_applicable, not_enough, shown
from .simple import simple_answers

AGE = re.compile(r"\bage(\b|_)", re.IGNORECASE)
"""Columns of the studies table with the age."""

LEAST_GAIN = 0.01
"""A model that surely gains less than this over its rival is no better than it."""

FEWEST_STUDIES = 20
"""To learn a simple model from."""


def metadata_only(audited: Audited) -> Finding:
    """Compare the model with a linear one of age, subgroups (such as sex and site), and of which inputs are there."""
    subject, learning = audited.subject, audited.learning
    task = subject.config.target.task
    yardstick = YARDSTICKS[task]
    if learning is None:
        return not_applicable("the training studies, from which the rival would learn, are not in this cohort")
    names, known, asked = _metadata(audited, learning, subject.test)
    if not names or len(learning.rows) < FEWEST_STUDIES:
        return not_applicable(
            "no age, no subgroup and no absent input tells two studies apart, or there are too few to learn from"
        )
    said = simple_answers(known, learning.scores.target, asked, task)
    own = subject.test.scores
    rival = replace(own, predicted=np.broadcast_to(said, own.predicted.shape))
    gain = difference(yardstick.of, own, rival, subject.config.evaluation.resamples, rests_on=yardstick.rests_on(own))
    evidence = f"{yardstick.label} of the model less that of {', '.join(names)} alone: {shown(gain, 3)}"
    return _gained(f"{yardstick.label} gained over metadata alone", gain, evidence, 1, yardstick.rests_on(own))


def beats_each_input(audited: Audited) -> Finding:
    """Tell whether the fusion is better than a model that was trained on one input alone, as the training recorded it."""
    subject = audited.subject
    yardstick = YARDSTICKS[subject.config.target.task]
    if len(subject.inputs) < 2:
        return not_applicable("the model has one input, so there is nothing to fuse")
    rows = {row["model"]: row for row in subject.package.facts.get("inputs", ())}
    gains = {name: number(rows[key]) for name in subject.inputs if (key := f"all inputs minus {name} alone") in rows}
    if not gains:
        return not_applicable("the run trained no model on one input alone: set evaluation.single_inputs to true")
    worst = min(gains, key=lambda name: np.nan_to_num(gains[name].value, nan=np.inf))
    told = "; ".join(f"over {name}: {shown(one, 3)}" for name, one in gains.items())
    measure = f"{yardstick.label} gained over {worst} alone"
    few = yardstick.rests_on(subject.test.scores) if subject.own else gains[worst].patients
    return _gained(measure, gains[worst], f"{yardstick.label} gained on the same studies {told}", len(gains), few)


def number(row: Plain) -> Estimate:
    """Give an estimate that a package has on record."""
    value, low, high = (np.nan if row[name] is None else float(row[name]) for name in ("value", "low", "high"))
    return Estimate(value, low, high, row["studies"], row["patients"], 0)


def _gained(measure: str, gain: Estimate, evidence: str, comparisons: int, rests_on: int) -> Finding:
    """Pass what is surely better, fail what is surely not, and say of the rest that nobody can tell."""
    if rests_on < MINIMUM or not np.isfinite(gain.low):
        return not_enough(evidence, rests_on, max(MINIMUM, 2 * rests_on), measure, gain)
    if beyond(gain, least=LEAST_GAIN, comparisons=comparisons):
        return Finding("fail", f"{evidence}; surely less than {LEAST_GAIN}", measure, gain)
    if gain.low > 0:
        return Finding("pass", evidence, measure, gain)
    half = gain.value - gain.low
    needed = ceil(gain.patients * (half / max(abs(gain.value), LEAST_GAIN)) ** 2)
    return not_enough(f"{evidence}; neither surely better nor surely not", gain.patients, needed, measure, gain)


def _metadata(audited: Audited, learning: Said, test: Said) -> tuple[list[str], Array, Array]:
    """Give the names of what is known beside the inputs, and (S, F) of the studies to learn from and of the test studies."""
    subject = audited.subject
    names: list[str] = []
    known: list[Array] = []
    asked: list[Array] = []

    def add(name: str, one: Sequence[Array], other: Sequence[Array]) -> None:
        pairs = [(a, b) for a, b in zip(one, other, strict=True) if a.min() < a.max()]
        if pairs:
            names.append(name)
            known.extend(a for a, _ in pairs)
            asked.extend(b for _, b in pairs)

    for name, values in learning.scores.groups.items():
        categories, theirs = np.unique(values), test.scores.groups[name]
        add(name, [(values == one).astype(float) for one in categories], [(theirs == one).astype(float) for one in categories])
    columns = dict.fromkeys(column for study in subject.studies[:1] for column in study.cells if AGE.search(column))
    for column in columns:
        ages = np.array([_age(study.cells.get(column, "")) for study in subject.studies])
        own, theirs = ages[learning.rows], ages[test.rows]
        if np.isfinite(own).any():
            middle = float(np.nanmedian(own))
            gaps = [np.isnan(own).astype(float), np.isnan(theirs).astype(float)]
            add(column, [np.nan_to_num(own, nan=middle), gaps[0]], [np.nan_to_num(theirs, nan=middle), gaps[1]])
    presence = [learning.present[:, i].astype(float) for i in range(len(subject.inputs))]
    add("which inputs are there", presence, [test.present[:, i].astype(float) for i in range(len(subject.inputs))])
    width = len(known)
    return names, np.array(known).T.reshape(len(learning.rows), width), np.array(asked).T.reshape(len(test.rows), width)


def _age(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")
