"""Which study lends its input to which, so that an input tells of another patient. S studies.

Source:
    Breiman, Random forests, Machine Learning 45 (2001) 5-32, section 10; Fisher, Rudin & Dominici, All models are wrong, but
    many are useful, JMLR 20 (2019) 177.
"""

import numpy as np

from medmm.types import Array

DRAWS = 5
"""Exchanges that are averaged; what they differ by is small beside the interval of the patients."""


def exchange(patient: Array, seed: int) -> Array | None:
    """Draw for each study another patient's study; each study lends once, so an input keeps its distribution.

    Patients stand in a circle in a drawn order, each with all of its studies side by side in a drawn order; every study borrows
    from the one that stands a drawn number of places further, at least as many as the most studies of one patient.

    Args:
        patient: (S,) whole numbers that tell patients apart.
        seed: The same seed gives the same exchange.

    Returns:
        (S,) index of the lender of each study; None where one patient has more than half of the studies.
    """
    studies = len(patient)
    if not studies:
        return None
    most = int(np.unique(patient, return_counts=True)[1].max())
    if 2 * most > studies:
        return None
    rng = np.random.default_rng(seed)
    _, place = np.unique(patient, return_inverse=True)
    circle = np.lexsort((rng.random(studies), rng.permutation(place.max() + 1)[place]))
    steps = int(rng.integers(most, studies - most + 1))
    lender = np.empty(studies, np.int64)
    lender[circle] = np.roll(circle, -steps)
    return lender
