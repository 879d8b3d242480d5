"""Examples: studies on which the model was right, wrong, unsure and silent, and what each input added.

They are chosen by rule, not by eye: of each group the study of median confidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medmm.doubts import ABSTAIN
from medmm.evaluation.canvas import COLOURS, GREY, TEXT_POINTS, canvas, dress, entitle
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.decision import decide
from medmm.explanation.page import said
from medmm.explanation.study import Answer, InputShare, weigh_inputs
from medmm.types import CLASS_TASKS, Array, Scores, Task

from ..explain import label_in_words
from ..screen import Screen
from ..subject import Subject

NAME, TITLE = "examples", "Examples"

UNSURE = 0.1
"""Share of the studies that are nearest to being said otherwise; of values, of those with the largest error."""

CERTAIN = 1e-6
"""Nearest that a probability comes to 0 or 1 in the measure of confidence."""


@dataclass(frozen=True)
class Group:
    """Studies of one kind, from which one is shown.

    Attributes:
        name: Safe as a file name.
        title: For the eye.
        places: Indices among the test studies, from the least to the most of what they are sorted by.
    """

    name: str
    title: str
    places: Array

    @property
    def typical(self) -> int:
        """The study in the middle."""
        return int(self.places[len(self.places) // 2])


def examples(subject: Subject, screen: Screen) -> Chapter:
    """Show a typical study of each kind; nothing is chosen by what its explanation looks like."""
    scores, package, test = subject.test.scores, subject.package, subject.test
    rows, figures, says = [], {}, []
    kinds = [*groups(scores, package.target.task, package.thresholds), *abstained(subject)]
    found = [group for group in kinds if len(group.places)]
    for group in found:
        index = int(test.rows[group.typical])
        study = subject.studies[index]
        fields = {name: one.fields(index) for name, one in subject.prepared.items()}
        prepared = {name: own for name, own in fields.items() if own is not None}
        if not prepared:
            continue  # no input at all, so nothing adds
        _, answer, start, shares, _ = weigh_inputs(package, study, prepared)
        recorded = label_in_words(package.target, scores.target[group.typical])
        rows.append(_row(group, study.row, recorded, answer, start, shares))
        figures[group.name] = draw(group, study.row, recorded, answer, start, shares)
        says.append(_sentence(group, study.row, recorded, answer, shares))
    if not rows:
        return Chapter(NAME, TITLE, ("not enough data: no test study could be shown",))
    says.append(
        "Each is the study of median confidence of its group (of errors, of median size). "
        "`medmm explain` shows what in its images, cells and words the answer rests on."
    )
    return Chapter(NAME, TITLE, tuple(says), tables={"examples": pd.DataFrame(rows)}, figures=figures)


def groups(scores: Scores, task: Task, thresholds: tuple[float, ...]) -> Iterator[Group]:
    """Sort the test studies into groups.

    Args:
        scores: Answers beside the truth.
        task: What they mean.
        thresholds: (C,); empty for a task without them.
    """
    if task == "regression":
        error = np.abs(scores.predicted[:, 0] - scores.target[:, 0])
        order = np.argsort(error, kind="stable")
        yield Group("usual_error", "An error of usual size", order)
        yield Group("large_error", "One of the largest errors", order[-_few(len(order)) :])
        return
    if task not in CLASS_TASKS:
        yield from _survival_groups(scores)
        return
    decided, truth = decide(scores.predicted, thresholds, task), scores.target == 1
    right = (decided == truth).all(axis=1)
    sure = confidence(scores.predicted, thresholds)
    order = np.argsort(sure, kind="stable")
    if task == "binary":
        name = scores.classes[0]
        for group, title, kept in (
            ("right_positive", f"Right: {name} said and recorded", right & truth[:, 0]),
            ("right_negative", f"Right: {name} neither said nor recorded", right & ~truth[:, 0]),
            ("wrong_positive", f"Wrong: {name} said, not recorded", ~right & decided[:, 0]),
            ("wrong_negative", f"Wrong: {name} recorded, not said", ~right & truth[:, 0]),
        ):
            yield Group(group, title, order[kept[order]])
    else:
        yield Group("right", "Right in every class", order[right[order]])
        yield Group("wrong", "Wrong in a class", order[~right[order]])
    yield Group("unsure", "Unsure: among the nearest to being said otherwise", order[: _few(len(order))])


def abstained(subject: Subject) -> Iterator[Group]:
    """Give the test studies for which the package gives no answer to rely on, from the least confident to the most."""
    scores, package = subject.test.scores, subject.package
    studies = [subject.studies[i] for i in subject.test.rows]
    silent = np.array(package.doubts(studies, scores.predicted, subject.test).get(ABSTAIN, ()), bool)
    if not len(silent):
        return
    sure = confidence(scores.predicted, package.thresholds) if package.target.task in CLASS_TASKS else scores.predicted[:, -1]
    order = np.argsort(sure, kind="stable")
    yield Group("abstained", "Abstained: outside the intended use, novel, or not one answer is left", order[silent[order]])


def confidence(probability: Array, thresholds: tuple[float, ...]) -> Array:
    """Give how far each study (S,) is from being said otherwise, in log odds: from a threshold, or from the next class."""
    odds = _log_odds(probability)
    if thresholds:
        return np.asarray(np.abs(odds - _log_odds(np.array(thresholds))).min(axis=1))
    ranked = np.sort(odds, axis=1)
    return np.asarray(ranked[:, -1] - ranked[:, -2])


def draw(group: Group, row: int, recorded: str, answer: Answer, start: float, shares: tuple[InputShare, ...]) -> Figure:
    """Draw what each input adds, as bars from the middle."""
    there = [share for share in shares if share.adds is not None]
    figure = canvas(5.2, 1.5 + 0.32 * len(shares))
    axes = figure.add_subplot()
    adds = [share.adds or 0.0 for share in there]
    colours = [COLOURS[1] if add > 0 else COLOURS[0] for add in adds]
    places = np.arange(len(there))
    axes.barh(places, adds, color=colours, height=0.62)
    for place, add in zip(places, adds, strict=True):
        side = "left" if add > 0 else "right"
        axes.annotate(
            f"{add:+.2f}", (add, place), (4 if add > 0 else -4, 0), textcoords="offset points", ha=side, va="center",
            fontsize=TEXT_POINTS,
        )  # fmt: skip
    axes.axvline(0, color=GREY, linewidth=1)
    axes.margins(x=0.22)
    axes.set_yticks(places, [share.name for share in there], parse_math=False)
    axes.invert_yaxis()
    dress(axes, f"adds, in {_unit(answer)}", "")
    line = answer.explained
    entitle(axes, group.title, f"row {row}: {said(line, answer)} for {line.name}; recorded: {recorded}")
    absent = [share.name for share in shares if share.adds is None]
    if absent:
        figure.supxlabel(f"absent: {', '.join(absent)}", fontsize=TEXT_POINTS, color=GREY)
    return figure


def _row(
    group: Group, row: int, recorded: str, answer: Answer, start: float, shares: tuple[InputShare, ...]
) -> dict[str, object]:
    line = answer.explained
    return {
        "example": group.title,
        "of_studies": len(group.places),
        "row": row,
        "recorded": recorded,
        "explained": line.name,
        "said": line.value,
        "threshold": line.threshold,
        "without_any_input": start,
        **{f"adds_{share.name}": share.adds for share in sorted(shares, key=lambda share: share.name)},
    }


def _sentence(group: Group, row: int, recorded: str, answer: Answer, shares: tuple[InputShare, ...]) -> str:
    line, most = answer.explained, shares[0]
    adds = "" if most.adds is None else f"; most was added by {most.name} ({most.adds:+.2f} {_unit(answer)})"
    return (
        f"{group.title} (row {row}, of {len(group.places)} such studies): {said(line, answer)} for {line.name}, "
        f"recorded: {recorded}{adds}."
    )


def _survival_groups(scores: Scores) -> Iterator[Group]:
    """Take for right that a study above the median risk had the event, and one below it had none for as long as the median."""
    risk, time, event = scores.predicted[:, -1], scores.target[:, 0], scores.target[:, 1] == 1
    high = risk >= np.median(risk)
    early = event & (time <= np.median(time))
    late = time > np.median(time)
    order = np.argsort(np.abs(risk - np.median(risk)), kind="stable")
    for name, title, kept in (
        ("right_high", "Right: high risk, early event", high & early),
        ("right_low", "Right: low risk, followed up for long", ~high & late),
        ("wrong_high", "Wrong: high risk, followed up for long", high & late),
        ("wrong_low", "Wrong: low risk, early event", ~high & early),
    ):
        yield Group(name, title, order[kept[order]])


def _few(studies: int) -> int:
    return max(1, round(UNSURE * studies))


def _log_odds(probability: Array) -> Array:
    inside = np.clip(np.asarray(probability, np.float64), CERTAIN, 1 - CERTAIN)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _unit(answer: Answer) -> str:
    return "log odds" if answer.noun != "predicted" else answer.unit or "units of the value"
