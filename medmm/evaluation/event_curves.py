"""Who stays without the event: Kaplan-Meier curves of studies by predicted risk. S studies.

Source: Kaplan & Meier, J. Am. Stat. Assoc. 53 (1958) 457-481; Greenwood 1926 (the variance), on the log-log scale of
Kalbfleisch & Prentice, which keeps the limits between 0 and 1.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from medmm.evaluation.canvas import BAND_OPACITY, canvas, counts, dress, entitle, legend_below, line_of
from medmm.evaluation.intervals import LEVEL, interval
from medmm.evaluation.survival import c_index, event_steps
from medmm.evaluation.tasks import check
from medmm.types import Array, Scores, Task

THIRDS = ("lowest third of risks", "middle third", "highest third")


def event_plot(scores: Scores, task: Task, thresholds: Sequence[float]) -> Figure:
    """Draw the share of studies without the event over time, for each third of the risks by the last horizon.

    Bands take the studies as independent; where patients have many they are too narrow.

    Args:
        scores: Of one split, of a survival task.
        task: Survival.
        thresholds: None.

    Raises:
        DataError: The scores are not of this task.
    """
    check(scores, task)
    risk = scores.predicted[:, -1]
    figure = canvas(5.2, 4.6)
    axes = figure.add_subplot()
    for number, (name, chosen) in enumerate(zip(THIRDS, thirds(risk), strict=True)):
        if not chosen.any():
            continue
        moments, left, low, high = curve(scores.target[chosen])
        line = line_of(number)
        events = int(scores.target[chosen, 1].sum())
        label = f"{name}: {events} of {int(chosen.sum())} with the event"
        axes.step(moments, left, where="post", color=line.colour, linestyle=line.style, linewidth=1.6, label=label)
        axes.fill_between(moments, low, high, step="post", color=line.colour, alpha=BAND_OPACITY, linewidth=0)
    axes.set(ylim=(-0.01, 1.01), xlim=(0, None))
    dress(axes, "Time", "Share without the event")
    few = len(np.unique(scores.patient[scores.target[:, 1] == 1]))
    concordance = interval(lambda w: c_index(risk, scores.target, w), scores.patient, rests_on=few)
    entitle(axes, "Event by predicted risk", f"{counts(scores)}, C-index {concordance}")
    axes.plot([], [], " ", label=f"Bands: {LEVEL:.0%} intervals, studies as independent")
    legend_below(figure)
    return figure


def thirds(risk: Array) -> list[Array]:
    """Give who (S,) stands in the lowest, middle and highest third; equal risks stay together."""
    ranked = np.sort(risk)
    twice_rank = np.searchsorted(ranked, risk, "left") + np.searchsorted(ranked, risk, "right")
    place = twice_rank * 3 // (2 * len(risk))
    return [place == number for number in range(3)]


def curve(target: Array) -> tuple[Array, Array, Array, Array]:
    """Give times from 0 to the end of the observation, the share without the event after each, and its limits.

    Args:
        target: (S, 2) time and event.
    """
    moments, happened, observed = event_steps(target)
    left = np.cumprod(1 - happened / observed)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(happened / (observed * (observed - happened)))
        reach = np.exp(norm.ppf((1 + LEVEL) / 2) * np.sqrt(variance) / np.log(left))
        low, high = left ** (1 / reach), left**reach
    shown = np.array([0.0, *moments, target[:, 0].max()])
    columns = (np.concatenate([[1.0], one, one[-1:] if len(one) else [1.0]]) for one in (left, low, high))
    left, low, high = (np.nan_to_num(one) for one in columns)
    return shown, left, low, high
