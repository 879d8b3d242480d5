"""Whether as many have the event as the risks say: groups of studies by predicted risk beside Kaplan-Meier. S studies, R
resamples.

Source:
    Crowson, Atkinson & Therneau, Assessing calibration of prognostic risk scores, Stat. Methods Med. Res. 25 (2016) 1692-1706.
    Kaplan & Meier, J. Am. Stat. Assoc. 53 (1958) 457-481.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from medmm.evaluation.canvas import GREY, canvas, dots, dress, entitle, legend_below, line_of
from medmm.evaluation.horizons import observed_risk
from medmm.evaluation.intervals import LEVEL, Estimate, summarise
from medmm.evaluation.reliability import quantile_bins
from medmm.types import Array

GROUPS = 5
"""At most, of studies by predicted risk."""

EVENTS_PER_GROUP = 10
"""With fewer the interval of a group spans half the axis; fewer groups are made instead."""


@dataclass(frozen=True)
class RiskGroup:
    """Studies of like predicted risk by one horizon.

    Attributes:
        name: Of the horizon.
        predicted: Mean risk.
        observed: Share with the event by then, after Kaplan and Meier; NaN where the observation ends before.
    """

    name: str
    predicted: float
    observed: Estimate


def risk_groups(name: str, risk: Array, target: Array, horizon: float, patient: Array, weights: Array) -> list[RiskGroup]:
    """Compare predicted and observed risks by a horizon in groups of like predicted risk.

    Args:
        name: Of the horizon.
        risk: (S,) predicted.
        target: (S, 2) time and event.
        horizon: In the unit of the time.
        patient: (S,)
        weights: (1 + R, S), the studies as they are, then the resamples.
    """
    events = int(((target[:, 0] <= horizon) & (target[:, 1] == 1)).sum())
    group = quantile_bins(risk, int(np.clip(events // EVENTS_PER_GROUP, 1, GROUPS)))
    groups = []
    for number in np.unique(group):
        own = group == number
        values = observed_risk(target[own], horizon, weights[:, own])
        groups.append(RiskGroup(name, float(risk[own].mean()), summarise(values, patient[own])))
    return groups


def risk_plot(groups: Sequence[Sequence[RiskGroup]], title: str, subtitle: str) -> Figure:
    """Draw the observed over the predicted risk of each group, horizon by horizon."""
    figure = canvas(4.8, 4.8)
    axes = figure.add_subplot()
    top = 0.0
    for column, some in enumerate(groups):
        line = line_of(column)
        predicted = np.array([one.predicted for one in some])
        observed, low, high = np.array([(one.observed.value, one.observed.low, one.observed.high) for one in some]).T
        reach = np.nan_to_num(np.clip([observed - low, high - observed], 0, None))
        dots(axes, predicted, observed, reach, some[0].name, line)
        top = max(top, predicted.max(), np.nan_to_num(high).max(), np.nan_to_num(observed).max())
    end = min(1.0, top * 1.05) if top > 0 else 1.0
    axes.plot([0, end], [0, end], color=GREY, linewidth=0.8, linestyle=":", label="Perfect calibration")
    axes.set(xlim=(-0.01, end + 0.01), ylim=(-0.01, end + 0.01))
    dress(axes, "Predicted risk", "Observed risk (Kaplan-Meier)")
    entitle(axes, title, subtitle)
    axes.plot([], [], " ", label=f"Bars: {LEVEL:.0%} intervals, by patient")
    legend_below(figure)
    return figure
