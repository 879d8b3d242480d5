"""Checks that rest on chapters of the evaluation: calibration, decision curve, subgroups, novelty, conformal sets, robustness.

A check knows a chapter by its name and its numbers by theirs; both stand once, at the top.
"""

from collections.abc import Mapping
from math import ceil

import numpy as np

from medmm.evaluation.intervals import Estimate
from medmm.evaluation.subgroups import MINIMUM
from medmm.evaluation.yardstick import YARDSTICKS

from .audited import Audited
from .finding import Finding, beyond, judge, not_applicable, not_enough, shown

CALIBRATION, SLOPE, INTERCEPT = "calibration", "slope(/.*)?", "intercept(/.*)?"
ERROR, CHANCE, BY_CHANCE = "ece(/.*)?", "ece_null_high(/.*)?", ("ece", "ece_null_high")
DECISION, NET_GAIN = "decision_curve", "gain(/.*)?"
SUBGROUPS, GAP = "subgroups", "gap/.*"
NOVELTY, OUTLIERS, FALSE_ALARMS = "novelty", "outliers(/.*)?", "false_alarms(/.*)?"
CONFORMAL, COVERAGE = "conformal", "coverage(/.*)?"
ROBUSTNESS, DROP, DAMAGES = "robustness", "mild_.*", "(?!mild_|worst)(.*)(?<!_refused)"

SLOPES = (0.67, 1.5)
"""Calibration slopes between which answers are neither far too sure nor far too unsure."""

LARGEST_INTERCEPT = 0.5
"""In logits: what is said to be 50 % is between 38 and 62 %."""

LARGEST_ERROR = 0.05
"""Calibration error beyond that of a perfectly calibrated model on as many studies."""

WIDEST_SLOPE = 1.5

LARGEST_GAP = 0.1
"""By which a group may surely be served worse than the others."""

LEAST_TOLD_APART = 0.6
"""AUROC of planted outliers."""

MOST_ALARMS = 0.15
"""Of ordinary studies, at a threshold that is to accept 95 %."""

SHORT_COVERAGE = 0.05
"""By which coverage may surely stay below its level; a calibration set of a hundred studies moves it by three percent."""

LARGEST_DROP = 0.1
"""Of the headline, under the mildest step of a damage, which occurs in any hospital."""

DEFAULT_COVERAGE = 0.9


def calibration(audited: Audited) -> Finding:
    """Tell whether probabilities are what they say."""
    slopes, intercepts = audited.measures(CALIBRATION, SLOPE), audited.measures(CALIBRATION, INTERCEPT)
    if not slopes:
        return _without(audited, CALIBRATION)
    errors, chance = audited.measures(CALIBRATION, ERROR), audited.measures(CALIBRATION, CHANCE)
    comparisons = len(slopes) + len(intercepts) + len(errors)
    told = ", ".join(f"{name} {shown(one)}" for name, one in {**slopes, **intercepts, **errors}.items())
    few = YARDSTICKS[audited.subject.config.target.task].rests_on(audited.subject.test.scores)
    worst = max(slopes, key=lambda name: abs(np.log(max(slopes[name].value, 1e-3))) if np.isfinite(slopes[name].value) else -1)
    if few >= MINIMUM:
        for name, one in intercepts.items():
            if beyond(one, most=LARGEST_INTERCEPT, least=-LARGEST_INTERCEPT, comparisons=comparisons):
                return Finding("fail", told, f"calibration {name}", one)
        for name, one in errors.items():
            null = chance.get(name.replace(*BY_CHANCE, 1))
            if null is not None and beyond(one, most=null.value + LARGEST_ERROR, comparisons=comparisons):
                return Finding("fail", f"{told}; by chance alone up to {null.value:.3f}", f"calibration {name}", one)
        for name, one in slopes.items():
            if beyond(one, most=SLOPES[1], least=SLOPES[0], comparisons=comparisons):
                return Finding("fail", told, f"calibration {name}", one)
    return judge(f"calibration {worst}", slopes[worst], told, rests_on=few, widest=WIDEST_SLOPE)


def decision_curve(audited: Audited) -> Finding:
    """Tell whether deciding by the model does more good than treating everyone, or no one."""
    found = audited.measures(DECISION, NET_GAIN)
    if not found:
        return _without(audited, DECISION)
    worst = min(found, key=lambda name: np.nan_to_num(found[name].value, nan=np.inf))
    one = found[worst]
    told = "net benefit at the threshold less that of the better default: " + ", ".join(
        f"{_of(name)} {shown(each, 3)}" for name, each in found.items()
    )
    measure = "net benefit gained over the better default"
    few = YARDSTICKS[audited.subject.config.target.task].rests_on(audited.subject.test.scores)
    if few < MINIMUM or not np.isfinite(one.low):
        return not_enough(told, few, max(MINIMUM, 2 * few), measure, one)
    if beyond(one, least=0.0, comparisons=len(found)):
        return Finding("fail", told, measure, one)
    if one.low > 0:
        return Finding("pass", told, measure, one)
    needed = ceil(one.patients * ((one.value - one.low) / max(abs(one.value), 0.01)) ** 2)
    return not_enough(f"{told}; the interval holds both a gain and a loss", one.patients, needed, measure, one)


def subgroups(audited: Audited) -> Finding:
    """Tell whether a group of patients is served worse than the others."""
    found = audited.measures(SUBGROUPS, GAP)
    if not found:
        return _without(audited, SUBGROUPS)
    return _worst(found, "headline of {} less that of the others", least=-LARGEST_GAP)


def out_of_distribution(audited: Audited) -> Finding:
    """Tell whether planted outliers are seen, and ordinary studies let pass."""
    outliers, alarms = audited.measures(NOVELTY, OUTLIERS), audited.measures(NOVELTY, FALSE_ALARMS)
    if not outliers and not alarms:
        return _without(audited, NOVELTY)
    loud = _worst(alarms, "share of false alarms {}", most=MOST_ALARMS) if alarms else None
    if loud is not None and (loud.verdict == "fail" or not outliers):
        return loud
    blind = _worst(outliers, "AUROC of planted outliers {}", least=LEAST_TOLD_APART)
    return loud if loud is not None and blind.verdict == "pass" and loud.verdict != "pass" else blind


def conformal_coverage(audited: Audited) -> Finding:
    """Tell whether prediction sets hold the truth as often as they promise."""
    found = audited.measures(CONFORMAL, COVERAGE)
    if not found:
        return _without(audited, CONFORMAL)
    promised = float(getattr(audited.subject.config.evaluation, "conformal_level", DEFAULT_COVERAGE))
    return _worst(found, f"coverage {{}} of sets that promise {promised:.2f}", least=promised - SHORT_COVERAGE)


def robustness(audited: Audited) -> Finding:
    """Tell whether damage of a size that occurs takes away what the model knows."""
    found = audited.measures(ROBUSTNESS, DROP)
    if not found:
        return _without(audited, ROBUSTNESS)
    tried = len(audited.measures(ROBUSTNESS, DAMAGES))
    return _worst(found, "fall of the headline under the worst mild damage, {}", most=LARGEST_DROP, tried=tried)


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
    name = _of(worst)
    limit = f"at most {most:g}" if most is not None else f"at least {least:g}"
    told = f"{name}: {shown(one, 3)}, the worst of {comparisons}; the limit is {limit}"
    return judge(measure.format(name).strip(), one, told, most=most, least=least, comparisons=comparisons)


def _of(name: str) -> str:
    """Give what stands behind the first slash of a name, or behind the first underscore: of what the number is."""
    return name.partition("/")[2] or name.partition("_")[2] or name


def _without(audited: Audited, chapter: str) -> Finding:
    """Say why a chapter has no number, in its own words."""
    if chapter not in audited.chapters:
        return not_applicable(f"the evaluation has no chapter {chapter}")
    return not_applicable("; ".join(audited.chapters[chapter].says) or f"the chapter {chapter} holds no number")
