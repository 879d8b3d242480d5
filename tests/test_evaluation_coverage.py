"""Whether 95 % intervals hold the truth 93 to 97 times in a hundred, over cohorts whose patients have several studies each.

`python -m benchmarks coverage` asks the same of every metric, of smaller cohorts and of rarer outcomes.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.coverage import DECIDED, HELD, NOISY_SITE, draw
from medmm.evaluation.calibration_slope import logistic_recalibration
from medmm.evaluation.delong import auroc_estimates
from medmm.evaluation.intervals import Estimate, sample_and_resamples, summarise
from medmm.evaluation.metrics import auroc, brier, patients_behind, sensitivity
from medmm.types import Array, Scores

COHORTS, PATIENTS, RESAMPLES = 500, 80, 300
LARGE_PATIENTS = 100_000
ODDS = -1.0


def estimates(scores: Scores, weights: Array) -> Iterator[tuple[str, Estimate]]:
    """Give what `evaluate` and `subgroups` give, without what is not looked at here."""
    said, target, patient = scores.predicted[:, 0], scores.target[:, 0], scores.patient
    decided, site = said >= DECIDED, scores.groups["site"] == NOISY_SITE
    values = {
        "auroc": auroc(said, target, weights),
        "sensitivity": sensitivity(decided, target, weights),
        "brier": brier(said, target, weights),
    }
    for metric, drawn in values.items():
        yield metric, summarise(drawn, patient, rests_on=patients_behind(metric, target, patient))
    few = patients_behind("auroc", target, patient)
    yield "calibration slope", summarise(logistic_recalibration(said, target, weights)[:, 1], patient, rests_on=few)
    sides = [auroc(said[side], target[side], weights[:, side]) for side in (site, ~site)]
    few = min(patients_behind("auroc", target[side], patient[side]) for side in (site, ~site))
    yield "gap of auroc", summarise(sides[0] - sides[1], patient, rests_on=few)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    large = draw(np.random.default_rng(1), LARGE_PATIENTS, ODDS).binary
    truth = {name: one.value for name, one in estimates(large, np.ones((1, len(large.patient)), np.uint8))}
    truth["auroc, Obuchowski"] = truth["auroc"]
    held: dict[str, list[bool]] = {name: [] for name in truth}
    for number in range(COHORTS):
        scores = draw(np.random.default_rng([7, number]), PATIENTS, ODDS).binary
        found = dict(estimates(scores, sample_and_resamples(scores.patient, RESAMPLES, number)))
        found["auroc, Obuchowski"] = auroc_estimates(scores)["sick"]
        for name, one in found.items():
            held[name].append(one.low <= truth[name] <= one.high)
    shares = {name: float(np.mean(one)) for name, one in held.items()}
    assert all(len(one) == COHORTS for one in held.values())
    assert {name: share for name, share in shares.items() if not HELD[0] <= share <= HELD[1]} == {}
