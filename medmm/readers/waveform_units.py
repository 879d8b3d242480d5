"""Units of recorded signals: files write them in their own ways, here they are UCUM codes, and an ECG is in millivolts.

Source: The Unified Code for Units of Measure, version 2.2, https://ucum.org/ucum.
"""

import re

from medmm.errors import Code, Rejected
from medmm.readers.waveform_leads import STANDARD_LEADS, standard_lead
from medmm.types import Array

MILLIVOLTS = {"nV": (1.0, 1e6), "uV": (1.0, 1e3), "mV": (1.0, 1.0), "V": (1e3, 1.0)}
"""UCUM code of a voltage -> what to multiply by, and to divide by, to have mV; the latter is exact where 0.001 is not."""

WRITTEN = {
    "\u00b5V": "uV",
    "\u03bcV": "uV",
    "mmHg": "mm[Hg]",
    "cmH2O": "cm[H2O]",
    "degC": "Cel",
    "degF": "[degF]",
    "bpm": "/min",
    "BPM": "/min",
    "NU": "",
}
"""What EDF and WFDB files write -> UCUM code; `NU` is WFDB's word for no unit."""

UNIT_FORM = re.compile(r"[!-~]{0,16}")


def ucum_unit(written: str, where: str) -> str:
    """Give the UCUM code of a unit as a file writes it; one that is none of the known ways is taken as a code.

    Raises:
        Rejected: UNIT where it is no code at all.
    """
    unit = WRITTEN.get(written, written)
    if not UNIT_FORM.fullmatch(unit):
        raise Rejected(Code.UNIT, where, "a unit that is no UCUM code", "a unit such as mV", "export it again")
    return unit


def in_millivolts(values: Array, unit: str) -> tuple[Array, str]:
    """Give voltages in mV with that unit, and all else as it is.

    Args:
        values: float64.
        unit: Their UCUM code.
    """
    if unit not in MILLIVOLTS:
        return values, unit
    times, over = MILLIVOLTS[unit]
    return values * times / over, "mV"


def as_lead(values: Array, lead: str, unit: str) -> tuple[Array, str, str]:
    """Give the values, standard name and unit of a lead; one of an ECG has mV.

    Args:
        values: (T,) float64.
        lead: Its name as the file has it.
        unit: UCUM code.
    """
    name = standard_lead(lead)
    values, unit = in_millivolts(values, unit) if name in STANDARD_LEADS else (values, unit)
    return values, name, unit
