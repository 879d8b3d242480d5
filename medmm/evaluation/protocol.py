"""A protocol: what a new model must show, fixed before it is looked at, and whether it does.

Every criterion is one-sided, and all must be met, so none needs a correction for their number: a model that truly fails one of
them is accepted no more often than that one criterion errs (an intersection-union test).

Source:
    Berger, Technometrics 24 (1982) 295-300: intersection-union tests.
    Piaggio et al., JAMA 308 (2012) 2594-2604: reporting of non-inferiority, judged by the limit of the interval.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from medmm.errors import ConfigError
from medmm.evaluation import metrics
from medmm.evaluation.decision import decide
from medmm.evaluation.intervals import Estimate, check_same, sample_and_resamples, summarise
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.survival import c_index
from medmm.evaluation.tasks import MACRO
from medmm.evaluation.values import mean_absolute_error, r_squared
from medmm.evaluation.yardstick import YARDSTICKS, too_few
from medmm.files import is_safe_name
from medmm.settings import Settings
from medmm.strict_yaml import read_document
from medmm.types import CLASS_TASKS, Array, Scores, Task

Measure: TypeAlias = Callable[[Array, Array, Array, Array], Array]
"""(S,) predictions, (S,) decisions, targets and (R, S) weights -> (R,) values."""

OF_CLASSES: Mapping[str, Measure] = {
    "auroc": lambda said, _, target, weights: metrics.auroc(said, target, weights),
    "auprc": lambda said, _, target, weights: metrics.average_precision(said, target, weights),
    "brier": lambda said, _, target, weights: metrics.brier(said, target, weights),
    "sensitivity": lambda _, decided, target, weights: metrics.sensitivity(decided, target, weights),
    "specificity": lambda _, decided, target, weights: metrics.specificity(decided, target, weights),
}
OF_VALUES: Mapping[str, Measure] = {
    "r2": lambda said, _, target, weights: r_squared(said, target, weights),
    "mae": lambda said, _, target, weights: mean_absolute_error(said, target, weights),
}
OF_SURVIVAL: Mapping[str, Measure] = {"c_index": lambda said, _, target, weights: c_index(said, target, weights)}

LESS_IS_BETTER = frozenset({"brier", "mae"})
MOST_CRITERIA = 50

Kind: TypeAlias = Literal["at_least", "no_worse_by", "better_by"]


class Group(Settings):
    """Studies of one subgroup."""

    column: str
    """One of `cohort.subgroups` of the run file."""

    value: str
    """What stands in it."""


class Criterion(Settings):
    """One thing that the challenger must show."""

    name: str
    """What it is called: letters, digits, dot, dash, underscore."""

    metric: str
    """`auroc`, `auprc`, `brier`, `sensitivity`, `specificity`; of a value `r2`, `mae`; of survival `c_index`."""

    kind: Kind
    """`at_least`: the lower limit of the challenger's interval reaches the value. `no_worse_by`: the lower limit of how much
    better it is than the champion, paired, lies no further below zero than the value. `better_by`: that limit lies above the
    value. Of a metric of which less is better (`brier`, `mae`), the upper limit of the challenger must not exceed the value,
    and how much lower it is counts as how much better."""

    value: float
    """The limit, or the margin."""

    class_name: str | None = Field(None, alias="class")
    """Of several classes; where left out, the mean over all of them."""

    subgroup: Group | None = None
    """The studies that count; all where left out."""

    @field_validator("name")
    @classmethod
    def _name_is_safe(cls, name: str) -> str:
        if not is_safe_name(name):
            raise ValueError("a name has letters, digits, dot, dash and underscore only, at most 100")
        return name

    @model_validator(mode="after")
    def _margin_is_none_of_minus(self) -> Self:
        if self.kind != "at_least" and self.value < 0:
            raise ValueError(
                f"the margin {self.value:g} of {self.kind} is below zero: say by how much, and the kind says which way"
            )
        return self


class Protocol(Settings):
    """Acceptance criteria of a change of model, fixed beforehand."""

    title: str = ""
    """What the change is."""

    least_patients: int = Field(MINIMUM, ge=2)
    """Patients of each outcome (of survival: with the event; of a value: at all) without whom a criterion cannot be judged."""

    criteria: tuple[Criterion, ...] = Field(min_length=1, max_length=MOST_CRITERIA)
    """What must be shown; all of it."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [one.name for one in self.criteria]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two criteria are called {twice!r}: give each its own name")
        return self


@dataclass(frozen=True)
class Judged:
    """A criterion with what was found.

    Attributes:
        criterion: What was asked.
        champion: Its number on the studies that count; NaN where it cannot be judged.
        challenger: The same of the new model.
        gain: How much better the new model is, paired; above zero where it is better, whatever the metric.
        met: Whether the criterion is met.
        why: In words.
    """

    criterion: Criterion
    champion: Estimate
    challenger: Estimate
    gain: Estimate
    met: bool
    why: str


def read_protocol(path: Path) -> Protocol:
    """Read a protocol.

    Raises:
        ConfigError: It cannot be read, or a value is wrong: says where.
    """
    document = read_document(path, "protocol")
    if not isinstance(document.content, dict):
        raise ConfigError(f"{path.name} holds no protocol: it needs `criteria`, each with name, metric, kind and value")
    try:
        return Protocol.model_validate(document.content)
    except ValidationError as problem:
        faults = []
        for fault in problem.errors():
            place = document.place(fault["loc"])
            where = ".".join(str(part) for part in fault["loc"])
            faults.append(f"line {place.line}: {f'{where}: ' if where else ''}{fault['msg'].removeprefix('Value error, ')}")
        raise ConfigError(f"{path.name}: " + "; ".join(faults)) from None


def check_fits(protocol: Protocol, task: Task, classes: Sequence[str], columns: Sequence[str]) -> None:
    """Make sure that every criterion can be asked of a model.

    Args:
        protocol: The criteria.
        task: Of the models.
        classes: Names of the columns of their answers.
        columns: Subgroup columns of the cohort.

    Raises:
        ConfigError: A metric is of another task, or a class or column is unknown.
    """
    known = _measures(task)
    for one in protocol.criteria:
        if one.metric not in known:
            raise ConfigError(f"criterion {one.name}: metric {one.metric!r} is not of a {task} task, it has {', '.join(known)}")
        if one.class_name is not None and one.class_name not in classes:
            raise ConfigError(f"criterion {one.name}: no class {one.class_name!r}, there are {', '.join(classes)}")
        if one.subgroup is not None and one.subgroup.column not in columns:
            raise ConfigError(
                f"criterion {one.name}: {one.subgroup.column!r} is no subgroup column, there are {', '.join(columns) or 'none'}"
            )


def judge_protocol(
    protocol: Protocol,
    champion: Scores,
    challenger: Scores,
    task: Task,
    thresholds: tuple[Sequence[float], Sequence[float]],
    resamples: int,
    seed: int = 0,
) -> tuple[Judged, ...]:
    """Hold two models to a protocol, on the same studies in the same resamples of patients.

    Args:
        protocol: What the challenger must show.
        champion: What the present model says of the test studies.
        challenger: What the new one says of them.
        task: Of both.
        thresholds: (C,) of the champion and of the challenger, each its own.
        resamples: How often patients are drawn anew.
        seed: Of the draws.

    Raises:
        DataError: The two are not scores of the same studies.
        ConfigError: A criterion does not fit the task.
    """
    check_same(champion, challenger, "champion and challenger")
    check_fits(protocol, task, champion.classes, tuple(champion.groups))
    return tuple(
        _judge(one, protocol.least_patients, (champion, challenger), task, thresholds, resamples, seed)
        for one in protocol.criteria
    )


def _judge(
    one: Criterion,
    least: int,
    models: tuple[Scores, Scores],
    task: Task,
    thresholds: tuple[Sequence[float], Sequence[float]],
    resamples: int,
    seed: int,
) -> Judged:
    keep = np.ones(len(models[0].patient), bool)
    if one.subgroup is not None:
        keep = models[0].groups[one.subgroup.column] == one.subgroup.value
    pair = [scores.some(keep) for scores in models]
    patient = pair[0].patient
    nothing = Estimate(np.nan, np.nan, np.nan, len(patient), len(np.unique(patient)), 0)
    columns = [pair[0].classes.index(one.class_name)] if one.class_name is not None else list(range(len(pair[0].classes)))
    short = _short(one, pair[0], task, least) if keep.any() else f"not enough data: no test study has {_group(one)}"
    if short:
        return Judged(one, nothing, nothing, nothing, met=False, why=f"cannot be judged, so it counts as failed: {short}")
    weights = sample_and_resamples(patient, resamples, seed)
    values = [_values(one.metric, scores, task, own, columns, weights) for scores, own in zip(pair, thresholds, strict=True)]
    sign = -1 if one.metric in LESS_IS_BETTER else 1
    counted = _counted(one.metric, pair[0], columns)
    few = YARDSTICKS[task].rests_on(pair[0]) if one.metric == YARDSTICKS[task].metric else None
    champion, challenger, gain = (summarise(each, counted, rests_on=few) for each in (*values, sign * (values[1] - values[0])))
    same = np.array_equal(pair[0].predicted, pair[1].predicted) and np.array_equal(*thresholds)
    met, why = _verdict(one, challenger, gain, same=same)
    return Judged(one, champion, challenger, gain, met, why)


def _verdict(one: Criterion, challenger: Estimate, gain: Estimate, *, same: bool) -> tuple[bool, str]:
    what = challenger if one.kind == "at_least" else gain
    if not np.isfinite([what.value, what.low, what.high]).all():
        return False, "cannot be judged, so it counts as failed: the number or its interval is not defined"
    if what.low == what.high and not (one.kind != "at_least" and same):
        said = "every resample gives the same value, so the interval says nothing about the uncertainty"
        return False, f"cannot be judged, so it counts as failed: {said}"
    if one.kind == "at_least" and one.metric in LESS_IS_BETTER:
        met = what.high <= one.value
        return met, f"upper limit {what.high:.3f} {'does not exceed' if met else 'exceeds'} {one.value:g}"
    if one.kind == "at_least":
        met = what.low >= one.value
        return met, f"lower limit {what.low:.3f} {'reaches' if met else 'does not reach'} {one.value:g}"
    if one.kind == "no_worse_by":
        met = what.low >= -one.value
        return met, f"lower limit of the gain {what.low:+.3f} {'is not' if met else 'is'} below {-one.value:+g}"
    met = what.low > one.value
    return met, f"lower limit of the gain {what.low:+.3f} {'is' if met else 'is not'} above {one.value:+g}"


def _short(one: Criterion, scores: Scores, task: Task, least: int) -> str:
    """Tell why the studies do not suffice; "" where they do."""
    short = too_few(scores, task, least)
    if task not in CLASS_TASKS:
        return next(iter(short.values()), "")
    name = one.class_name or (MACRO if len(scores.classes) > 1 else scores.classes[0])
    return short.get(name, "")


def _measures(task: Task) -> Mapping[str, Measure]:
    if task in CLASS_TASKS:
        return OF_CLASSES
    return OF_VALUES if task == "regression" else OF_SURVIVAL


def _values(
    metric: str, scores: Scores, task: Task, thresholds: Sequence[float], columns: Sequence[int], weights: Array
) -> Array:
    """Give (1 + R,) values: of the class, or the mean over the classes."""
    measure = _measures(task)[metric]
    if task == "survival":  # the last horizon tells who is at higher risk
        return measure(scores.predicted[:, -1], np.empty(0), scores.target, weights)
    if task == "regression":
        return measure(scores.predicted[:, 0], np.empty(0), scores.target[:, 0], weights)
    decided = decide(scores.predicted, thresholds, task)
    found = [measure(scores.predicted[:, c], decided[:, c], scores.target[:, c], weights) for c in columns]
    return np.asarray(np.mean(found, axis=0))


def _counted(metric: str, scores: Scores, columns: Sequence[int]) -> Array:
    """Give the patients of the studies that a number counts: of a sensitivity the positives, of a specificity the negatives."""
    if len(columns) != 1 or metric not in ("sensitivity", "specificity"):
        return scores.patient
    counts = scores.target[:, columns[0]] == (metric == "sensitivity")
    return np.asarray(scores.patient[counts])


def _group(one: Criterion) -> str:
    assert one.subgroup is not None
    return f"{one.subgroup.column} = {one.subgroup.value}"
