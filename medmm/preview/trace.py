"""The parts of a drawn signal: a trace as a short path, words, bands of what speaks for an answer, and the picture around them.

A picture is an SVG file in real millimetres. There is no script in it and nothing to load, and every word is escaped.

Letters: T samples, T' cells of a map, L leads.

Source: SVG 2, W3C, chapters 8 (units) and 9 (paths).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import numpy as np

from medmm.inert import visible
from medmm.types import Array

UNIT_MM = 0.05
"""Coordinates of a path are whole numbers of this, a fifth of the pen."""

PEN_MM = 0.25

STEP_MM = 0.1
"""Within this much time only the lowest and the highest sample are drawn."""

MOST_STEPS = 12_500
"""Of a picture; where there would be more they are wider. Noise of 1 mV, the worst of traces, takes some 10 letters a step."""

FOR, AGAINST = "#D55E00", "#0072B2"
"""Orange and blue of Okabe & Ito, Color Universal Design (2008), as in the other pictures of an explanation."""

MOST_OPAQUE = 0.62
LEAST_SHOWN = 0.12
"""Of the strongest place; what is weaker is not coloured."""

LEVELS = 6
"""Strengths of colour that are told apart."""

CELL_MM = 1.0
"""Width of a cell of a map, unless the map itself is coarser."""

MOST_LETTERS = 60
"""Of a name; a longer one is cut."""

TEXT_MM = 3.2
SMALL_MM = 2.8
LETTER_MM = 1.6
"""Width of a small letter, at most on the mean."""

LINE_MM = 4.4
LEGEND_MM, SWATCH_MM = 80.0, 4.0
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Saliency:
    """How much each place of a signal speaks for an answer.

    Attributes:
        map: (L, T') over the same time as the samples; above zero it speaks for the answer, below against it.
        most: What has the full colour.
        unit: Of the map, for the legend; "" where it is in none that a reader could use.
    """

    map: Array
    most: float
    unit: str = ""


def steps_mm(total_mm: float) -> float:
    """Give the step for traces that are so long together, a whole number of `UNIT_MM`."""
    return max(STEP_MM, float(np.ceil(total_mm / MOST_STEPS / UNIT_MM)) * UNIT_MM)


def trace(x_mm: Array, y_mm: Array, step_mm: float = STEP_MM) -> str:
    """Give the commands of a path, in units of `UNIT_MM`.

    Args:
        x_mm: (T,) rising.
        y_mm: (T,) downwards; where a sample is not finite the line is broken.
        step_mm: Within this much only the lowest and the highest sample are drawn, each at its own time.
    """
    finite = np.isfinite(y_mm)
    edges = np.flatnonzero(np.diff(np.r_[False, finite, False].astype(np.int8)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return "".join(_run(x_mm[start:end], y_mm[start:end], step_mm) for start, end in runs)


def _run(x_mm: Array, y_mm: Array, step_mm: float) -> str:
    x, y = (np.rint(values / UNIT_MM).astype(np.int64) for values in (x_mm, y_mm))
    step = x // max(1, round(step_mm / UNIT_MM))
    order = np.lexsort((y, step))
    first = np.flatnonzero(np.diff(step, prepend=step[0] - 1))  # order keeps the steps in their places
    last = np.r_[first[1:], len(step)] - 1
    kept = np.unique(np.r_[0, order[first], order[last], len(step) - 1])
    x, y = x[kept], y[kept]
    dx, dy = np.diff(x), np.diff(y)
    # A point on the way from its neighbour before to its neighbour behind is left out.
    straight = (dx[:-1] * dy[1:] == dx[1:] * dy[:-1]) & (dx[:-1] * dx[1:] + dy[:-1] * dy[1:] >= 0)
    stays = np.r_[True, ~straight, True] if len(x) > 1 else np.array([True])
    x, y = x[stays], y[stays]
    moves = np.stack([np.diff(x), np.diff(y)], axis=1).ravel().tolist() or [0, 0]  # of one sample a dot remains
    return f"M{x[0]} {y[0]}l" + "".join(str(one) if one < 0 else f" {one}" for one in moves).lstrip()


def pen(commands: str, colour: str = "#111") -> str:
    """Draw a path of `trace`."""
    return (
        f'<path transform="scale({UNIT_MM})" d="{commands}" fill="none" stroke="{colour}" '
        f'stroke-width="{PEN_MM / UNIT_MM:g}" stroke-linejoin="round" stroke-linecap="round"/>'
    )


def words(
    x_mm: float, y_mm: float, text: object, *, anchor: str = "start", size_mm: float = TEXT_MM, bold: bool = False
) -> str:
    """Write a text, with a light edge so that it can be read on a trace."""
    shown = visible(text)
    shown = shown if len(shown) <= MOST_LETTERS else f"{shown[: MOST_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
    return _text(x_mm, y_mm, shown, anchor, size_mm, bold)


def foot(parts: Iterable[str], saliency: Saliency | None, x_mm: float, top_mm: float, width_mm: float) -> tuple[str, float]:
    """Write what stands below a picture: a caption of some parts, and the meaning of the colours.

    Returns:
        It, and its height.
    """
    lines = textwrap.wrap(visible(" \N{MIDDLE DOT} ".join(filter(None, parts))), max(20, int(width_mm / LETTER_MM)))
    places = [top_mm + LINE_MM * (number + 1) for number in range(len(lines) + (saliency is not None))]
    told = "".join(_text(x_mm, at, line, "start", SMALL_MM, False) for at, line in zip(places, lines, strict=False))
    if saliency is not None:
        told += legend(saliency, x_mm, places[-1])
    return told, LINE_MM * len(places) + (LINE_MM / 2 if places else 0.0)


def _text(x_mm: float, y_mm: float, shown: str, anchor: str, size_mm: float, bold: bool) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x_mm:.1f}" y="{y_mm:.1f}" font-size="{size_mm:g}"{weight} text-anchor="{anchor}" fill="#111" stroke="#fff" '
        f'stroke-width="0.7" paint-order="stroke" stroke-linejoin="round">{escape(shown)}</text>'
    )


def bands(saliency: Saliency, lead: int, share: tuple[float, float], box: tuple[float, float, float, float]) -> str:
    """Colour the time of a lead by what speaks for the answer and against it.

    Args:
        saliency: The map.
        lead: Which.
        share: Begin and end of the part that is shown, as shares of the time.
        box: Left, top, width and height of where it is shown, in mm.
    """
    left, top, width, height = box
    whole = saliency.map.shape[1]
    start, end = share[0] * whole, share[1] * whole
    count = int(max(1, min(np.ceil(end - start), np.ceil(width / CELL_MM))))
    edges = np.linspace(start, end, count + 1)
    low = np.clip(edges[:-1].astype(int), 0, whole - 1)
    high = np.clip(np.ceil(edges[1:] - 1e-9).astype(int), low + 1, whole)
    sums = np.r_[0.0, np.cumsum(saliency.map[lead], dtype=np.float64)]
    strength = (sums[high] - sums[low]) / (high - low) / (saliency.most or 1.0)
    level = np.where(np.abs(strength) < LEAST_SHOWN, 0, np.sign(strength) * np.ceil(np.minimum(np.abs(strength), 1) * LEVELS))
    begins = np.flatnonzero(np.diff(level, prepend=np.nan) != 0)
    parts: dict[int, list[str]] = {}
    for begin, stop in zip(begins.tolist(), [*begins.tolist()[1:], count], strict=True):
        if level[begin]:
            at, wide = left + width * begin / count, width * (stop - begin) / count
            rectangle = f"M{at:.2f} {top:.2f}h{wide:.2f}v{height:.2f}h-{wide:.2f}z"
            parts.setdefault(int(level[begin]), []).append(rectangle)
    return "".join(_colour(one, f'd="{"".join(shapes)}"', "path") for one, shapes in sorted(parts.items()))


def legend(saliency: Saliency, x_mm: float, y_mm: float) -> str:
    """Say what the colours mean, in a line that begins here."""
    most = f"{saliency.most:.2g} {saliency.unit}" if saliency.unit else ""
    against, for_ = (f", {sign}{most} at full colour" if most else "" for sign in (MINUS, "+"))
    levels = range(-LEVELS, LEVELS + 1, 2)
    left, wide = x_mm + LEGEND_MM, SWATCH_MM * len(levels)
    swatches = "".join(
        _colour(level, f'x="{left + SWATCH_MM * i:.1f}" y="{y_mm - 2.6:.1f}" width="{SWATCH_MM:g}" height="3.2"', "rect")
        for i, level in enumerate(levels)
        if level
    )
    return (
        words(left - 1, y_mm, f"speaks against{against}", anchor="end", size_mm=SMALL_MM)
        + f'<rect x="{left:.1f}" y="{y_mm - 2.6:.1f}" width="{wide:g}" height="3.2" fill="none" stroke="#888" '
        f'stroke-width="0.1"/>{swatches}' + words(left + wide + 1, y_mm, f"speaks for{for_}", size_mm=SMALL_MM)
    )


def _colour(level: int, shape: str, element: str) -> str:
    opacity = MOST_OPAQUE * abs(level) / LEVELS
    return f'<{element} {shape} fill="{FOR if level > 0 else AGAINST}" fill-opacity="{opacity:.3g}"/>'


def grid(width_mm: float, height_mm: float, every_mm: float, colour: str, pen_mm: float) -> str:
    """Draw the lines of a paper from its upper left corner."""
    down = "".join(f"M{x:g} 0v{height_mm:g}" for x in _places(width_mm, every_mm))
    across = "".join(f"M0 {y:g}h{width_mm:g}" for y in _places(height_mm, every_mm))
    return f'<path class="every{every_mm:g}mm" d="{down}{across}" fill="none" stroke="{colour}" stroke-width="{pen_mm:g}"/>'


def _places(length_mm: float, every_mm: float) -> list[float]:
    return [every_mm * number for number in range(int(length_mm / every_mm + 1e-6) + 1)]


def svg(width_mm: float, height_mm: float, said: str, body: Iterable[str]) -> str:
    """Give the file of a picture in real millimetres.

    Args:
        width_mm: How wide it is.
        height_mm: How high.
        said: What stands for it where it is not seen.
        body: Its elements.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_mm:g}mm" height="{height_mm:g}mm" '
        f'viewBox="0 0 {width_mm:g} {height_mm:g}" font-family="system-ui, sans-serif" role="img">'
        f'<title>{escape(visible(said))}</title><rect width="{width_mm:g}" height="{height_mm:g}" fill="#fff"/>'
        + "".join(body)
        + "</svg>\n"
    )
