"""Whether fusion is worth it on a cohort, said in one or two sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.stats import norm

from medmm.errors import DataError
from medmm.evaluation.intervals import LEVEL
from medmm.evaluation.paired import ROUNDING, Contrast

Kind: TypeAlias = Literal["worth it", "not worth it", "cannot be told"]

MARGIN = 0.02
"""The smallest gain of AUROC, R² or C-index that counts, where the user sets none."""

MINIMUM = 10
"""Patients of the rarer outcome, or with the event, below whom standard errors and intervals cannot be believed."""

POWER = 0.8
"""Chance that a planned cohort tells."""


@dataclass(frozen=True)
class Verdict:
    """What can be said of fusion against the best single input.

    Attributes:
        kind: The finding.
        text: The finding in words with its numbers.
        needed: About how many patients would tell; None where the question is settled or the number cannot be computed.
    """

    kind: Kind
    text: str
    needed: int | None


def judge(contrasts: Sequence[Contrast], margin: float = MARGIN) -> Verdict:
    """Say whether fusion gains over the best single input.

    - Not worth it: for every fusion the corrected upper limit of the gain is below the margin, be a gain above zero or not.
    - Worth it: else, if for at least one fusion the corrected p-value is below 0.05 and the corrected lower limit above zero.
    - Cannot be told: else, and always with fewer than `MINIMUM` patients of the rarer outcome, or with the event.

    Args:
        contrasts: Of each fusion with the best single input, one family.
        margin: The smallest gain of the headline that counts, above 0.

    Raises:
        DataError: There is no contrast, their rivals differ, or the margin is not above 0.
    """
    if not contrasts:
        raise DataError("no fusion was compared with a single input: train at least one")
    if len({contrast.rival for contrast in contrasts}) > 1:
        raise DataError("the contrasts have several rivals: give those with the best single input only")
    if not margin > 0:
        raise DataError(f"margin is {margin}: the smallest gain that counts must be above 0")
    leader = max(contrasts, key=lambda contrast: np.nan_to_num(contrast.gain.value, nan=-np.inf))
    if leader.rarer < MINIMUM:
        return Verdict("cannot be told", f"Cannot be told: {_too_few(leader)}", None)
    if all(contrast.corrected_high < margin for contrast in contrasts):
        return Verdict("not worth it", f"Not worth it: {_finding(leader, contrasts)} {_ruled_out(contrasts, margin)}", None)
    winners = [contrast for contrast in contrasts if _is_gain(contrast)]
    if winners:
        best = max(winners, key=lambda contrast: contrast.gain.value)
        below = "" if best.gain.value >= margin else f" The gain found is less than {margin:g}, the smallest that counts."
        return Verdict("worth it", f"Worth it: {_finding(best, contrasts)}{below}", None)
    needed = patients_needed(leader, len(contrasts), margin)
    return Verdict("cannot be told", f"Cannot be told: {_finding(leader, contrasts)} {_plan(leader, needed, margin)}", needed)


def patients_needed(leader: Contrast, comparisons: int, margin: float) -> int | None:
    """Say about how many patients would tell, were they like these.

    A standard error shrinks with the square root of the number of patients, so a gain of d is told from zero, or zero told from
    the margin d, with the chance `POWER` by

        patients (error (z(1 - alpha / 2 K) + z(POWER)) / d)^2

    patients, where alpha = 1 - `LEVEL`, K is the number of comparisons and z the normal quantile. Where the gain found reaches
    the margin, d is that gain, supposed to be true. Else d is the margin, nothing is supposed to be gained, and K is multiplied
    as for the upper limit by the number of inputs that the rival was picked from.

    Args:
        leader: Contrast of the fusion with the largest gain.
        comparisons: K, of the family.
        margin: The smallest gain that counts.

    Returns:
        Rounded up to two digits. None where the standard error is zero or unknown, or where this cohort is already that large:
        then the truth is not what the plan supposes.

    Source:
        Obuchowski, Sample size calculations in studies of test accuracy, Stat. Methods Med. Res. 7 (1998) 371-392.
    """
    if not leader.error > ROUNDING:
        return None
    if leader.gain.value >= margin:
        to_show, limits = leader.gain.value, comparisons
    else:
        to_show, limits = margin, comparisons * leader.picked_from
    deviations = norm.ppf(1 - (1 - LEVEL) / 2 / limits) + norm.ppf(POWER)
    exact = leader.gain.patients * (leader.error * deviations / to_show) ** 2
    needed = rounded_up(float(exact))
    return needed if needed > leader.gain.patients else None


def rounded_up(number: float) -> int:
    """Round a number >= 1 up to two digits: 104.2 becomes 110."""
    unit = int(10 ** max(0, math.floor(math.log10(number)) - 1))
    return math.ceil(number / unit) * unit


def _is_gain(contrast: Contrast) -> bool:
    return contrast.corrected_p < 1 - LEVEL and contrast.corrected_low > 0


def _finding(contrast: Contrast, contrasts: Sequence[Contrast]) -> str:
    limits = f"[{contrast.corrected_low:.3f}, {contrast.corrected_high:.3f}]"
    rival = f"the best single input (`{contrast.rival}`, {contrast.rival_value:.3f})"
    gain = f"{contrast.gain.value:.3f} {contrast.yardstick.label} {limits}"
    return f"`{contrast.name}` gains {gain} over {rival}, {_basis(contrast, contrasts)}."


def _basis(contrast: Contrast, contrasts: Sequence[Contrast]) -> str:
    comparisons = "1 comparison" if len(contrasts) == 1 else f"{len(contrasts)} comparisons"
    picked = f" with the best of {contrast.picked_from}" if contrast.picked_from > 1 else ""
    return f"corrected for {comparisons}{picked}; {_counts(contrast)}"


def _counts(contrast: Contrast) -> str:
    return f"{contrast.gain.studies:,} studies of {contrast.gain.patients:,} patients"


def _ruled_out(contrasts: Sequence[Contrast], margin: float) -> str:
    highest = max(contrast.corrected_high for contrast in contrasts)
    return f"No fusion's upper limit is above {highest:.3f}; {margin:g} is the smallest gain that counts."


def _plan(leader: Contrast, needed: int | None, margin: float) -> str:
    if needed is None:
        return "How many patients would tell cannot be computed from these."
    share = f"in {POWER:.0%} of such cohorts"
    if leader.gain.value >= margin:
        return f"About {needed:,} patients like these would show it {share}, if the gain is truly {leader.gain.value:.3f}."
    return f"About {needed:,} patients like these would rule out a gain of {margin:g} {share}, if nothing is gained."


def _too_few(contrast: Contrast) -> str:
    few = "1 patient has" if contrast.rarer == 1 else f"{contrast.rarer} patients have"
    return f"only {few} {contrast.yardstick.counted}, and an interval needs {MINIMUM} to be believed; {_counts(contrast)}."
