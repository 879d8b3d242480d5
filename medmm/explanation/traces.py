"""The maps of an explanation drawn on signals, as the model saw them: an ECG on its paper, others over a line of time.

Orange speaks for the answer, blue against it, and what is clear does neither. Nothing can run in these pictures, whatever the
name of a lead is.
"""

from __future__ import annotations

import numpy as np

from medmm.explanation.pictures import NO_BETTER
from medmm.explanation.signals import SignalShare
from medmm.preview.signals import draw_signal, draw_spectrogram
from medmm.preview.trace import Saliency
from medmm.types import Waveform

MOST_SEGMENTS = 2
"""Of several segments, those that matter most are shown."""


def draw_segments(share: SignalShare, scale: str) -> dict[int, str]:
    """Draw a signal with its map.

    Args:
        share: What is drawn.
        scale: What the map of an occlusion is in; the others are in no unit that a reader could use.

    Returns:
        Number of the segment, from 0 -> SVG.
    """
    most = float(np.abs(share.map).max()) or 1.0
    unit = scale if share.method == "occlusion" else ""
    strength = np.abs(share.map).reshape(len(share.map), -1).sum(1)
    chosen = np.argsort(-strength, kind="stable")[:MOST_SEGMENTS]
    return {segment: _draw(share, segment, most, unit) for segment in sorted(chosen.tolist())}


def _draw(share: SignalShare, segment: int, most: float, unit: str) -> str:
    start = share.starts_s[segment]
    note = "as the model saw it"
    if share.recorded_s > share.seconds * (1 + 1e-3):
        note = f"from second {start:.3g} of a recording of {share.recorded_s:.3g} s, {note}"
    if share.deletion.passed is False:
        note = f"{NO_BETTER.upper()}; {note}"
    saliency = Saliency(share.map[segment], most, unit)
    if share.spectrogram:
        return draw_spectrogram(share.values[segment], share.leads, share.seconds, note, saliency)
    return draw_signal(Waveform(share.values[segment], share.rate_hz, share.leads, share.units), note, saliency)
