"""What one check of an audit found, and the one rule by which a number becomes a verdict.

A check fails on evidence only: where the whole interval of its number lies beyond a stated limit. The interval that is held
against the limit is wider than the 95 % interval that is shown: all checks of an audit together raise a false alarm in at most
`FAMILY` of audits of a faultless model (Bonferroni: one-sided `FAMILY` / `CHECKED` a check, shared again by the numbers that a
check looks at). What cannot be told apart from the limit for want of patients is "not enough data", never a pass.

Source:
    Dunn, Multiple comparisons among means, J. Am. Stat. Assoc. 56 (1961) 52-64.
    Zou & Donner, Construction of confidence limits about effect measures, Stat. Med. 27 (2008) 1693-1702, for differences.
"""

from dataclasses import dataclass, replace
from math import ceil, isfinite, sqrt
from typing import Literal, TypeAlias

import numpy as np
from scipy.stats import binomtest, norm

from medmm.evaluation.intervals import LEVEL, Estimate
from medmm.evaluation.subgroups import MINIMUM
from medmm.settings import Plain
from medmm.types import Array

FAMILY = 0.05
"""Largest share of audits of faultless models in which any check may fail."""

CHECKED = 25
"""Checks of an audit."""

WIDEST = 0.5
"""Width of a 95 % interval, on a scale of length one, beyond which a number says too little to pass."""

Verdict: TypeAlias = Literal["pass", "fail", "not applicable", "not enough data", "waived"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        verdict: What follows.
        evidence: Why, in a sentence; of a check that does not apply, why not.
        measure: What the number is, in words; "" where there is none.
        number: With its 95 % interval by patient; None where nothing can be measured.
        had: Patients on whom the number rests, where these are too few.
        needed: About how many would be enough.
        check: Name in the table of checks, which is set there.
        reason: Why a failure was let pass.
    """

    verdict: Verdict
    evidence: str
    measure: str = ""
    number: Estimate | None = None
    had: int | None = None
    needed: int | None = None
    check: str = ""
    reason: str = ""

    def told(self) -> str:
        """Give the verdict with what belongs to it."""
        if self.verdict == "not enough data":
            return f"not enough data ({self.had} patients, {self.needed} needed)"
        return f"waived ({self.reason})" if self.verdict == "waived" else self.verdict

    def waive(self, reason: str) -> "Finding":
        """Let a failure pass, for a reason."""
        return replace(self, verdict="waived", reason=reason)

    def row(self) -> dict[str, Plain]:
        """Give it as plain data; None where there is nothing."""
        one = self.number
        cells = {} if one is None else {"value": one.value, "low": one.low, "high": one.high}
        return {
            "check": self.check,
            "verdict": self.verdict,
            "measure": self.measure,
            **dict.fromkeys(("value", "low", "high")),
            **{name: float(cell) for name, cell in cells.items() if isfinite(cell)},
            "studies": one and one.studies,
            "patients": one and one.patients,
            "had": self.had,
            "needed": self.needed,
            "reason": self.reason,
            "evidence": self.evidence,
        }


def not_applicable(why: str) -> Finding:
    """Give the outcome of a check that has nothing to look at."""
    return Finding("not applicable", why)


def not_enough(evidence: str, had: int, needed: int, measure: str = "", number: Estimate | None = None) -> Finding:
    """Give the outcome of a check that has too few patients."""
    return Finding("not enough data", evidence, measure, number, had, max(needed, had + 1))


FARTHEST = 10.0
"""Nobody is asked for more than a hundred times the patients there are."""


def widened(one: Estimate, comparisons: int = 1) -> Estimate:
    """Give an estimate whose limits are those that decide: of one of several numbers of one of all checks.

    Each side of the 95 % interval is stretched by the ratio of the normal quantiles, so that a lopsided interval stays so.

    Args:
        one: With its 95 % interval.
        comparisons: Numbers of the check, any of which may fail it.
    """
    by = norm.isf(FAMILY / CHECKED / comparisons) / norm.isf((1 - LEVEL) / 2)
    return replace(one, low=one.value - by * (one.value - one.low), high=one.value + by * (one.high - one.value))


def beyond(one: Estimate, most: float | None = None, least: float | None = None, comparisons: int = 1) -> bool:
    """Tell whether there is evidence that a number is more than `most`, or less than `least`."""
    wide = widened(one, comparisons)
    return (most is not None and wide.low > most) or (least is not None and wide.high < least)


def judge(
    measure: str,
    one: Estimate,
    evidence: str,
    *,
    most: float | None = None,
    least: float | None = None,
    comparisons: int = 1,
    rests_on: int | None = None,
    fewest: int = MINIMUM,
    widest: float = WIDEST,
) -> Finding:
    """Turn a number into a verdict: what lies beyond its limit fails where that is sure, and never passes.

    Args:
        measure: What it is, in words.
        one: With its 95 % interval.
        evidence: What it says.
        most: Fails where it is surely more.
        least: Fails where it is surely less.
        comparisons: Numbers of the check, of which this is the one that looks worst.
        rests_on: Patients who decide how sure it is, such as those of the rarer outcome; all of them where left out.
        fewest: Of these that are needed.
        widest: A 95 % interval that is wider does not pass.
    """
    had = one.patients if rests_on is None else rests_on
    if had < fewest:
        return not_enough(evidence, had, fewest, measure, one if isfinite(one.value) else None)
    if not (isfinite(one.value) and isfinite(one.low) and isfinite(one.high)):
        return not_enough(f"{evidence}; it is not defined here", had, 2 * fewest, measure)
    if beyond(one, most, least, comparisons):
        return Finding("fail", evidence, measure, one)
    for limit, distance, reach in (
        (most, one.value - (most or 0), one.value - widened(one, comparisons).low),
        (least, (least or 0) - one.value, widened(one, comparisons).high - one.value),
    ):
        if limit is not None and distance > 0:
            needed = ceil(had * min(reach / distance, FARTHEST) ** 2)
            return not_enough(f"{evidence}; beyond the limit of {limit:g}, but not surely", had, needed, measure, one)
    width = one.high - one.low
    if width > widest:
        return not_enough(evidence, had, ceil(had * (width / widest) ** 2), measure, one)
    return Finding("pass", evidence, measure, one)


def share(hit: Array, patient: Array) -> Estimate:
    """Estimate the share of patients of whom any study was hit, with Wilson's interval.

    Args:
        hit: (S,) bool.
        patient: (S,) whole numbers that tell patients apart.
    """
    everyone, hurt = len(np.unique(patient)), len(np.unique(patient[hit]))
    if not everyone:
        return Estimate(np.nan, np.nan, np.nan, 0, 0, 0)
    limits = binomtest(hurt, everyone).proportion_ci(LEVEL, method="wilson")
    return Estimate(hurt / everyone, float(limits.low), float(limits.high), len(patient), everyone, 0)


def less(one: Estimate, other: Estimate) -> Estimate:
    """Estimate how much more one number is than another that rests on other patients, or is not paired with it (MOVER)."""
    value = one.value - other.value
    low = value - sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    high = value + sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    studies, patients = min(one.studies, other.studies), min(one.patients, other.patients)
    return Estimate(value, low, high, studies, patients, min(one.defined, other.defined))


def shown(one: Estimate, digits: int = 2) -> str:
    """Give a number with its interval and n, for a sentence."""
    return f"{one.value:.{digits}f} [{one.low:.{digits}f}, {one.high:.{digits}f}], {one.patients} patients"
