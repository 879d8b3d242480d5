"""Whether the model serves every group of patients and every site alike."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from medmm.evaluation.chapter import Chapter
from medmm.evaluation.forest import LONGEST_NAME, gaps_plot, groups_plot
from medmm.evaluation.intervals import LEVEL, Estimate, interval
from medmm.evaluation.subgroups import MINIMUM, Subgroup, subgroup_table, subgroups
from medmm.evaluation.yardstick import YARDSTICKS, Yardstick
from medmm.types import Scores

from ..screen import Screen
from ..subject import Subject

MOST_ROWS = 40
"""Groups that a figure has room for: those of the most patients."""


def groups(subject: Subject, screen: Screen) -> Chapter:
    """Give the headline of each group, and how far it lies from that of all other studies, corrected for all groups."""
    title, scores, task = "Subgroups and sites", subject.test.scores, subject.config.target.task
    if not scores.groups:
        return Chapter("subgroups", title, ("No column is named in cohort.subgroups, so no groups are compared.",))
    screen.say("comparing groups of patients ...")
    yardstick, resamples = YARDSTICKS[task], subject.config.evaluation.resamples
    rows = subgroups(scores, task, subject.package.thresholds, resamples)
    last = [one for one in rows if one.result.metric == yardstick.metric][-1].result.class_name
    heads = [one for one in rows if (one.result.metric, one.result.class_name) == (yardstick.metric, last)]
    measures: dict[str, Estimate] = {}
    for one in heads:
        if np.isfinite(one.result.estimate.value):
            measures[_free(f"{_safe(one.column)}_{_safe(one.value)}", measures)] = one.result.estimate
        if np.isfinite(one.gap.estimate.value):
            measures[_free(f"{_safe(one.column)}_{_safe(one.value)}_gap", measures)] = one.gap.estimate
    whole = interval(
        lambda weights: yardstick.of(scores, weights), scores.patient, resamples, rests_on=yardstick.rests_on(scores)
    )
    shown = sorted(heads, key=lambda one: -one.result.estimate.patients)[:MOST_ROWS]
    shown = [one for one in heads if one in shown]
    figures = {
        "groups": groups_plot(whole, [(_name(one), one.result.estimate, differs(one)) for one in shown], yardstick),
        "gaps": gaps_plot(
            [(_name(one), _of_group(one), (one.gap.corrected_low, one.gap.corrected_high)) for one in shown], yardstick
        ),
    }
    says = tuple(_says(scores, rows, heads, yardstick))
    return Chapter("subgroups", title, says, measures, {"subgroups": subgroup_table(rows)}, figures)


def differs(one: Subgroup) -> bool:
    """Tell whether a gap is beyond chance among all that were looked at."""
    return one.gap.corrected_p <= 1 - LEVEL


def _says(scores: Scores, rows: Sequence[Subgroup], heads: Sequence[Subgroup], yardstick: Yardstick) -> Iterator[str]:
    short = [one for one in heads if np.isnan(one.result.estimate.value)]
    needed = f"{MINIMUM} patients with {'each outcome' if yardstick.metric == 'auroc' else yardstick.counted}"
    yield (
        f"{len(heads)} groups of {len(scores.groups)} columns ({', '.join(scores.groups)}); {len(heads) - len(short)} have "
        f"enough patients for a number ({needed})."
    )
    tested = [one for one in rows if np.isfinite(one.gap.corrected_p)]
    found = [one for one in tested if differs(one)]
    for one in found:
        gap, of_class = one.gap, "" if len(scores.classes) == 1 else f" ({one.result.class_name})"
        yield (
            f"{_name(one)}: {one.result.metric}{of_class} is {abs(gap.estimate.value):.3f} "
            f"{'higher' if gap.estimate.value > 0 else 'lower'} than in all other studies, {LEVEL:.0%} interval for "
            f"all {gap.comparisons} comparisons at once [{gap.corrected_low:.3f}, {gap.corrected_high:.3f}], "
            f"p {gap.corrected_p:.3g} after correction ({_on(one.result.estimate)})."
        )
    if tested and not found:
        heads_tested = [one for one in heads if np.isfinite(one.gap.corrected_p)]
        widest = max(heads_tested or tested, key=lambda one: abs(one.gap.estimate.value))
        gap = widest.gap
        yield (
            f"No group differs from all other studies beyond chance after correction for {gap.comparisons} comparisons of a "
            f"metric; the widest gap of {widest.result.metric} is {gap.estimate.value:+.3f} in {_name(widest)}, corrected "
            f"interval [{gap.corrected_low:.3f}, {gap.corrected_high:.3f}]: a gap inside these limits is not ruled out."
        )
    if not tested:
        yield "No gap can be given: it takes enough patients in the group and among all others."
    for one in short:
        yield f"{_name(one)}: {one.result.note or 'not defined'}; {_on(one.result.estimate)}."
    for column in scores.groups:
        own = [one for one in heads if one.column == column and np.isfinite(one.result.estimate.value)]
        if len(own) > 1:
            low, high = (pick(own, key=lambda one: one.result.estimate.value) for pick in (min, max))
            yield (
                f"{column}: {yardstick.label} from {low.result.estimate} ({_value(low)}, {_on(low.result.estimate)}) "
                f"to {high.result.estimate} ({_value(high)}, {_on(high.result.estimate)})."
            )


def _of_group(one: Subgroup) -> Estimate:
    """Give the gap beside the n of the group, not of both sides."""
    return replace(one.gap.estimate, studies=one.result.estimate.studies, patients=one.result.estimate.patients)


def _on(estimate: Estimate) -> str:
    return f"{estimate.studies} studies of {estimate.patients} patients"


def _name(one: Subgroup) -> str:
    return f"{one.column}: {_value(one)}"


def _value(one: Subgroup) -> str:
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in one.value).split())
    return line[:LONGEST_NAME] or "no value"


def _safe(text: str) -> str:
    """Give what MLflow takes as part of a metric's name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:60] or "none"


def _free(name: str, taken: dict[str, Estimate]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free
