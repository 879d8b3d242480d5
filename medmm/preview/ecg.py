"""An ECG as it is read: on paper of 25 mm a second and 10 mm a millivolt, in real millimetres.

Where all twelve leads are there, three rows of four columns of 2.5 s and below them lead II over the whole time; else, and
where places are marked, for which no part of a lead may be missing, a row a lead.

Letters: L leads, T samples.

Sources: Kligfield et al. 2007, Recommendations for the Standardization and Interpretation of the Electrocardiogram, part I
(paper, calibration, order of the leads); DICOM PS3.17, annex on 12-lead ECG display, for rows and columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmm.preview.trace import Saliency, bands, foot, grid, pen, steps_mm, svg, trace, words
from medmm.types import Array, Waveform

MM_PER_S = 25.0
MM_PER_MV = 10.0

STANDARD = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
RHYTHM = "II"

MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "V": 1e3}
"""UCUM code -> millivolts."""

COLUMN_S = 2.5
STRIP_S = 10.0
"""Seconds of a row."""

MOST_ROWS = 16

LEAD_IN_MM = 10.0
"""Before a row, for the pulse of calibration: 2.5 mm, 200 ms of 1 mV, 2.5 mm."""

PULSE_S = 0.2
SQUARE_MM = 5.0
LEAST_UP_MM, LEAST_DOWN_MM, MOST_REACH_MM = 10.0, 5.0, 30.0
"""Of a row above and below its line, rounded up to whole squares; what reaches farther is cut off, and the caption says so."""

EDGE_MM = 2.0
LEAST_WIDE_MM = 185.0
"""Of a picture, so that what stands below has room."""

PINK, RED = "#f8d3cd", "#eaa79d"
LIGHT, GREY = "#e6e8ea", "#c6cacf"
"""Small and large squares; grey where colours mark places."""


@dataclass(frozen=True)
class Piece:
    """Part of a lead in a row."""

    lead: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Scale:
    """How the values of a lead become millimetres: those above `zero` times `mm`; `told` beside its name where not in mV."""

    zero: float
    mm: float
    told: str


def is_ecg(recording: Waveform) -> bool:
    """Tell whether some lead is one of an ECG: a voltage with a standard name, or one in millivolts."""
    standard = {name.casefold() for name in STANDARD}
    pairs = zip(recording.leads, recording.units, strict=True)
    return any(unit in MILLIVOLTS and (lead.casefold() in standard or unit == "mV") for lead, unit in pairs)


def draw_ecg(recording: Waveform, note: str = "", saliency: Saliency | None = None, step_mm: float | None = None) -> str:
    """Draw a recording as SVG.

    Args:
        recording: At least one lead and one sample.
        note: Of the caption, such as how it was filtered.
        saliency: What speaks for an answer, over the same time.
        step_mm: Width within which only the lowest and highest sample are drawn; None takes what keeps the file small.
    """
    rows, left_out = _rows(recording, saliency)
    scales = [_scale(values, unit) for values, unit in zip(recording.values, recording.units, strict=True)]
    widest = max(sum(piece.end_s - piece.start_s for piece in row) for row in rows)
    width = SQUARE_MM * math.ceil((LEAD_IN_MM + widest * MM_PER_S + 1) / SQUARE_MM)
    step = step_mm or steps_mm(sum(p.end_s - p.start_s for row in rows for p in row) * MM_PER_S)
    behind, front, cut = [], [], False
    top = 0.0
    for number, row in enumerate(rows):
        up, down, over = _reach(recording, row, scales)
        cut |= over
        height, line = up + down, top + up
        clip = f"row{number}"
        front.append(f'<clipPath id="{clip}"><rect x="0" y="{top:g}" width="{width:g}" height="{height:g}"/></clipPath>')
        if not scales[row[0].lead].told:
            front.append(pen(_pulse(line), "#444"))
        at = LEAD_IN_MM
        for place, piece in enumerate(row):
            wide = (piece.end_s - piece.start_s) * MM_PER_S
            if saliency is not None:
                share = (piece.start_s / recording.seconds, piece.end_s / recording.seconds)
                behind.append(bands(saliency, piece.lead, share, (at, top, wide, height)))
            if place:
                front.append(f'<path d="M{at:g} {line - 2:g}v4" stroke="#444" stroke-width="0.3"/>')
            front.append(f'<g clip-path="url(#{clip})">{pen(_trace(recording, piece, scales[piece.lead], at, line, step))}</g>')
            told = f" ({scales[piece.lead].told})" if scales[piece.lead].told else ""
            begins = f" from {piece.start_s:g} s" if piece.start_s and len(row) == 1 else ""
            front.append(words(at + 1, line - up + 3.6, f"{recording.leads[piece.lead]}{told}{begins}", bold=True))
            at += wide
        top += height
    facts = _facts(recording, rows, left_out, cut)
    small, large = (PINK, RED) if saliency is None else (LIGHT, GREY)
    paper = [grid(width, top, 1.0, small, 0.1), grid(width, top, SQUARE_MM, large, 0.2)]
    whole = max(width, LEAST_WIDE_MM)
    below, high = foot([*facts, note], saliency, EDGE_MM, top, whole - 2 * EDGE_MM)
    said = f"ECG of {len(recording.leads)} leads, {recording.seconds:.3g} s"
    return svg(whole, top + high, said, [*paper, *behind, *front, below])


def _rows(recording: Waveform, saliency: Saliency | None) -> tuple[list[list[Piece]], int]:
    """Choose what stands where; gives the number of leads for which there is no room, too."""
    places = {name.casefold(): i for i, name in enumerate(recording.leads)}
    standard = [places[name.casefold()] for name in STANDARD if name.casefold() in places]
    whole = recording.seconds
    rest = range(len(recording.leads))
    rows: list[list[Piece]] = []
    if len(standard) == len(STANDARD) and whole > 3 * COLUMN_S and saliency is None:
        for row in range(3):
            columns = [(standard[3 * column + row], COLUMN_S * column) for column in range(4)]
            rows.append([Piece(lead, start, min(start + COLUMN_S, whole)) for lead, start in columns])
        rows.append([Piece(places[RHYTHM.casefold()], 0.0, min(STRIP_S, whole))])
        others = [lead for lead in rest if lead not in set(standard)]
    else:
        others = [*standard, *(lead for lead in rest if lead not in set(standard))]
    room = MOST_ROWS - len(rows)
    shown = others[:room]
    if shown:
        count = max(1, min(math.ceil(whole / STRIP_S - 1e-6), room // len(shown))) if not rows else 1
        start = _start(whole, count, saliency)
        ends = [(start + STRIP_S * i, min(start + STRIP_S * (i + 1), whole)) for i in range(count)]
        rows += [[Piece(lead, begin, end)] for lead in shown for begin, end in ends]
    return rows, len(others) - len(shown)


def _start(whole_s: float, count: int, saliency: Saliency | None) -> float:
    """Choose where rows begin that cannot show all: where most is marked, else at the begin."""
    if saliency is None or whole_s <= STRIP_S * count:
        return 0.0
    strength = np.abs(saliency.map).sum(0)
    cells = max(1, round(len(strength) * STRIP_S * count / whole_s))
    sums = np.convolve(strength, np.ones(cells), mode="valid")
    return min(float(sums.argmax()) / len(strength) * whole_s, whole_s - STRIP_S * count)


def _scale(values: Array, unit: str) -> Scale:
    finite = values[np.isfinite(values)].astype(np.float64)
    zero = float(np.median(finite)) if len(finite) else 0.0
    if unit in MILLIVOLTS:
        return Scale(zero, MILLIVOLTS[unit] * MM_PER_MV, "")
    span = float(np.ptp(finite)) if len(finite) else 0.0
    ten = round_up(span / 2)  # so that all of it is 20 mm at most
    return Scale(zero, MM_PER_MV / ten, f"10 mm = {ten:g} {unit or ', no unit stated'}".replace(" ,", ","))


def round_up(value: float) -> float:
    """Give the next of 1, 2 and 5 times a power of ten; 1 for nothing."""
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(one * power for one in (1, 2, 5, 10) if one * power >= value * (1 - 1e-9))


def _samples(recording: Waveform, piece: Piece) -> tuple[int, int]:
    """Give the first sample of a piece, and the one behind its last: the one at which the next begins is drawn too."""
    rate = recording.rate_hz
    return math.ceil(piece.start_s * rate - 1e-6), min(math.floor(piece.end_s * rate + 1e-6) + 1, recording.values.shape[1])


def _reach(recording: Waveform, row: Sequence[Piece], scales: Sequence[Scale]) -> tuple[float, float, bool]:
    """Give what a row needs above and below its line in mm, and whether that is more than it gets."""
    up = down = 0.0
    for piece in row:
        start, end = _samples(recording, piece)
        values = recording.values[piece.lead, start:end]
        finite = values[np.isfinite(values)]
        if len(finite):
            scale = scales[piece.lead]
            up = max(up, (float(finite.max()) - scale.zero) * scale.mm)
            down = max(down, (scale.zero - float(finite.min())) * scale.mm)
    over = max(up, down) > MOST_REACH_MM
    up, down = max(LEAST_UP_MM, min(up + 1, MOST_REACH_MM)), max(LEAST_DOWN_MM, min(down + 1, MOST_REACH_MM))
    return SQUARE_MM * math.ceil(up / SQUARE_MM), SQUARE_MM * math.ceil(down / SQUARE_MM), over


def _trace(recording: Waveform, piece: Piece, scale: Scale, left_mm: float, line_mm: float, step_mm: float) -> str:
    start, end = _samples(recording, piece)
    x = left_mm + (np.arange(start, end) / recording.rate_hz - piece.start_s) * MM_PER_S
    return trace(x, line_mm - (recording.values[piece.lead, start:end].astype(np.float64) - scale.zero) * scale.mm, step_mm)


def _pulse(line_mm: float) -> str:
    rest = (LEAD_IN_MM - PULSE_S * MM_PER_S) / 2
    x = np.array([0, rest, rest, LEAD_IN_MM - rest, LEAD_IN_MM - rest, LEAD_IN_MM])
    y = line_mm - MM_PER_MV * np.array([0, 0, 1, 1, 0, 0])
    return trace(x, y, step_mm=1e-9)


def _facts(recording: Waveform, rows: Sequence[Sequence[Piece]], left_out: int, cut: bool) -> list[str]:
    voltage = any(unit in MILLIVOLTS for unit in recording.units)
    facts = [f"{MM_PER_S:g} mm/s" + (f", {MM_PER_MV:g} mm/mV" if voltage else "")]
    first = min(piece.start_s for row in rows for piece in row)
    last = max(piece.end_s for row in rows for piece in row)
    if last - first < recording.seconds - 1 / recording.rate_hz:
        facts.append(f"seconds {first:.3g} to {last:.3g} of {recording.seconds:.3g}")
    if len(rows[0]) > 1:
        facts.append(f"columns of {COLUMN_S:g} s, one after the other")
    if left_out:
        facts.append(f"{left_out} more leads are not shown")
    if cut:
        facts.append(f"what is more than {MOST_REACH_MM:g} mm from its line is cut off")
    return facts
