"""How many studies were rejected, and of how many no answer should be relied on: shares beside those at validation.

A share that has risen is an alarm, and one that has fallen is none. A package of an older version does not say what the shares
were; then more rejected ones than `most` are an alarm, and abstentions are told without a verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binomtest

from medmm.evaluation.intervals import LEVEL, Estimate, interval
from medmm.evaluation.metrics import share
from medmm.evaluation.standing import Standing, more_than, standing_share
from medmm.monitoring.window import Window
from medmm.types import Array

LEAST = 10
"""Studies that came in, for a share to raise an alarm."""


@dataclass(frozen=True)
class Rate:
    """A share of studies.

    Attributes:
        what: Rejected, of what came in; or abstained from, of what was scored.
        estimate: With its 95 % interval.
        known: What it was in the cohort, or of the validation studies; None where the package does not say.
        p: That it has not risen; NaN where there is nothing to compare, or too little.
    """

    what: Literal["rejected", "abstain"]
    estimate: Estimate
    known: Standing | None
    p: float

    def too_many(self, alpha: float, most: float) -> bool:
        """Tell whether it is an alarm.

        Args:
            alpha: Chance that it is a false one, where the package says what to expect.
            most: Share of rejected studies that is too large by its whole interval, where it does not.
        """
        if self.known is not None:
            return self.p <= alpha
        return self.what == "rejected" and self.estimate.studies >= LEAST and self.estimate.low > most


def rates_of(window: Window, standing: Sequence[Standing]) -> tuple[Rate, ...]:
    """Give the share of rejected studies, and of abstentions where the model has them.

    Args:
        window: What was scored.
        standing: What the package says of its validation studies.
    """
    known = {one.metric: one for one in standing}
    came = np.concatenate([window.patient_id, window.refused])
    patient = np.unique(came, return_inverse=True)[1] if len(came) else came
    rejected = rate_of("rejected", np.arange(len(came)) >= len(window.patient_id), patient, known.get("rejected"))
    if window.abstain is None:
        return (rejected,)
    return rejected, rate_of("abstain", window.abstain, window.batch.patient, known.get("abstain"))


def rate_of(what: Literal["rejected", "abstain"], flags: Array, patient: Array, known: Standing | None) -> Rate:
    """Give the share of true flags (n,), of patients (n,), beside what is known."""
    now = standing_share(what, flags, patient)
    p = np.nan if now is None or known is None or now.studies < LEAST else more_than(now, known)
    return Rate(what, with_limits(flags, patient), known, p)


def with_limits(flags: Array, patient: Array) -> Estimate:
    """Give the share of true flags (n,); where all are alike the interval is Wilson's, a patient counting once."""
    if not len(flags):
        return Estimate(np.nan, np.nan, np.nan, 0, 0, 0)
    if 0 < flags.sum() < len(flags):
        return interval(lambda weights: share(flags, weights), patient)
    patients = len(np.unique(patient))
    limits = binomtest(patients if flags[0] else 0, patients).proportion_ci(LEVEL, method="wilson")
    return Estimate(float(flags[0]), float(limits.low), float(limits.high), len(flags), patients, 0)
