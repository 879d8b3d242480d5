"""What acting on a model is worth: net benefit over the threshold, against acting on all and on nobody. S studies, R resamples.

A threshold t of the probability says how many are treated in vain, at most, for one who is ill: (1 - t) / t. At that rate of
exchange the net benefit is the share of true positives less the share of false positives times t / (1 - t), in true positives a
study. Of survival the ill are those with the event by a horizon; a study whose observation ended earlier counts through those
like it that were observed on.

Source:
    Vickers & Elkin, Decision curve analysis, Med. Decis. Making 26 (2006) 565-574.
    Vickers, Cronin, Elkin & Gonen, Extensions to decision curve analysis, BMC Med. Inform. Decis. Mak. 8 (2008) 53: survival,
    here by weights of inverse censoring as in Blanche et al., Estimating and comparing time-dependent areas under receiver
    operating characteristic curves for censored event times with competing risks, Stat. Med. 32 (2013) 5381-5397.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medmm.evaluation.canvas import BAND_OPACITY, GREY, canvas, dress, entitle, legend_below, line_of
from medmm.evaluation.intervals import LEVEL, Estimate, summarise
from medmm.evaluation.metrics import by_blocks
from medmm.evaluation.survival import kaplan_meier
from medmm.types import Array

THRESHOLDS = tuple(percent / 100 for percent in range(1, 100))

ROUNDING = 1e-12
"""A gain below this is none: what rounding leaves where all are called."""


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit of one class or horizon at G thresholds.

    Attributes:
        name: Of the class or horizon.
        thresholds: (G,)
        model: (1 + R, G), of the studies as they are, then of each resample.
        everyone: (1 + R, G) of acting on all; acting on nobody is worth 0.
        patient: (S,)
    """

    name: str
    thresholds: Array
    model: Array
    everyone: Array
    patient: Array

    @property
    def gain(self) -> Array:
        """How much more the model is worth than the better of acting on all and on nobody: (1 + R, G)."""
        gain = self.model - np.maximum(self.everyone, 0)
        return np.asarray(np.where(np.abs(gain) < ROUNDING, 0.0, gain))

    def at(self, number: int) -> tuple[Estimate, Estimate, Estimate]:
        """Give net benefit of the model, of acting on all, and gain, at the threshold of this number."""
        values = (self.model, self.everyone, self.gain)
        return (
            summarise(values[0][:, number], self.patient),
            summarise(values[1][:, number], self.patient),
            summarise(values[2][:, number], self.patient),
        )

    def better(self) -> list[tuple[float, float]]:
        """Give the ranges of thresholds, from and to, where the lower limit of the gain is above 0; each place on its own."""
        low = np.quantile(self.gain[1:], (1 - LEVEL) / 2, axis=0)
        wins = (low > 0) & (self.gain[0] > 0)
        runs = [[i for i, _ in run] for won, run in groupby(enumerate(wins), key=lambda one: bool(one[1])) if won]
        return [(float(self.thresholds[run[0]]), float(self.thresholds[run[-1]])) for run in runs]

    def table(self) -> pd.DataFrame:
        """Give one row a threshold."""
        rows = []
        for number, threshold in enumerate(self.thresholds):
            row: dict[str, object] = {"class": self.name, "threshold": float(threshold)}
            for what, one in zip(("net_benefit", "treat_all", "gain"), self.at(number), strict=True):
                row |= {what: one.value, f"{what}_low": one.low, f"{what}_high": one.high}
            rows.append(row)
        return pd.DataFrame(rows)


def decision_curve(
    name: str,
    probability: Array,
    ill: Array,
    patient: Array,
    weights: Array,
    thresholds: Sequence[float] = THRESHOLDS,
    counts: Array | None = None,
) -> DecisionCurve:
    """Give the net benefit of acting at or above each threshold.

    Args:
        name: Of the class or horizon.
        probability: (S,)
        ill: (S,) of 0 and 1.
        patient: (S,)
        weights: (1 + R, S), the studies as they are, then the resamples.
        thresholds: (G,) inside 0 to 1.
        counts: (S,) for how many studies each stands; 1 where left out.
    """
    cuts = np.asarray(thresholds, np.float64)
    stands_for = np.ones(len(ill)) if counts is None else counts
    called = (probability.astype(np.float64)[:, np.newaxis] >= cuts) * stands_for[:, np.newaxis]  # (S, G)
    true, false = called * (ill == 1)[:, np.newaxis], called * (ill == 0)[:, np.newaxis]
    all_true, all_false = stands_for * (ill == 1), stands_for * (ill == 0)
    worth = np.concatenate([true - false * (cuts / (1 - cuts)), all_true[:, np.newaxis], all_false[:, np.newaxis]], axis=1)

    def benefit(block: Array) -> Array:
        counted = block.astype(np.float64)
        return np.asarray(counted @ worth / counted.sum(axis=1, keepdims=True))

    sums = by_blocks(benefit, weights)
    everyone = sums[:, [-2]] - sums[:, [-1]] * (cuts / (1 - cuts))
    return DecisionCurve(name, cuts, sums[:, :-2], everyone, patient)


def by_horizon(target: Array, horizon: float) -> tuple[Array, Array]:
    """Tell who has the event by a horizon (S,), and for how many studies each stands (S,): none where it is not known.

    Args:
        target: (S, 2) time and event.
        horizon: In the unit of the time.
    """
    time, event = target[:, 0], target[:, 1] == 1
    ill = event & (time <= horizon)
    known = ill | (time > horizon) | (~event & (time == horizon))
    # The chance that an observation lasts to just before a time; of an event and an end at one time, the event came first.
    ends = np.stack([np.where(event, np.nextafter(time, 0), time), ~event], axis=1)
    lasts = kaplan_meier(ends, np.nextafter(np.where(ill, time, horizon), 0))
    return ill.astype(np.float64), np.divide(known, lasts, out=np.zeros(len(time)), where=known & (lasts > 0))


def decision_plot(curves: Sequence[DecisionCurve], title: str, subtitle: str) -> Figure:
    """Draw net benefit over the threshold: the model with its band, acting on all, acting on nobody; one panel a class."""
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = canvas(max(5.2, 3.6 * columns), 4.0 * rows if rows > 1 else 4.4)
    panels = figure.subplots(rows, columns, squeeze=False)
    for number, axes in enumerate(panels.flat):
        if number >= len(curves):
            axes.set_visible(False)
            continue
        one, line = curves[number], line_of(0)
        low, high = np.quantile(one.model[1:], ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
        first = number == 0
        axes.plot(one.thresholds, one.model[0], color=line.colour, linewidth=1.6, label="Act on the model's word")
        axes.fill_between(one.thresholds, low, high, color=line.colour, alpha=BAND_OPACITY, linewidth=0)
        axes.plot(one.thresholds, one.everyone[0], color=GREY, linewidth=1.2, linestyle="--", label="Act on all")
        axes.axhline(0, color="black", linewidth=1, linestyle=":", label="Act on nobody")
        top = max(float(high.max()), float(one.everyone[0].max()))
        axes.set(xlim=(0, 1), ylim=(-0.15 * top, 1.08 * top) if top > 0 else (-0.05, 0.05))
        dress(axes, "Threshold of the probability", "Net benefit" if number % columns == 0 else "")
        entitle(axes, title if first else "", f"{one.name}: {subtitle}" if first else one.name)
        if first:
            axes.plot([], [], " ", label=f"Band: {LEVEL:.0%} intervals at each threshold, by patient")
            legend_below(figure)
    return figure
