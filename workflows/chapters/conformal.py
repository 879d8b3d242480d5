"""Chapter: prediction sets at a level that holds, and when the model should give no answer."""

import re
from functools import partial

import numpy as np

from medmm.doubts import ABSTAIN
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.conformal import ROUNDING, Conformal
from medmm.evaluation.coverage import Covered, coverage, coverage_plot, coverage_table
from medmm.evaluation.decision import THRESHOLDED, decide
from medmm.evaluation.grades import grade_of
from medmm.evaluation.intervals import Estimate, interval
from medmm.evaluation.metrics import share
from medmm.types import Array, Scores

from ..screen import Screen, with_interval
from ..subject import Subject

NAME = "conformal"
TITLE = "Prediction sets and abstention"
UNSAFE = r"[^A-Za-z0-9_.-]+"


def conformal(subject: Subject, screen: Screen) -> Chapter:
    """Judge the conformal sets that travel with the model on the test studies."""
    references, target = subject.package.references, subject.package.target
    if references is None:
        return Chapter(NAME, TITLE, ("The package holds no reference of its validation studies, so there are no sets.",))
    if references.conformal is None:
        why = "Not applicable: a time that is cut off has no residual, so a survival task gets no conformal sets here."
        return Chapter(NAME, TITLE, (why,))
    fitted, scores, resamples = references.conformal, subject.test.scores, subject.config.evaluation.resamples
    rows = coverage(fitted, target, scores, resamples)
    whole = rows[0]
    covered = fitted.covered(scores).mean(axis=1)
    measures = {
        "coverage": whole.coverage,
        "coverage_by_study": interval(partial(share, covered), scores.patient, resamples),
        "level": Estimate(fitted.level, *fitted.expected, fitted.studies, fitted.patients, 0),
    }
    for one in rows[1:]:
        measures.setdefault(_measure(one), one.coverage)  # of two that come to the same name, the table has both
    says = [_promise(fitted), _held(whole, fitted, own=subject.own)]
    if target.task == "regression":
        wide = 2 * float(fitted.limits[0, 0])
        width = Estimate(wide, wide, wide, fitted.studies, fitted.patients, 0)
        if np.isfinite(wide):
            measures["width"] = width
            unit = f" {target.unit}" if target.unit else ""
            says.append(f"Every interval is {wide:.3g}{unit} wide, for the residuals are taken to spread alike everywhere.")
    else:
        more, told = _answered(subject, fitted)
        measures |= more
        says += told
    says += _unequal(rows, fitted)
    figures = {"coverage": coverage_plot(rows, fitted.level, scores)} if np.isfinite(whole.coverage.value) else {}
    return Chapter(NAME, TITLE, tuple(says), measures, {"coverage": coverage_table(rows)}, figures)


def _measure(one: Covered) -> str:
    """Name a number as MLflow allows it, whatever the hospital calls its groups."""
    kind = "class" if one.kind in ("class", "label") else "group"
    name = one.name if kind == "class" else f"{one.kind}_{one.name}"
    return f"{kind}_coverage/{re.sub(UNSAFE, '-', name)[:60]}"


def _promise(fitted: Conformal) -> str:
    if not np.isfinite(fitted.limits).all():
        few = int(np.ceil(fitted.level / (1 - fitted.level) - ROUNDING))
        return f"Not enough data: {fitted.patients} validation patients, {few} are needed, so nothing is ruled out."
    what = "its interval holds the value" if fitted.task == "regression" else "its set of answers holds the true one"
    among = ", and among the studies of each class," if fitted.by_class else ""
    low, high = fitted.expected
    return (
        f"Whatever the model is worth, {what} for at least {fitted.level:.0%} of patients{among} like those that it was fitted "
        f"on: {fitted.studies:,} validation studies of {fitted.patients:,} patients. By chance of who these were, coverage may "
        f"lie between {low:.2f} and {high:.2f}."
    )


def _held(whole: Covered, fitted: Conformal, *, own: bool) -> str:
    one = whole.coverage
    if whole.note:
        return f"Coverage cannot be judged: {whole.note}."
    verdict = "less than promised" if _is_short(one, fitted) else "as promised"
    where = "" if own else " These are patients of another cohort, of whom the promise need not hold."
    return (
        f"On the test studies it holds {with_interval(one)} (n = {one.studies:,} studies of {one.patients:,} patients, each "
        f"patient counting alike): {verdict}.{where}"
    )


def _is_short(one: Estimate, fitted: Conformal) -> bool:
    """Tell whether coverage is below the level beyond what the draw of test and of validation patients explains together."""
    slack = np.hypot(one.high - one.value, fitted.level - min(fitted.level, fitted.expected[0]))
    return bool(one.value + slack < fitted.level)


def _answered(subject: Subject, fitted: Conformal) -> tuple[dict[str, Estimate], list[str]]:
    """Say how often the sets leave one answer, and what that is worth."""
    scores, resamples, target = subject.test.scores, subject.config.evaluation.resamples, subject.package.target
    size = fitted.sets(scores.predicted).sum(axis=2)  # (S, Q)
    undecided = np.asarray((size != 1).any(axis=1))
    studies = [subject.studies[i] for i in subject.test.rows]
    abstained = np.array(subject.package.doubts(studies, scores.predicted, subject.test)[ABSTAIN], bool)

    def mean(values: Array, keep: Array | None = None) -> Estimate:
        some = np.ones(len(values), bool) if keep is None else keep
        return interval(partial(share, values[some]), scores.patient[some], resamples)

    measures = {"set_size": mean(size.mean(axis=1)), "undecided": mean(undecided), "abstained": mean(abstained)}
    says = [
        f"A set holds {with_interval(measures['set_size'])} answers on average; with none or several the model abstains: in "
        f"{with_interval(measures['undecided'])} of the studies, and in {with_interval(measures['abstained'])} with those that "
        f"are unlike the training studies or outside the intended use (n = {len(abstained):,})."
    ]
    if (~undecided).any():
        right = np.asarray(fitted.covered(scores).all(axis=1))
        measures["answered_right"] = mean(right, ~undecided)
        one = measures["answered_right"]
        says.append(
            f"Of the {one.studies:,} studies of {one.patients:,} patients with one answer it is right in {with_interval(one)}."
        )
        if target.task in THRESHOLDED:
            differs = _differs(subject, fitted, scores)
            measures["decided_otherwise"] = mean(differs, ~undecided)
            one = measures["decided_otherwise"]
            differ = (
                f"In {with_interval(one)} of these (n = {one.studies:,}) the decision by threshold is not the answer in the set"
            )
            never = f"In none of these (n = {one.studies:,}) is the decision by threshold another"
            why = "; a threshold weighs misses against false alarms, a set goes by the likelier." if one.value else "."
            says.append((differ if one.value else never) + why)
    return measures, says


def _differs(subject: Subject, fitted: Conformal, scores: Scores) -> Array:
    """Tell in which studies (S,) with one answer the decision is another."""
    task = subject.package.target.task
    decided, sets = decide(scores.predicted, subject.package.thresholds, task), fitted.sets(scores.predicted)
    if task == "ordinal":
        return np.asarray(~np.take_along_axis(sets[:, 0], grade_of(decided)[:, np.newaxis], axis=1)[:, 0])
    return np.asarray((decided != sets[:, :, 0]).any(axis=1))


def _unequal(rows: tuple[Covered, ...], fitted: Conformal) -> list[str]:
    """Name what surely has less than the level, which is promised for all studies together only."""
    short = [one for one in rows[1:] if _is_short(one.coverage, fitted)]
    few = [one.label for one in rows[1:] if one.note]
    says = [
        f"{one.label}: {with_interval(one.coverage)} (n = {one.coverage.studies:,} studies of {one.coverage.patients:,} "
        "patients), below the level beyond chance, which is promised for all studies together."
        for one in short
        if not fitted.by_class or one.kind not in ("class", "label")
    ]
    return says + ([f"Not enough data to judge coverage: {', '.join(few)}."] if few else [])
