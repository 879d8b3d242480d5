"""How many studies were rejected, and of how many no answer should be relied on: shares with intervals by patient."""

import numpy as np
from scipy.stats import binomtest

from medmm.evaluation.intervals import LEVEL, Estimate, interval
from medmm.evaluation.metrics import share
from medmm.monitoring.window import Window
from medmm.types import Array

LEAST = 10
"""Studies that came in, for a share of rejected ones to raise an alarm."""


def rejected_rate(window: Window) -> Estimate:
    """Give the share of the studies that came in and were rejected."""
    patient = np.concatenate([window.patient_id, window.refused])
    flags = np.arange(len(patient)) >= len(window.patient_id)
    return rate(flags, np.unique(patient, return_inverse=True)[1] if len(patient) else patient)


def abstain_rate(window: Window) -> Estimate | None:
    """Give the share of the scored studies of which no answer should be relied on; None for a model that never says so."""
    return None if window.abstain is None else rate(window.abstain, window.batch.patient)


def too_many(found: Estimate, most: float) -> bool:
    """Tell whether a share is above a limit, by its whole interval and on enough studies."""
    return found.studies >= LEAST and found.low > most


def rate(flags: Array, patient: Array) -> Estimate:
    """Give the share of true flags (n,); where all are alike the interval is Wilson's, a patient counting once."""
    if not len(flags):
        return Estimate(np.nan, np.nan, np.nan, 0, 0, 0)
    if 0 < flags.sum() < len(flags):
        return interval(lambda weights: share(flags, weights), patient)
    patients = len(np.unique(patient))
    limits = binomtest(patients if flags[0] else 0, patients).proportion_ci(LEVEL, method="wilson")
    return Estimate(float(flags[0]), float(limits.low), float(limits.high), len(flags), patients, 0)
