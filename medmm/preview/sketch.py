"""A recording as a small picture for pages that are handed on: with no word of its header but those of closed lists."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medmm.preview.signals import draw_signal
from medmm.readers.waveform import read_waveform
from medmm.readers.waveform_leads import CHANNEL, CHEST_LEADS, LIMB_LEADS, STANDARD_LEADS
from medmm.types import Waveform

STEP_MM = 0.4
"""Within which only the lowest and highest sample are drawn: a sketch is shown at half the size and less."""

UNITS = frozenset(("mV", "uV", "V", "1", "mm[Hg]", "kPa", "Pa", "Cel", "%", "/min", "L/s", "L"))
"""UCUM codes that are shown as they are."""

TWELVE = frozenset((*LIMB_LEADS, *CHEST_LEADS[:6]))


@dataclass(frozen=True)
class Sketch:
    """A picture of a recording.

    Attributes:
        svg: Its file.
        facts: Leads, rate and duration.
    """

    svg: str
    facts: tuple[str, ...]


def sketch(files: Sequence[Path], step_mm: float = STEP_MM) -> Sketch:
    """Read a recording and draw it.

    Args:
        files: Of the recording.
        step_mm: Width within which only the lowest and highest sample are drawn.

    Raises:
        Rejected: It must not be read.
    """
    recording = read_waveform(files)
    leads = tuple(shown_lead(lead, number) for number, lead in enumerate(recording.leads, start=1))
    units = tuple(shown_unit(unit) for unit in recording.units)
    facts = (shown_leads(recording), f"{recording.rate_hz:g} Hz", f"{recording.seconds:.4g} s")
    return Sketch(draw_signal(replace(recording, leads=leads, units=units), step_mm=step_mm), facts)


def embedded(svg: str) -> str:
    """Give an SVG as the source of an image: so nothing in it can run."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode('utf-8', 'replace')).decode('ascii')}"


def shown_lead(lead: str, number: int) -> str:
    """Give a name that says no more than which lead it is."""
    return lead if lead in STANDARD_LEADS or CHANNEL.fullmatch(lead) else f"lead {number}"


def shown_unit(unit: str) -> str:
    """Give a known unit as it is."""
    return unit if unit in UNITS or not unit else "other unit"


def shown_leads(recording: Waveform) -> str:
    """Say which leads a recording has; what has no name of an ECG lead is counted."""
    known = [lead for lead in STANDARD_LEADS if lead in recording.leads]
    if set(known) == TWELVE:
        known = ["the 12 leads"]
    others = len(recording.leads) - sum(lead in STANDARD_LEADS for lead in recording.leads)
    what = "channel" if not known else "other"
    return ", ".join([*known, *([f"{others} {what}{'s' if others > 1 else ''}"] if others else [])])
