"""Whether those with the higher risk have the event first: concordance by Harrell and by Uno. S studies, R resamples.

A pair of studies counts where it is known who had the event first: the earlier time is that of an event, or both times are the
same and one is that of an event, the other the end of an observation. Equal risks count half.

Source:
    Harrell et al., Evaluating the yield of medical tests, JAMA 247 (1982) 2543-2546.
    Uno et al., On the C-statistics for evaluating overall adequacy of risk prediction procedures with censored survival data,
    Stat. Med. 30 (2011) 1105-1117: pairs weighted by the chance that the earlier time was not cut short, squared.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from medmm.evaluation.horizons import brier_at, dynamic_auc, integrated_brier
from medmm.evaluation.metrics import BLOCK_VALUES
from medmm.evaluation.results import Result, result_of
from medmm.types import Array, Scores

WHENEVER = "whenever"
"""Stands where a horizon would, for the share of studies in which the event was seen at all."""


def event_steps(target: Array) -> tuple[Array, Array, Array]:
    """Give the times (M,) of events in rising order, how many happen then, and how many studies are still observed then.

    Args:
        target: (S, 2) time and event.
    """
    time, event = target[:, 0], target[:, 1] == 1
    moments, happened = np.unique(time[event], return_counts=True)
    return moments, happened, len(time) - np.searchsorted(np.sort(time), moments, "left")


def kaplan_meier(target: Array, at: Sequence[float] | Array) -> Array:
    """Give the share of studies without the event by some times (H,), after Kaplan and Meier (1958).

    Args:
        target: (S, 2) time and event.
        at: (H,)
    """
    moments, happened, observed = event_steps(target)
    left = np.append(1.0, np.cumprod(1 - happened / observed))
    return np.asarray(left[np.searchsorted(moments, at, "right")])


def c_index(risk: Array, target: Array, weights: Array, fold: Array | None = None, pair_weight: Array | None = None) -> Array:
    """Give the share of pairs in which the study with the event first has the higher risk.

    Args:
        risk: (S,) of any scale.
        target: (S, 2) time and event.
        weights: (R, S) how often each study counts.
        fold: (S,) only studies of one fold are compared with each other; all where left out.
        pair_weight: (S,) how much the pairs of an event count; all alike where left out.

    Returns:
        (R,); NaN where no pair counts.
    """
    time, event = target[:, 0], target[:, 1] == 1
    events = np.flatnonzero(event)
    counted = weights.T.astype(np.float32)  # (S, R); whole numbers, exact as long as sums stay below 2^24
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    rows = max(1, BLOCK_VALUES // max(1, len(risk)))
    for start in range(0, len(events), rows):
        first = events[start : start + rows]
        own = counted[first] if pair_weight is None else counted[first] * pair_weight[first, np.newaxis]
        later = (time > time[first, np.newaxis]) | ((time == time[first, np.newaxis]) & ~event)  # (E, S)
        if fold is not None:
            later &= fold == fold[first, np.newaxis]
        higher = (risk[first, np.newaxis] > risk) + 0.5 * (risk[first, np.newaxis] == risk)
        pairs += (own * (later.astype(np.float32) @ counted)).sum(axis=0, dtype=np.float64)
        right += (own * ((later * higher).astype(np.float32) @ counted)).sum(axis=0, dtype=np.float64)
    return np.asarray(np.divide(right, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))


def uncut(target: Array) -> Array:
    """Give for each study the weight 1 / G(t)^2 (S,), where G is the chance that the observation lasts until its time.

    Args:
        target: (S, 2) time and event. Where an event and the end of an observation have one time, the event came first.
    """
    time, event = target[:, 0], target[:, 1]
    moments = np.unique(time)
    ends = np.stack([time + _half_gap(moments) * (event == 0), 1 - event], axis=1)  # an end comes just after an event
    return np.asarray(kaplan_meier(ends, time) ** -2.0)


def _half_gap(moments: Array) -> float:
    return float(np.diff(moments).min() / 2) if len(moments) > 1 else 0.5


def survival_results(scores: Scores, weights: Array) -> Iterator[Result]:
    """Give both concordances of the risk by each horizon, AUC and Brier score there, and the share of studies with the event.

    Where there are several horizons, so is the mean of the Brier score from the first to the last.

    Args:
        scores: Of a survival task.
        weights: (1 + R, S), the studies as they are, then the resamples.
    """
    patient, event = scores.patient, scores.target[:, 1] == 1
    events, few = int(event.sum()), len(np.unique(patient[event]))
    had = (weights @ scores.target[:, 1]) / weights.sum(axis=1)
    yield result_of("event_rate", WHENEVER, had, patient, f"{events} with the event")
    weight = uncut(scores.target)
    for column, name in enumerate(scores.classes):
        risk = scores.predicted[:, column]
        yield result_of("uno_c_index", name, c_index(risk, scores.target, weights, pair_weight=weight), patient, rests_on=few)
        yield result_of("c_index", name, c_index(risk, scores.target, weights), patient, rests_on=few)
    missed = []
    for column, (name, at) in enumerate(zip(scores.classes, scores.horizons, strict=False)):
        risk = scores.predicted[:, column]
        yield result_of("dynamic_auc", name, dynamic_auc(risk, scores.target, at, weights), patient, rests_on=few)
        missed.append(brier_at(risk, scores.target, at, weights))
        yield result_of("brier", name, missed[-1], patient)
    if len(missed) > 1:
        whole = integrated_brier(np.stack(missed, axis=1), scores.horizons)
        yield result_of("integrated_brier", WHENEVER, whole, patient)
