"""One channel of a DICOM waveform: which lead it is, in which unit, and how its samples become values.

Source: DICOM PS3.3, section C.10.9 (Waveform module); PS3.16, CID 3001 (ECG leads).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes
from medmm.readers.waveform_leads import standard_lead
from medmm.readers.waveform_units import UNIT_FORM

LEAD_NUMBERS = {
    1: "I",
    2: "II",
    61: "III",
    62: "aVR",
    63: "aVL",
    64: "aVF",
    **{place + 2: f"V{place}" for place in range(1, 7)},
}
"""Number of a lead in SCP-ECG (EN 1064, table of lead identifications), which ISO/IEEE 11073-10101 (MDC) has taken over."""

LEAD_CODES = {"MDC": re.compile(r"2:(\d{1,3})"), "SCPECG": re.compile(r"5\.6\.3-9-(\d{1,3})")}
"""Coding scheme -> its codes for leads of an ECG, which end in the number."""

UNSPECIFIED_LEAD = 0

UNUSABLE = frozenset(("TEST DATA", "DISCONNECTED", "INVALID"))
"""Channel Status (003A,0205) of a channel that holds no measurement."""

NAME_LETTERS = 64


@dataclass(frozen=True, slots=True)
class Channel:
    """What a channel definition says.

    Attributes:
        lead: Name; of the twelve leads of an ECG the standard one.
        unit: UCUM code; None where the samples are not calibrated.
        sensitivity: Units a step, corrected.
        baseline: Value of the sample 0, in units.
        skew: How many samples later than the group it starts.
        bits: Significant ones of a sample; None where that is not stated.
        usable: Whether its status speaks of a measurement.
    """

    lead: str
    unit: str | None
    sensitivity: float
    baseline: float
    skew: float
    bits: int | None
    usable: bool


def channel_of(item: Attributes, number: int, rate_hz: float) -> Channel:
    """Read a channel definition.

    Args:
        item: Of the Channel Definition Sequence.
        number: Of the channel, from 1; its name where nothing else names it.
        rate_hz: Samples a second.

    Raises:
        Rejected: HEADER, or UNIT where the sensitivity has no unit of UCUM.
    """
    sensitivity, unit = item.number("ChannelSensitivity"), None
    if sensitivity is not None:
        unit = _unit(item)
        factor = item.number("ChannelSensitivityCorrectionFactor")
        sensitivity *= 1.0 if factor is None else factor
        if sensitivity == 0:
            raise item.impossible("ChannelSensitivity", "0", "what a step of the samples is worth")
    skew = item.number("ChannelSampleSkew")
    if skew is None:
        skew = (item.number("ChannelTimeSkew") or 0.0) * rate_hz
    return Channel(
        lead=_lead(item) or str(number),
        unit=unit,
        sensitivity=1.0 if sensitivity is None else sensitivity,
        baseline=0.0 if sensitivity is None else item.number("ChannelBaseline") or 0.0,
        skew=skew,
        bits=item.whole("WaveformBitsStored"),
        usable=not UNUSABLE.intersection(item.words("ChannelStatus")),
    )


def _unit(item: Attributes) -> str:
    """Give the UCUM code of the sensitivity."""
    for code in item.items("ChannelSensitivityUnitsSequence")[:1]:
        unit = code.text("CodeValue")
        if code.text("CodingSchemeDesignator") == "UCUM" and unit and UNIT_FORM.fullmatch(unit):
            return unit
    found = "a channel whose sensitivity has no unit of UCUM"
    raise Rejected(Code.UNIT, item.where, found, "a unit such as uV or mm[Hg]", "correct the header at its source")


def _lead(item: Attributes) -> str:
    """Name a channel by the code of its source, by what that means, or by its label; "" where nothing names it."""
    modified = [code.text("CodeMeaning") for code in item.items("ChannelSourceModifiersSequence")]  # such as: against Cz
    for code in item.items("ChannelSourceSequence")[:1]:
        number = _lead_number(code)
        if number in LEAD_NUMBERS and not modified:
            return LEAD_NUMBERS[number]
        if number != UNSPECIFIED_LEAD and code.text("CodeMeaning"):
            return standard_lead(_printable(" ".join([code.text("CodeMeaning"), *modified])))
    return standard_lead(_printable(item.text("ChannelLabel")))


def _lead_number(code: Attributes) -> int | None:
    form = LEAD_CODES.get(code.text("CodingSchemeDesignator"))
    found = form.fullmatch(code.text("CodeValue")) if form else None
    return int(found[1]) if found else None


def _printable(text: str) -> str:
    return "".join(filter(str.isprintable, text))[:NAME_LETTERS].strip()
