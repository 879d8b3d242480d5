"""How often `medmm monitor --labels` raises an alarm: of a model whose probabilities are true, and of one that has lost that.

The hospital of `benchmarks.drift`, with a truth: a study is ill with the chance that the model gives, and studies of one
patient are ill together. A look makes every test that the command makes, with the shares of alpha that it gives: drift,
rejected studies, abstentions, calibration against 600 validation studies, and AUROC against 600 test studies.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
from scipy.special import expit, logit, ndtr

from benchmarks.drift import ALPHA, INPUTS, VALIDATION, Change, Studies, Table, simulate, told
from medmm.cohort.target import TargetSettings
from medmm.evaluation.drift import fit_drift
from medmm.evaluation.intervals import interval
from medmm.evaluation.metrics import auroc
from medmm.evaluation.standing import standing_calibration, standing_share
from medmm.monitoring.drift_tests import Batch, drift_findings, has_enough
from medmm.monitoring.quality import LEAST_OUTCOME, judge_quality
from medmm.monitoring.rates import rate_of
from medmm.package import Package
from medmm.types import Array, Scores
from medmm.workflows.monitored import RATES, Asked, shares_of

SIZES = (60, 100, 300)
LOOKS, SPOILT = 200, 40
RESAMPLES, DRAWS = 200, 199
"""Of the intervals of AUROC, and of the null of drift; the command makes ten times as many."""

TOGETHER = 0.5
"""Correlation of what studies of one patient have in common beside what the model knows."""

REJECTED, ABSTAIN = 0.03, 0.15
COMMON = Change(prevalence=0.4, logit=0.5)
"""Of so many ill that most looks at 60 studies have enough patients of each outcome."""

TARGET = TargetSettings(column="diagnosis", positive="ill")


@dataclass(frozen=True)
class Loss:
    """What has become of probabilities: their log odds times `times` plus `plus`, or those of other studies.

    Attributes:
        name: In words.
        plus: Log odds.
        times: Factor.
        other: Whether they are those of other studies.
    """

    name: str
    plus: float = 0.0
    times: float = 1.0
    other: bool = False


TRUE = Loss("nothing")
LOSSES = (
    Loss("log odds 0.7 too high", plus=0.7),
    Loss("log odds 1.5 too high", plus=1.5),
    Loss("log odds twice too large", times=2.0),
    Loss("answers of other studies", other=True),
)


@dataclass(frozen=True)
class Look:
    """What one look says.

    Attributes:
        judged: Whether there are enough patients of each outcome.
        quality: Whether a check of quality is an alarm.
        whole: Whether anything is.
    """

    judged: bool
    quality: bool
    whole: bool


def flags(rng: np.random.Generator, patient: Array, chance: Array | float) -> Array:
    """Draw what is true of studies with a chance, more alike within a patient."""
    own, shared = rng.normal(size=len(patient)), rng.normal(size=int(patient.max()) + 1)[patient]
    return np.asarray(ndtr(np.sqrt(TOGETHER) * shared + np.sqrt(1 - TOGETHER) * own) < chance)


def look(seed: Sequence[int], studies: int, loss: Loss = TRUE, *, one_each: bool, alpha: float = ALPHA) -> Look:
    """Make a model, and look at a batch of it."""
    rng = np.random.default_rng(seed)

    def scored(some: Studies) -> Scores:
        return Scores(TARGET.names, some.answers, flags(rng, some.patient, some.answers[:, 0])[:, None] * 1.0, some.patient)

    training, validation, tested = (simulate(rng, VALIDATION, COMMON) for _ in range(3))
    test = scored(tested)
    drift = fit_drift(training, validation, validation.answers, validation.patient)
    standing = [*standing_calibration(scored(validation), "binary")]
    before = [(what, flags(rng, validation.patient, chance)) for what, chance in (("rejected", REJECTED), ("abstain", ABSTAIN))]
    found = interval(lambda w: auroc(test.predicted[:, 0], test.target[:, 0], w), test.patient, RESAMPLES)
    facts = {"results": [{"metric": "auroc", "class": "ill", "value": found.value, "low": found.low, "high": found.high}]}
    references = SimpleNamespace(standing=tuple(standing))
    package = cast(Package, SimpleNamespace(target=TARGET, thresholds=(0.5,), facts=facts, references=references))

    new = simulate(rng, studies, COMMON, one_each=one_each)
    truth = scored(new).target
    rates = [
        rate_of(what, flags(rng, new.patient, chance), new.patient, standing_share(what, known, validation.patient))
        for (what, known), chance in zip(before, (REJECTED, ABSTAIN), strict=True)
    ]
    answers = expit(loss.plus + loss.times * logit(new.answers))
    answers = rng.permutation(answers) if loss.other else answers
    shares = shares_of(Asked(labels=Path(), alpha=alpha), rates)
    names = np.arange(studies).astype(str).astype(object)
    labels = dict(zip(names, map(tuple, truth.tolist()), strict=True))
    quality = judge_quality(package, names, new.patient, answers, labels, shares.quality, resamples=RESAMPLES)
    assert quality is not None
    off = any(one.alarm for one in quality.checks)
    moved = False
    if loss is TRUE and has_enough(new.patient):
        embedding = np.array(drift.cells(new), np.float16).reshape(studies, len(INPUTS) + 1, -1)
        batch = Batch(new.patient, new.answers, new.present, embedding)
        moved = any(one.adjusted <= shares.drift for one in drift_findings(drift, ("ill",), batch, DRAWS, int(seed[-1])))
    judged = any(one.alarm is not None for one in quality.checks)
    whole = off or moved or any(one.too_many(shares.rate, 1.0) for one in rates)
    return Look(judged, off, whole)


def looks(count: int, seed: tuple[int, ...], studies: int, loss: Loss, *, one_each: bool) -> list[Look]:
    """Look so many times, each time at another model."""
    seeds = [(*seed, studies, int(one_each), number) for number in range(count)]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        return list(pool.map(partial(look, studies=studies, loss=loss, one_each=one_each), seeds, chunksize=10))


def run() -> list[Table]:
    """Look at true probabilities, then at those that have lost it."""
    rows, found = [], []
    for one_each in (True, False):
        kind = "one study a patient" if one_each else "one to five studies a patient"
        for studies in SIZES:
            some = looks(LOOKS, (0,), studies, TRUE, one_each=one_each)
            alarms = (sum(getattr(one, what) for one in some) for what in ("quality", "whole"))
            rows.append((kind, studies, sum(one.judged for one in some), *(told(count, LOOKS)[1] for count in alarms)))
    for number, loss in enumerate(LOSSES, 1):
        hits = [looks(SPOILT, (number,), studies, loss, one_each=True) for studies in SIZES]
        found.append((loss.name, *(f"{np.mean([one.quality for one in some]):.0%}" for some in hits)))
    return [
        Table(
            f"{LOOKS} looks with labels at a model whose probabilities are true, alpha {ALPHA:.0%}",
            ("batch", "studies", "judged", "alarms of quality", "alarms of the whole look"),
            rows,
            f"Judged: with {LEAST_OUTCOME} patients of each outcome. Shares are of all looks. Quality has "
            f"{(1 - RATES) / 2:.0%} of alpha, the whole look all of it.",
        ),
        Table(
            f"Share of {SPOILT} looks with labels, one study a patient, in which quality is an alarm",
            ("what has become of the probabilities", *(f"{one:,} studies" for one in SIZES)),
            found,
            f"A share of {SPOILT} looks is known to within 16 points.",
        ),
    ]
