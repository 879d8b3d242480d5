"""Is a batch of scored studies like the studies that the model was validated on? Many tests, one rate of false alarms.

Each answer is compared by Kolmogorov and Smirnov's distance, each input by how often it is there, and each representation,
the joint one and that of each input, by the maximum mean discrepancy. All are held against the same draws of `null.py`, so that
what goes together in the batch goes together in the draws, and the smallest p of all tests has a null of its own: with `alpha`
at 5 %, a batch in which nothing has changed raises any alarm at all in 5 % of cases.

R studies of the reference, N of the batch, n of both, I inputs, P parts, F directions, C answers.

Source:
    Westfall & Young, Resampling-based multiple testing (1993), section 2.3: single-step adjusted p by the smallest p.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from medmm.evaluation.drift import Drift
from medmm.evaluation.novelty import JOINT
from medmm.monitoring.differences import discrepancy, kolmogorov_smirnov, mean_shift, rate_difference
from medmm.monitoring.null import DRAWS, Counted, null_counts
from medmm.types import Array

LEAST_STUDIES, LEAST_PATIENTS = 30, 20
"""Of a batch, and of a reference, with fewer there is no verdict."""

LEAST_WITH_INPUT = 10
"""Studies on either side that have an input, for its representation to be compared."""

What = Literal["answer", "presence", "representation"]


@dataclass(frozen=True)
class Batch:
    """Scored studies, in the terms of the reference.

    Attributes:
        patient: (N,) whole numbers that tell patients apart.
        answers: (N, C)
        present: (N, I) which inputs each has, in alphabetical order.
        embedding: (N, P, F) projections; None where the scores have none.
    """

    patient: Array
    answers: Array
    present: Array
    embedding: Array | None


@dataclass(frozen=True)
class Finding:
    """One test.

    Attributes:
        what: What was compared.
        name: Of the answer, the input or the part.
        reference: What it is in the reference: the median answer, the share that has the input, 0 for a representation.
        batch: The same of the batch; how far its mean lies off, in standard deviations, for a representation.
        statistic: The distance, of the test's own kind.
        p: Of this test alone.
        adjusted: Of this test among all: an alarm where it is at most alpha.
        studies: Of the batch, that the test counts.
        patients: Whose they are.
        against: Studies of the reference.
    """

    what: What
    name: str
    reference: float
    batch: float
    statistic: float
    p: float
    adjusted: float
    studies: int
    patients: int
    against: int


def has_enough(patient: Array) -> bool:
    """Tell whether studies of patients (n,) are enough for a verdict."""
    return len(patient) >= LEAST_STUDIES and len(np.unique(patient)) >= LEAST_PATIENTS


def drift_findings(
    known: Drift, answers: Sequence[str], batch: Batch, draws: int = DRAWS, seed: int = 0
) -> tuple[Finding, ...]:
    """Compare a batch with the reference.

    Args:
        known: The reference.
        answers: Names of the C answers.
        batch: At least `LEAST_STUDIES` of `LEAST_PATIENTS`.
        draws: Of the null.
        seed: Of the draws.
    """
    counted = null_counts(known.patient, batch.patient, draws, seed)
    tests: list[tuple[Finding, Array]] = []
    here = np.arange(len(known.patient) + len(batch.patient)) >= len(known.patient)
    patients = np.concatenate([known.patient, batch.patient])

    def add(what: What, name: str, pair: tuple[float, float], values: Array, counts: Array) -> None:
        own = patients[here & counts]
        against = int((~here & counts).sum())
        found = Finding(what, name, *pair, float(values[0]), 1.0, 1.0, len(own), len(np.unique(own)), against)
        tests.append((found, values))

    everything = np.ones(len(here), bool)
    said = np.concatenate([known.answers, batch.answers.astype(np.float32)])
    for column, name in enumerate(answers):
        middle = (float(np.median(known.answers[:, column])), float(np.median(batch.answers[:, column])))
        add("answer", name, middle, kolmogorov_smirnov(said[:, column], counted), everything)
    present = np.concatenate([known.present, batch.present])
    for column, name in enumerate(known.inputs):
        rates = (float(known.present[:, column].mean()), float(batch.present[:, column].mean()))
        add("presence", name, rates, rate_difference(present[:, column], counted), everything)
    if batch.embedding is not None:
        embedded = np.concatenate([known.embedding, batch.embedding]).astype(np.float32)
        for part, name in enumerate((JOINT, *known.inputs)):
            has = everything if part == 0 else present[:, part - 1]
            if min((here & has).sum(), (~here & has).sum()) < LEAST_WITH_INPUT:
                continue
            some = Counted(counted.reference[:, has], counted.batch[:, has])
            values = embedded[has, part]
            add("representation", name, (0.0, mean_shift(values, some)), discrepancy(values, some), has)
    return _adjusted(tests)


def _adjusted(tests: Sequence[tuple[Finding, Array]]) -> tuple[Finding, ...]:
    """Give each test its p, and its p among all."""
    rounded = np.stack(
        [np.round(values.astype(np.float64), 9) for _, values in tests]
    )  # (K, 1 + B): sums of shares differ in last bits
    alone = rankdata(-rounded, method="max", axis=1) / rounded.shape[1]
    least = alone.min(axis=0)
    return tuple(
        Finding(**{**vars(found), "p": float(own[0]), "adjusted": float((least <= own[0]).mean())})
        for (found, _), own in zip(tests, alone, strict=True)
    )
