"""Checks that rest on chapters of the evaluation: calibration, decision curve, subgroups, novelty, conformal sets, robustness.

A check knows a chapter by its name and its numbers by theirs; both stand once, at the top.
"""

import re
from collections.abc import Mapping
from math import ceil

import numpy as np

from medmm.evaluation.intervals import Estimate
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.yardstick import YARDSTICKS

from .audited import Audited
from .finding import Finding, beyond, judge, less, not_applicable, not_enough, shown

CALIBRATION, SLOPE, LARGE, EXCESS = "calibration", "slope(_.*)?", "in_the_large(_.*)?", "excess(_.*)?"
ERROR, NULL = "ece(?!_null|_chance)(_.*)?", ("ece", "ece_null")
DECISION, GAIN = "decision_curve", "gain_at_.*"
SUBGROUPS, GAP = "subgroups", "(.*)_gap"
NOVELTY, OUTLIERS, FALSE_ALARMS = "novelty", "outliers/.*", "false_alarms(/.*)?"
CONFORMAL, COVERAGE, LEVEL = "conformal", "coverage", "level"
ROBUSTNESS, MILD, DAMAGES = "robustness", "mild_.*", "(?!mild_|worst).*(?<!_refused)"

SLOPES = (0.67, 1.5)
"""Calibration slopes between which answers are neither far too sure nor far too unsure."""

LARGEST_SHIFT = 0.5
"""Calibration in the large: in logits, where what is said to be 50 % is then between 38 and 62 %; of a value in standard
deviations of the truth."""

LARGEST_EXCESS = 0.1
"""Of the share with the event over the mean risk that was said."""

LARGEST_ERROR = 0.05
"""Calibration error beyond that of a perfectly calibrated model on as many studies."""

WIDEST_SLOPE = 1.5

LARGEST_GAP = 0.1
"""By which a group may surely be served worse than the others."""

LEAST_TOLD_APART = 0.6
"""AUROC of planted outliers."""

VALIDATION_NEEDED = 20
"""Patients without whom no limit is drawn that accepts 95 % of them."""

MOST_ALARMS = 0.15
"""Of ordinary studies, at a threshold that is to accept 95 %."""

SHORT_COVERAGE = 0.02
"""By which coverage may surely stay below its level, beyond what the draw of the validation patients explains."""

LARGEST_DROP = 0.1
"""Of the headline, under the mildest step of a damage, which occurs in any hospital."""


def calibration(audited: Audited) -> Finding:
    """Tell whether probabilities, values or risks are what they say."""
    task, truth = audited.subject.config.target.task, audited.subject.test.scores
    found = {**audited.measures(CALIBRATION, SLOPE), **audited.measures(CALIBRATION, EXCESS)}
    if not found:
        return _without(audited, CALIBRATION)
    unit = float(np.std(truth.target)) if task == "regression" else 1.0
    shifts, errors = audited.measures(CALIBRATION, LARGE), audited.measures(CALIBRATION, ERROR)
    limits = {name: (SLOPES[0], SLOPES[1]) if name.startswith("slope") else (-LARGEST_EXCESS, LARGEST_EXCESS) for name in found}
    limits |= dict.fromkeys(shifts, (-LARGEST_SHIFT * unit, LARGEST_SHIFT * unit))
    for name in errors:
        null = audited.measures(CALIBRATION, re.escape(name.replace(*NULL, 1)))
        limits[name] = (-np.inf, LARGEST_ERROR + sum(one.high for one in null.values()))
    numbers = {**found, **shifts, **errors}
    told = ", ".join(f"{name} {shown(one)}" for name, one in numbers.items())
    few = YARDSTICKS[task].rests_on(truth)
    wrong = [name for name, (least, most) in limits.items() if beyond(numbers[name], most, least, len(numbers))]
    defined = [name for name in found if np.isfinite(found[name].value)] or list(found)
    name = wrong[0] if wrong else max(defined, key=lambda one: found[one].high - found[one].low)
    least, most = limits[name]
    told += (
        f"; {name} is to lie between {least:.2f} and {most:.2f}"
        if np.isfinite(least)
        else f"; {name} is to be below {most:.3f}"
    )
    one, widest = numbers[name], WIDEST_SLOPE if name in found else np.inf
    return judge(
        f"calibration {name}", one, told, most=most, least=least, comparisons=len(numbers), rests_on=few, widest=widest
    )


def decision_curve(audited: Audited) -> Finding:
    """Tell whether deciding by the model does more good than acting on everybody, or on nobody."""
    found = audited.measures(DECISION, GAIN)
    defined = {name: one for name, one in found.items() if np.isfinite(one.low)}
    if not found:
        return _without(audited, DECISION)
    few = YARDSTICKS[audited.subject.config.target.task].rests_on(audited.subject.test.scores)
    if few < MINIMUM or not defined:
        return not_enough("the decision curve is not defined, or rests on too few", few, max(MINIMUM, 2 * few))
    told = "net benefit less that of acting on everybody or nobody, whichever is better: " + ", ".join(
        f"{name.removeprefix('gain_')} {shown(one, 3)}" for name, one in defined.items()
    )
    worst, best = min(defined, key=lambda name: defined[name].high), max(defined, key=lambda name: defined[name].low)
    if beyond(defined[worst], least=0.0, comparisons=len(defined)):
        return Finding("fail", f"surely worse {worst.removeprefix('gain_')}; {told}", f"net benefit {worst}", defined[worst])
    one, measure = defined[best], f"net benefit {best}"
    if one.low > 0:
        return Finding("pass", told, measure, one)
    needed = ceil(one.patients * ((one.value - one.low) / max(abs(one.value), 0.01)) ** 2)
    return not_enough(f"{told}; no interval lies above 0", one.patients, needed, measure, one)


def subgroups(audited: Audited) -> Finding:
    """Tell whether a group of patients is served worse than the others."""
    found = {name.removesuffix("_gap"): one for name, one in audited.measures(SUBGROUPS, GAP).items()}
    if not found:
        return _without(audited, SUBGROUPS)
    return _worst(found, "headline of {} less that of all other studies", least=-LARGEST_GAP)


def out_of_distribution(audited: Audited) -> Finding:
    """Tell whether planted outliers are seen, and ordinary studies let pass."""
    outliers, alarms = audited.measures(NOVELTY, OUTLIERS), audited.measures(NOVELTY, FALSE_ALARMS)
    if not outliers and not alarms:
        return _without(audited, NOVELTY)
    validation = audited.subject.parts.get("validation")
    drawn = VALIDATION_NEEDED if validation is None else len(np.unique(validation.scores.patient))
    if drawn < VALIDATION_NEEDED:
        return not_enough("too few validation patients to draw a limit, so that no study is novel", drawn, VALIDATION_NEEDED)
    judged = []
    if alarms:
        named = {f"by {name.partition('/')[2] or 'the whole study'}": one for name, one in alarms.items()}
        judged.append(_worst(named, "share of test studies called unlike those of the training {}", most=MOST_ALARMS))
    if outliers:
        named = {name.partition("/")[2]: one for name, one in outliers.items()}
        judged.append(_worst(named, "AUROC of planted outliers of {}", least=LEAST_TOLD_APART))
    for verdict in ("fail", "not enough data"):
        for one in judged:
            if one.verdict == verdict:
                return one
    return judged[-1]


def conformal_coverage(audited: Audited) -> Finding:
    """Tell whether prediction sets hold the truth as often as they promise."""
    found, levels = audited.measures(CONFORMAL, COVERAGE), audited.measures(CONFORMAL, LEVEL)
    if not found or not levels:
        return _without(audited, CONFORMAL)
    one, level = found[COVERAGE], levels[LEVEL]
    by_draw = f"[{level.low:.2f}, {level.high:.2f}]"
    told = f"coverage {shown(one)}, promised {level.value:.2f}; by the draw of validation patients it may lie in {by_draw}"
    measure = f"coverage of sets that promise {level.value:.2f}"
    short = less(level, one)
    if one.patients >= MINIMUM and np.isfinite(short.low) and beyond(short, most=SHORT_COVERAGE):
        return Finding("fail", told, measure, one)
    return judge(measure, one, told)


def robustness(audited: Audited) -> Finding:
    """Tell whether the mildest damage, of a size that occurs, takes away what the model knows."""
    found = {name.removeprefix("mild_"): one for name, one in audited.measures(ROBUSTNESS, MILD).items()}
    if not found:
        return _without(audited, ROBUSTNESS)
    tried = len(audited.measures(ROBUSTNESS, DAMAGES))
    return _worst(found, "fall of the headline under the worst mild damage of {}", most=LARGEST_DROP, tried=tried)


def _worst(
    found: Mapping[str, Estimate], measure: str, *, most: float | None = None, least: float | None = None, tried: int = 0
) -> Finding:
    """Judge the number that lies farthest on the wrong side, of those that are defined; `tried` where it is of more."""
    defined = {name: one for name, one in found.items() if np.isfinite(one.value)}
    if not defined:
        had = max(one.patients for one in found.values())
        return not_enough(f"none of {len(found)} numbers rests on enough patients", had, 2 * had)
    sign, comparisons = 1 if least is None else -1, max(len(defined), tried)

    def wrong(name: str) -> tuple[bool, float]:
        return beyond(defined[name], most, least, comparisons), sign * defined[name].value

    worst = max(defined, key=wrong)
    one = defined[worst]
    limit = f"at most {most:g}" if most is not None else f"at least {least:g}"
    told = f"{worst}: {shown(one, 3)}, the worst of {comparisons}; the limit is {limit}"
    return judge(measure.format(worst), one, told, most=most, least=least, comparisons=comparisons)


def _without(audited: Audited, chapter: str) -> Finding:
    """Say why a chapter has no number, in its own words."""
    if chapter not in audited.chapters:
        return not_applicable(f"the evaluation has no chapter {chapter}")
    scores = audited.subject.test.scores
    yardstick = YARDSTICKS[audited.subject.config.target.task]
    sides = [scores.some(one == value) for one in scores.groups.values() for value in np.unique(one)]
    looked = sides if chapter == SUBGROUPS and sides else [scores]
    few = min(yardstick.rests_on(one) for one in looked)
    if few < MINIMUM:
        return not_enough("; ".join(audited.chapters[chapter].says), few, MINIMUM)
    return not_applicable("; ".join(audited.chapters[chapter].says) or f"the chapter {chapter} holds no number")
