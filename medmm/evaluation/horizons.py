"""How well risks by a time are told where observations end before it: AUC and Brier score, weighted for what was cut.

A study whose observation ended before the horizon without the event is of neither side. The others stand for it: a study with
the event by the horizon counts 1 / G(its time), one without it, in the Brier score, 1 / G(horizon); G(t) is the chance that an
observation goes on until t, of the very resample, after Kaplan and Meier. Where an event and the end of an observation have one
time, the event came first.

Letters: S studies, R resamples, H horizons, M moments.

Source:
    Uno et al., J. Am. Stat. Assoc. 102 (2007) 527-537; Hung & Chiang, Can. J. Stat. 38 (2010) 8-26: those with the event by
    the horizon against those who are without it at the horizon (cumulative cases, dynamic controls).
    Kaplan & Meier, J. Am. Stat. Assoc. 53 (1958) 457-481.
    Graf et al., Assessment and comparison of prognostic classification schemes for survival data, Stat. Med. 18 (1999)
    2529-2545.
"""

from collections.abc import Sequence

import numpy as np

from medmm.evaluation.metrics import auroc, by_blocks, share
from medmm.types import Array


def dynamic_auc(risk: Array, target: Array, at: float, weights: Array) -> Array:
    """Give the chance that a study with the event by a time has a higher risk than one without it at that time; ties half.

    Args:
        risk: (S,) of any scale.
        target: (S, 2) time and event.
        at: The horizon.
        weights: (R, S) how often each study counts.

    Returns:
        (R,); NaN where no study has had the event, or none is observed beyond the horizon.
    """
    time, event = target[:, 0], target[:, 1] == 1
    had, later = (time <= at) & event, time > at
    used = had | later
    if not had.any() or not later.any():
        return np.full(len(weights), np.nan)

    def area(block: Array) -> Array:
        before, _ = going_on(target, at, block)
        counted = np.where(had, block / before, block)
        return auroc(risk[used], had[used].astype(int), counted[:, used])

    return by_blocks(area, weights)


def brier_at(risk: Array, target: Array, at: float, weights: Array) -> Array:
    """Give the mean squared distance between the risk by a time and whether the event came by then; 0 best.

    Args:
        risk: (S,) by the horizon, in [0, 1].
        target: (S, 2) time and event.
        at: The horizon.
        weights: (R, S) how often each study counts.

    Returns:
        (R,); NaN where every observation has ended by the horizon, the last without the event.
    """
    time, event = target[:, 0], target[:, 1] == 1
    had, later = (time <= at) & event, time > at
    missed = (had - risk.astype(np.float64)) ** 2  # (S,)

    def mean(block: Array) -> Array:
        before, until = going_on(target, at, block)
        late = np.divide(block @ (missed * later), until, out=np.full(len(block), np.nan), where=until > 0)
        return np.asarray(((block / before) @ (missed * had) + late) / block.sum(axis=1, dtype=np.float64))

    return by_blocks(mean, weights)


def integrated_brier(brier: Array, horizons: Sequence[float]) -> Array:
    """Give the mean of the Brier score (R, H) over the time from the first horizon to the last: (R,); H >= 2.

    Straight lines join the horizons.
    """
    at = np.asarray(horizons, np.float64)
    return np.asarray(np.trapezoid(brier, at, axis=1) / (at[-1] - at[0]))


def going_on(target: Array, at: float, weights: Array) -> tuple[Array, Array]:
    """Give the chance that an observation goes on until the time of each study (R, S), and beyond a horizon (R,).

    It is 1 for a study that does not count in a resample and is the last of it.

    Args:
        target: (S, 2) time and event.
        at: The horizon.
        weights: (R, S) how often each study counts.
    """
    time, event = target[:, 0], target[:, 1] == 1
    moments, index = np.unique(time, return_inverse=True)  # (M,), (S,)
    order = np.argsort(index, kind="stable")
    first = np.searchsorted(index[order], np.arange(len(moments)))  # where each moment begins
    counted = weights[:, order].astype(np.float64)
    ended = np.add.reduceat(counted * ~event[order], first, axis=1)  # (R, M)
    had = np.add.reduceat(counted * event[order], first, axis=1)
    observed = np.cumsum((ended + had)[:, ::-1], axis=1)[:, ::-1] - had  # those who could end at each moment
    stays = 1 - np.divide(ended, observed, out=np.zeros_like(ended), where=observed > 0)
    after = np.concatenate([np.ones((len(weights), 1)), np.cumprod(stays, axis=1)], axis=1)  # (R, 1 + M)
    before = after[:, index]
    return np.where(before > 0, before, 1.0), after[:, np.searchsorted(moments, at, "right")]


def observed_risk(target: Array, horizon: float, weights: Array) -> Array:
    """Give the share with the event by a horizon, after Kaplan and Meier, for many resamples at once.

    Args:
        target: (S, 2) time and event.
        horizon: In the unit of the time.
        weights: (R, S) how often each study counts.

    Returns:
        (R,); NaN where no study counts or is still observed at the horizon, unless all had the event.
    """
    order = np.argsort(target[:, 0], kind="stable")
    time, event = target[order, 0], target[order, 1] == 1
    starts = np.flatnonzero(np.append(True, time[1:] != time[:-1]))
    counted_starts = starts[time[starts] <= horizon]
    beyond = time >= horizon

    def risk(block: Array) -> Array:
        counted = block[:, order].astype(np.float64)
        observed = np.cumsum(counted[:, ::-1], axis=1)[:, ::-1]  # (r, S) at or after each place
        happened = np.add.reduceat(counted * event, starts, axis=1)[:, : len(counted_starts)]
        under = observed[:, counted_starts]
        left = np.prod(1 - np.divide(happened, under, out=np.zeros_like(happened), where=under > 0), axis=1)
        known = (counted @ beyond > 0) | ((left <= 0) & (observed[:, 0] > 0))
        return np.where(known, 1 - left, np.nan)

    return by_blocks(risk, weights)


def excess_risk(risk: Array, target: Array, horizon: float, weights: Array) -> Array:
    """Give how much more have the event by a horizon than the risks say (R,), as a difference of shares."""
    return observed_risk(target, horizon, weights) - share(risk, weights)
