"""Recorded signals as pictures: an ECG on its paper, a sound or another trace over a line of time, with its spectrogram.

Letters: L leads, T samples, M bands, N frames.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np

from medmm.preview.ecg import draw_ecg, is_ecg, round_up
from medmm.preview.trace import (
    AGAINST,
    FOR,
    LEAST_SHOWN,
    MINUS,
    MOST_OPAQUE,
    SMALL_MM,
    Saliency,
    bands,
    foot,
    pen,
    steps_mm,
    svg,
    trace,
    words,
)
from medmm.types import Array, Waveform

WIDTH_MM = 240.0
EDGE_MM = 5.0
NAME_MM = 5.0
TRACE_MM = 22.0
SPECTROGRAM_MM = 26.0
AXIS_MM = 6.0

MOST_ROWS = 16
TICKS = 10
"""Of the line of time, at most some so many."""

FULL_SCALE = "1"
"""The unit of a sound (UCUM)."""


def draw_signal(
    recording: Waveform,
    note: str = "",
    saliency: Saliency | None = None,
    spectrogram: Array | None = None,
    step_mm: float | None = None,
) -> str:
    """Draw a recording as SVG.

    Args:
        recording: At least one lead and one sample.
        note: Of the caption, such as how it was filtered.
        saliency: What speaks for an answer, over the same time.
        spectrogram: (L, M, N) logarithms of energy, low bands first, over the same time; not for an ECG.
        step_mm: Width within which only the lowest and highest sample are drawn; None takes what keeps the file small.
    """
    if is_ecg(recording):
        return draw_ecg(recording, note, saliency, step_mm)
    count = min(len(recording.leads), MOST_ROWS)
    step = step_mm or steps_mm(count * WIDTH_MM)
    x = EDGE_MM + np.arange(recording.values.shape[1]) / recording.values.shape[1] * WIDTH_MM
    parts, top = [], 0.0
    for lead in range(count):
        low, high = _range(recording.values[lead], recording.units[lead])
        unit = {FULL_SCALE: "of full scale", "": "(no unit stated)"}.get(recording.units[lead], recording.units[lead])
        parts.append(words(EDGE_MM, top + NAME_MM - 1.2, _named(recording.leads[lead], f"{low:.3g} to {high:.3g} {unit}")))
        top += NAME_MM
        if saliency is not None:
            parts.append(bands(saliency, lead, (0.0, 1.0), (EDGE_MM, top, WIDTH_MM, TRACE_MM)))
        parts.append(_frame(top, TRACE_MM))
        y = top + TRACE_MM * (high - recording.values[lead].astype(np.float64)) / (high - low)
        parts.append(pen(trace(x, y, step)))
        top += TRACE_MM + 1
        if spectrogram is not None:
            parts.append(_spectrogram(spectrogram[lead], None, 0.0, top))
            top += SPECTROGRAM_MM + 1
    facts = ["below each trace its spectrogram, low tones at the bottom"] if spectrogram is not None else []
    said = f"Signal of {len(recording.leads)} leads, {recording.seconds:.3g} s"
    return _picture(parts, top, recording.seconds, said, [*facts, *_left_out(recording.leads), note], saliency)


def draw_spectrogram(
    spectrogram: Array, leads: Sequence[str], seconds: float, note: str = "", saliency: Saliency | None = None
) -> str:
    """Draw spectrograms as SVG.

    Args:
        spectrogram: (L, M, N) logarithms of energy, low bands first.
        leads: (L,) their names.
        seconds: Of N frames.
        note: Of the caption.
        saliency: What speaks for an answer; its map is (L, M, N).
    """
    parts, top = [], 0.0
    for lead, name in enumerate(leads[:MOST_ROWS]):
        parts.append(words(EDGE_MM, top + NAME_MM - 1.2, _named(name)))
        top += NAME_MM
        own, most = (None, 0.0) if saliency is None else (saliency.map[lead], saliency.most)
        parts.append(_spectrogram(spectrogram[lead], own, most, top))
        top += SPECTROGRAM_MM + 1
    said = f"Spectrogram of {len(leads)} leads, {seconds:.3g} s"
    return _picture(parts, top, seconds, said, ["low tones at the bottom", *_left_out(leads), note], saliency)


def _picture(
    parts: Sequence[str], top: float, seconds: float, said: str, facts: Sequence[str], saliency: Saliency | None
) -> str:
    """Put the line of time and the caption below."""
    below, high = foot(facts, saliency, EDGE_MM, top + AXIS_MM, WIDTH_MM)
    return svg(WIDTH_MM + 2 * EDGE_MM, top + AXIS_MM + high, said, [*parts, _axis(seconds, top), below])


def _named(lead: str, told: str = "") -> str:
    name = f"channel {lead}" if lead.isdecimal() else lead
    return f"{name}: {told}".replace("-", MINUS) if told else name


def _left_out(leads: Sequence[str]) -> list[str]:
    more = len(leads) - MOST_ROWS
    return [f"{more} more leads are not shown"] if more > 0 else []


def _range(values: Array, unit: str) -> tuple[float, float]:
    """Give what the lower and upper edge of a trace stand for; a sound has its zero in the middle."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    if unit == FULL_SCALE:
        high = max(abs(low), abs(high))
        low = -high
    return (low, high) if high > low else (low - 1, low + 1)


def _frame(top: float, height: float) -> str:
    return (
        f'<rect x="{EDGE_MM:g}" y="{top:g}" width="{WIDTH_MM:g}" height="{height:g}" fill="none" stroke="#c6cacf" '
        'stroke-width="0.2"/>'
    )


def _axis(seconds: float, top: float) -> str:
    every = round_up(seconds / TICKS)
    ticks = [every * i for i in range(math.floor(seconds / every + 1e-9) + 1)]
    places = [EDGE_MM + WIDTH_MM * at / seconds for at in ticks]
    marks = "".join(f"M{place:.2f} {top:g}v1.5" for place in places)
    named = "".join(
        words(min(place, EDGE_MM + WIDTH_MM), top + 4.6, f"{at:g} s", anchor="middle", size_mm=SMALL_MM)
        for at, place in zip(ticks, places, strict=True)
    )
    return f'<path d="{marks}" stroke="#444" stroke-width="0.2"/>{named}'


def _spectrogram(energy: Array, own: Array | None, most: float, top: float) -> str:
    """Draw one (M, N), bright where it is loud, and over it its map (M, N)."""
    values = np.asarray(energy, np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    grey = np.nan_to_num(np.clip((values - low) / ((high - low) or 1.0), 0, 1) * 255, nan=0.0).astype(np.uint8)
    layers = [_png(grey[::-1])]
    if own is not None:
        share = np.clip(np.asarray(own, np.float64) / (most or 1.0), -1, 1)
        colours = np.array([[int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in (AGAINST, FOR)], np.uint8)
        opacity = np.where(np.abs(share) < LEAST_SHOWN, 0, np.abs(share) * MOST_OPAQUE * 255).astype(np.uint8)
        layers.append(_png(np.dstack([colours[(share > 0).astype(int)], opacity])[::-1]))
    return "".join(
        f'<image x="{EDGE_MM:g}" y="{top:g}" width="{WIDTH_MM:g}" height="{SPECTROGRAM_MM:g}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{one}"/>'
        for one in layers
    )


def _png(pixels: Array) -> str:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode("ascii")
