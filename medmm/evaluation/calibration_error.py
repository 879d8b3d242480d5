"""How far probabilities lie from the truth, beside what is to be expected of perfect ones. S studies, R resamples, N
simulations.

The expected calibration error (ECE) is never 0: a model whose probabilities are all true shows 0.08 on 200 studies. So it
stands beside its null: outcomes drawn from the probabilities themselves, in which studies of one patient resemble each other
as much as what the model misses of the real ones does.

Source:
    Naeini, Cooper & Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015 (ECE), here in bins
    of equal size; Brocker & Smith, Increasing the reliability of reliability diagrams, Weather Forecast. 22 (2007) 651-661
    (the null). Brier, Mon. Weather Rev. 78 (1950) 1-3; Murphy, J. Appl. Meteorol. 12 (1973) 595-600 (skill against the
    prevalence).
"""

from dataclasses import dataclass

import numpy as np

from medmm.evaluation.intervals import Estimate, summarise
from medmm.evaluation.metrics import brier, by_blocks, prevalence
from medmm.evaluation.operating import wilson
from medmm.evaluation.reliability import BINS, STUDIES_PER_BIN, quantile_bins
from medmm.types import Array

SIMULATIONS = 2000
LIMIT = 0.95


@dataclass(frozen=True)
class CalibrationError:
    """The ECE and its null.

    Attributes:
        found: With the interval of the resamples, which lies too high: each resample adds noise, as each sample does.
        null: What a perfectly calibrated model with these probabilities shows: mean, 5 % and 95 % limit.
        chance: How often it shows at least as much: a p-value, with the interval that the simulations leave.
        likeness: Correlation of what the model misses of two studies of one patient, 0 to 1, as assumed of the null.
    """

    found: Estimate
    null: Estimate
    chance: Estimate
    likeness: float


def calibration_error(
    probability: Array, target: Array, patient: Array, weights: Array, seed: int = 0, simulations: int = SIMULATIONS
) -> CalibrationError:
    """Estimate the ECE and what it would be of perfect probabilities.

    Args:
        probability: (S,)
        target: (S,) of 0 and 1.
        patient: (S,)
        weights: (1 + R, S), the studies as they are, then the resamples.
        seed: Of the simulations.
        simulations: N.
    """
    exact = probability.astype(np.float64)
    bins = quantile_bins(exact, int(np.clip(len(exact) // STUDIES_PER_BIN, 1, BINS)))
    member = (bins[:, np.newaxis] == np.unique(bins)).astype(np.float64)  # (S, K)
    missed = member * (target - exact)[:, np.newaxis]

    def error(block: Array) -> Array:
        return np.asarray(np.abs(block @ missed).sum(axis=1) / block.sum(axis=1, dtype=np.float64))

    found = by_blocks(error, weights)
    likeness = residual_likeness(exact, target, patient)
    null = np.concatenate(
        [
            np.abs((one - exact) @ member).sum(axis=1) / len(exact)
            for one in _perfect_outcomes(exact, patient, likeness, simulations, seed)
        ]
    )
    patients = len(np.unique(patient))
    low, high = np.quantile(null, (1 - LIMIT, LIMIT))
    as_much = null >= found[0] * (1 - 1e-12)
    chance = (1 + as_much.sum()) / (1 + simulations)
    limits = wilson(as_much, np.arange(simulations))
    return CalibrationError(
        summarise(found, patient),
        Estimate(float(null.mean()), float(low), float(high), len(exact), patients, simulations),
        Estimate(
            float(chance), min(limits[0], float(chance)), max(limits[1], float(chance)), len(exact), patients, simulations
        ),
        likeness,
    )


def brier_skill(probability: Array, target: Array, weights: Array) -> Array:
    """Give how much less the Brier score is than that of the prevalence alone (R,): 1 perfect, 0 no better, below 0 worse."""
    share = prevalence(target, weights)
    own = share * (1 - share)
    missed = np.divide(brier(probability, target, weights), own, out=np.full(len(own), np.nan), where=own > 0)
    return np.asarray(1 - missed)


def residual_likeness(probability: Array, target: Array, patient: Array) -> float:
    """Estimate the correlation of the misses (S,) of two studies of one patient, 0 to 1; 0 without such pairs."""
    spread = np.sqrt(probability * (1 - probability))
    missed = np.divide(target - probability, spread, out=np.zeros(len(spread)), where=spread > 1e-6)
    _, index = np.unique(patient, return_inverse=True)
    # Of a sum squared, less its squares, the pairs are left, each twice.
    sums, squares = np.bincount(index, missed), np.bincount(index, missed**2)
    sizes = np.bincount(index)
    pairs = (sizes * (sizes - 1)).sum()
    whole = squares.sum() / len(missed)
    return float(np.clip((sums**2 - squares).sum() / pairs / whole, 0, 1)) if pairs and whole > 0 else 0.0


def _perfect_outcomes(probability: Array, patient: Array, likeness: float, simulations: int, seed: int) -> list[Array]:
    """Draw outcomes (N, S) from the probabilities, a block at a time.

    A study takes the dice of its patient by a chance whose square is the likeness, else its own; two studies of one patient and
    one probability are then correlated by the likeness.
    """
    rng = np.random.default_rng(seed)
    _, index = np.unique(patient, return_inverse=True)
    rows = max(1, (1 << 20) // len(probability))
    blocks = []
    for start in range(0, simulations, rows):
        size = (min(rows, simulations - start), len(probability))
        dice = rng.random(size)
        if likeness > 0:
            shared = rng.random((size[0], index.max() + 1))[:, index]
            dice = np.where(rng.random(size) < np.sqrt(likeness), shared, dice)
        blocks.append(dice < probability)
    return blocks
