"""What is true where the model says so: a smooth curve of the truth over the prediction, with a band. S studies, R resamples.

At each place of a grid a line is fitted to the nearest studies, the nearer the more they count (local regression); an outcome
of 0 and 1 so becomes the share of the ill. The band holds the curve of 95 of 100 resamples of patients at each place on its
own.

Source:
    Cleveland, Robust locally weighted regression and smoothing scatterplots, J. Am. Stat. Assoc. 74 (1979) 829-836, without its
    robust steps; Austin & Steyerberg, Graphical assessment of internal and external calibration of logistic regression models
    by using loess smoothers, Stat. Med. 33 (2014) 517-535: the span.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from medmm.evaluation.canvas import BAND_OPACITY, GREY, canvas, dress, entitle, legend_below, line_of
from medmm.evaluation.intervals import LEVEL
from medmm.evaluation.metrics import by_blocks
from medmm.types import Array

SPAN = 0.75
"""Share of the studies that a line is fitted to."""

PLACES = 60
"""Of the grid."""

ENDS = 0.01
"""Share of the predictions beyond each end of the grid, where single studies would steer the curve."""

HISTOGRAM_BINS = 40


@dataclass(frozen=True)
class Curve:
    """A smooth curve.

    Attributes:
        name: Of the class, the value or the horizon.
        at: (G,) predictions.
        observed: (G,) what is true there.
        low: (G,) lower limit of the band.
        high: (G,) upper limit.
        predicted: (S,) the predictions that it rests on.
    """

    name: str
    at: Array
    observed: Array
    low: Array
    high: Array
    predicted: Array


def smooth_curve(name: str, predicted: Array, true: Array, weights: Array, limits: tuple[float, float] | None = None) -> Curve:
    """Fit the curve and its band.

    Args:
        name: Of what is predicted.
        predicted: (S,)
        true: (S,) outcomes of 0 and 1, or values.
        weights: (1 + R, S), the studies as they are, then the resamples.
        limits: Between which the curve stays; 0 and 1 of a share.
    """
    exact = predicted.astype(np.float64)
    first, last = np.quantile(exact, (ENDS, 1 - ENDS))
    at = np.unique(np.linspace(first, last, PLACES))
    curves = local_regression(exact, true, at, weights)
    if limits is not None:
        curves = np.clip(curves, *limits)
    low, high = np.full((2, len(at)), np.nan)
    known = np.isfinite(curves[1:]).any(axis=0)
    low[known], high[known] = np.nanquantile(curves[1:, known], ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    return Curve(name, at, curves[0], low, high, exact)


def local_regression(x: Array, y: Array, at: Array, weights: Array, span: float = SPAN) -> Array:
    """Fit a line to the nearest studies around each place, by weighted least squares with tricube weights.

    Args:
        x: (S,)
        y: (S,)
        at: (G,) places.
        weights: (R, S) how often each study counts; the neighbourhoods are those of the studies as they are.
        span: Share of the studies in a neighbourhood.

    Returns:
        (R, G); a mean where the studies of a neighbourhood are all at one place, NaN where there is none.
    """
    apart = np.abs(at[:, np.newaxis] - x)  # (G, S)
    reach = np.sort(apart, axis=1)[:, [int(np.clip(np.ceil(span * len(x) - 1e-9), 1, len(x))) - 1]]
    # A little farther, so that neighbours which are all at the far end count alike and not as nothing.
    reach = np.where(reach > 0, reach * (1 + 1e-9), np.spacing(1.0))
    near = np.clip(1 - (apart / reach) ** 3, 0, None) ** 3  # (G, S)
    away = x - at[:, np.newaxis]  # the line's height is wanted where this is 0
    sums = [near, near * away, near * away**2, near * y, near * away * y]

    def fit(block: Array) -> Array:
        n, sx, sxx, sy, sxy = (block @ one.T for one in sums)  # (r, G) each
        spread = n * sxx - sx * sx
        mean = np.divide(sy, n, out=np.full(n.shape, np.nan), where=n > 0)
        flat = spread <= 1e-12 * np.maximum(n * sxx, 1e-300)
        return np.asarray(np.where(flat, mean, (sxx * sy - sx * sxy) / np.where(flat, 1, spread)))

    return by_blocks(fit, weights)


def curve_plot(
    curves: Sequence[Curve], title: str, subtitle: str, words: tuple[str, str], limits: tuple[float, float] | None
) -> Figure:
    """Draw what is true over what is predicted, and below it how the predictions are spread.

    Args:
        curves: One of each class.
        title: Of the figure.
        subtitle: What it rests on.
        words: What is predicted, and what is observed.
        limits: Of both axes; as far as the curves where left out.
    """
    figure = canvas(4.8, 6.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    ends = limits or (min(float(one.at[0]) for one in curves), max(float(one.at[-1]) for one in curves))
    upper.plot(ends, ends, color=GREY, linewidth=0.8, linestyle=":", label="Perfect calibration")
    edges = np.linspace(*ends, HISTOGRAM_BINS + 1)
    for column, one in enumerate(curves):
        line = line_of(column)
        upper.plot(one.at, one.observed, color=line.colour, linestyle=line.style, linewidth=1.6, label=one.name)
        upper.fill_between(one.at, one.low, one.high, color=line.colour, alpha=BAND_OPACITY, linewidth=0)
        lower.hist(one.predicted, edges, histtype="step", linewidth=1.2, color=line.colour, linestyle=line.style)
    if limits is not None:
        margin = 0.01 * (limits[1] - limits[0])
        upper.set(xlim=(limits[0] - margin, limits[1] + margin), ylim=(limits[0] - margin, limits[1] + margin))
    dress(upper, "", f"Observed {words[1]}")
    dress(lower, f"Predicted {words[0]}", "Studies")
    entitle(upper, title, subtitle)
    upper.plot([], [], " ", label=f"Bands: {LEVEL:.0%} intervals at each place, by patient")
    legend_below(figure)
    return figure
