"""Whether a model serves every group of patients alike.

A group is judged alone, and against all other studies: its gap. Both sides of a gap meet the same draws of patients, so that a
patient with studies on both sides (at two sites) counts as one. A gap is judged twice, by its percentiles and by the standard
deviation of the draws with Student's t, and the larger p-value and the wider corrected limit count. The gaps of one metric and
class, over all groups of all columns, are one family: p-values after Holm, limits after Bonferroni. Of a column with two groups
both gaps are the same comparison, and count as one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy.stats import t

from medmm.evaluation.decision import decide
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.intervals import LEVEL, RESAMPLES, Estimate, sample_and_resamples, summarise
from medmm.evaluation.metrics import auroc, patients_behind, sensitivity, specificity
from medmm.evaluation.paired import ROUNDING, holm, resampled_p
from medmm.evaluation.results import Result
from medmm.evaluation.survival import c_index
from medmm.evaluation.tasks import MACRO, check
from medmm.evaluation.values import mean_absolute_error, r_squared
from medmm.evaluation.yardstick import YARDSTICKS, too_few
from medmm.types import Array, Scores, Task

MINIMUM = 10
"""Patients with a positive study, and patients with a negative one, that a group needs before a number is given; of a survival
task patients with the event, of a regression patients. With fewer, the intervals are too narrow to be believed."""


Line: TypeAlias = tuple[str, str]
"""Metric and class."""


@dataclass(frozen=True)
class Gap:
    """How much higher a metric is in a group than in all other studies.

    Attributes:
        estimate: Group less others, with its own interval; n counts both sides.
        p: Two-sided, for this gap alone.
        corrected_p: After Holm, for the family.
        corrected_low: Lower limit that holds for the whole family at once.
        corrected_high: Upper limit of that kind.
        comparisons: Size of the family.
        note: Why there is no number, or what must be known beside it; empty where there is nothing.
    """

    estimate: Estimate
    p: float
    corrected_p: float
    corrected_low: float
    corrected_high: float
    comparisons: int
    note: str = ""

    def row(self) -> dict[str, object]:
        """Give the gap as cells of a table."""
        one = self.estimate
        return {
            "gap": one.value,
            "gap_low": one.low,
            "gap_high": one.high,
            "gap_p": self.p,
            "gap_corrected_p": self.corrected_p,
            "gap_corrected_low": self.corrected_low,
            "gap_corrected_high": self.corrected_high,
            "gap_comparisons": self.comparisons,
            "gap_note": self.note,
        }


@dataclass(frozen=True)
class Subgroup:
    """One result of one group: the studies whose subgroup `column` has this `value`, and how far it lies from the others."""

    column: str
    value: str
    result: Result
    gap: Gap


@dataclass(frozen=True)
class _Drawn:
    """A gap before it is corrected: (1 + R,) values, none where `note` says why, and the patients on whom it rests."""

    values: Array
    rests_on: int
    note: str = ""

    @property
    def error(self) -> float:
        defined = self.values[1:][np.isfinite(self.values[1:])]
        spread = float(defined.std(ddof=1)) if defined.size > 1 else np.nan
        return spread * float(np.sqrt(self.rests_on / (self.rests_on - 1))) if self.rests_on > 1 else np.nan

    @property
    def p(self) -> float:
        """Give the larger of the p-values of the draws and of Student's t."""
        if self.note or not np.isfinite(self.values[0]):
            return np.nan
        drawn = resampled_p(self.values)
        if not self.error > ROUNDING:
            return drawn
        return max(drawn, float(2 * t.sf(abs(self.values[0]) / self.error, self.rests_on - 1)))


def subgroups(
    scores: Scores, task: Task, thresholds: Sequence[float], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Subgroup, ...]:
    """Evaluate each value of each subgroup column on its own, patients resampled within the group.

    Args:
        scores: Of the test split, with its groups.
        task: What the columns mean.
        thresholds: (C,) the thresholds of the whole, never of the group; empty for a task without them.
        resamples: How often patients are drawn anew.
        seed: Of the draws.

    Returns:
        For each group and class, and for the mean over the classes where there are several: headline metric, sensitivity and
        specificity; for values R² and the mean absolute error, for survival the C-index; each with its gap. Below `MINIMUM` the
        value is NaN and the note says so; a mean needs all its classes, and a gap enough patients on both sides.

    Raises:
        DataError: The scores or thresholds are not of this task.
    """
    check(scores, task)
    weights = sample_and_resamples(scores.patient, resamples, seed)
    results: list[tuple[str, str, Result]] = []
    drawn: dict[tuple[str, str], Mapping[Line, _Drawn]] = {}
    for column, values in scores.groups.items():
        for value, members in _members(values):
            found = _results(scores.some(members), task, thresholds, resamples, seed)
            results += [(column, value, result) for result in found]
            drawn[column, value] = _gaps(scores, members, task, thresholds, weights)
    families = {line: _family(line, drawn, scores) for line in {(one.metric, one.class_name) for *_, one in results}}
    return tuple(
        Subgroup(column, value, result, families[result.metric, result.class_name][column, value])
        for column, value, result in results
    )


def subgroup_table(rows: Sequence[Subgroup]) -> pd.DataFrame:
    """Give one row a result: column, group, metric, class, value, low, high, studies, patients, note, and those of the gap."""
    return pd.DataFrame([{"column": row.column, "group": row.value, **row.result.row(), **row.gap.row()} for row in rows])


def _members(values: Array) -> Iterator[tuple[str, Array]]:
    texts = np.asarray([str(value) for value in values])
    for value in np.unique(texts):
        yield str(value), np.flatnonzero(texts == value)


def _results(scores: Scores, task: Task, thresholds: Sequence[float], resamples: int, seed: int) -> Iterator[Result]:
    short = too_few(scores, task, MINIMUM)
    for result in evaluate(scores, task, thresholds, resamples, seed).results:
        if result.metric in YARDSTICKS[task].reported:
            yield _withheld(result, short[result.class_name]) if result.class_name in short else result


def _withheld(result: Result, note: str) -> Result:
    counted = result.estimate
    return replace(result, estimate=Estimate(np.nan, np.nan, np.nan, counted.studies, counted.patients, 0), note=note)


def _gaps(scores: Scores, members: Array, task: Task, thresholds: Sequence[float], weights: Array) -> Mapping[Line, _Drawn]:
    """Draw a group's metrics less those of all other studies."""
    inside = np.zeros(len(scores.patient), bool)
    inside[members] = True
    nothing = np.full(len(weights), np.nan)
    lines = [(metric, name) for metric in YARDSTICKS[task].reported for name in (*scores.classes, MACRO)]
    if inside.all():
        return {line: _Drawn(nothing, 0, "every study is of this group") for line in lines}
    sides = [scores.some(inside), scores.some(~inside)]
    short = [too_few(side, task, MINIMUM) for side in sides]
    values = [_values(side, task, thresholds, weights[:, kept]) for side, kept in zip(sides, (inside, ~inside), strict=True)]
    found = {}
    for line in values[0]:
        metric, name = line
        notes = [f"{side}: {few[name]}" for side, few in zip(("group", "others"), short, strict=True) if name in few]
        if notes:
            found[line] = _Drawn(nothing, 0, "; ".join(notes))
        else:
            rests_on = min(_rests_on(side, task, metric, name) for side in sides)
            found[line] = _Drawn(values[0][line] - values[1][line], rests_on)
    return found


def _values(scores: Scores, task: Task, thresholds: Sequence[float], weights: Array) -> dict[Line, Array]:
    """Give the reported metrics for (1 + R, s) weights; NaN in a draw without any of the studies."""
    drawn = np.asarray(weights.any(axis=1))
    values = {line: _filled(some, drawn) for line, some in _defined_values(scores, task, thresholds, weights[drawn])}
    if task not in ("regression", "survival") and len(scores.classes) > 1:
        for metric in YARDSTICKS[task].reported:
            values[metric, MACRO] = np.mean([values[metric, name] for name in scores.classes], axis=0)
    return values


def _defined_values(scores: Scores, task: Task, thresholds: Sequence[float], weights: Array) -> Iterator[tuple[Line, Array]]:
    if task == "regression":
        predicted, true, (name,) = scores.predicted[:, 0], scores.target[:, 0], scores.classes
        yield ("r2", name), r_squared(predicted, true, weights)
        yield ("mae", name), mean_absolute_error(predicted, true, weights)
    elif task == "survival":
        for column, name in enumerate(scores.classes):
            yield ("c_index", name), c_index(scores.predicted[:, column], scores.target, weights)
    else:
        decided = decide(scores.predicted, thresholds, task)
        for column, name in enumerate(scores.classes):
            target = scores.target[:, column]
            yield ("auroc", name), auroc(scores.predicted[:, column], target, weights)
            yield ("sensitivity", name), sensitivity(decided[:, column], target, weights)
            yield ("specificity", name), specificity(decided[:, column], target, weights)


def _filled(values: Array, drawn: Array) -> Array:
    filled = np.full(len(drawn), np.nan)
    filled[drawn] = values
    return filled


def _rests_on(scores: Scores, task: Task, metric: str, name: str) -> int:
    if task in ("regression", "survival"):
        return YARDSTICKS[task].rests_on(scores)
    columns = [scores.classes.index(name)] if name != MACRO else range(len(scores.classes))
    return min(patients_behind(metric, scores.target[:, column], scores.patient) for column in columns)


def _family(line: Line, drawn: Mapping[tuple[str, str], Mapping[Line, _Drawn]], scores: Scores) -> dict[tuple[str, str], Gap]:
    """Correct the gaps of one metric and class for each other."""
    p: dict[tuple[str, str], float] = {}
    same: dict[tuple[str, str], tuple[str, str]] = {}
    for column in scores.groups:
        own = [key for key in drawn if key[0] == column]
        for key in own:
            same[key] = own[0] if len(own) == 2 else key
            if np.isfinite(drawn[key][line].p):
                p.setdefault(same[key], drawn[key][line].p)
    corrected = dict(zip(p, holm(np.array(list(p.values()))), strict=True))
    return {key: _gap(one[line], scores, len(p), corrected.get(same[key], np.nan)) for key, one in drawn.items()}


def _gap(drawn: _Drawn, scores: Scores, comparisons: int, corrected_p: float) -> Gap:
    estimate = summarise(drawn.values, scores.patient, rests_on=drawn.rests_on)
    level = 1 - (1 - LEVEL) / max(1, comparisons)
    outer = summarise(drawn.values, scores.patient, level, drawn.rests_on)
    half = drawn.error * float(t.ppf((1 + level) / 2, drawn.rests_on - 1)) if drawn.rests_on > 1 else np.nan
    low, high = np.fmin(outer.low, estimate.value - half), np.fmax(outer.high, estimate.value + half)
    return Gap(estimate, drawn.p, float(corrected_p), float(low), float(high), comparisons, drawn.note)
