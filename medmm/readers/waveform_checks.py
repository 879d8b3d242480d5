"""What a recording must be before it is used: numbers, of a known unit, of leads that were connected and not overdriven.

Letters: L leads, T samples.
"""

from __future__ import annotations

import math

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.waveform_leads import said_lead
from medmm.types import Array, Waveform

VALUES_LIMIT = 1 << 27
"""Most values (leads times samples) of a recording, 512 MiB as float32: 12 leads for six hours at 500 Hz, one channel of sound
for fifty minutes at 44.1 kHz."""

RATE_LIMIT_HZ = 1e6
"""No recorder of a patient samples faster; a pacemaker's spike needs some tens of kHz, ultrasound is no waveform here."""

FLAT_SHARE = 0.5
"""A lead that holds one exact value for more than this share of the recording is flat. A pause of the heart in a coarsely
quantised ECG of ten seconds may hold one value for some seconds, so a lower share would refuse what a doctor must see."""

CLIPPED_SHARE = 0.01
"""A lead is clipped where more than this share of its samples stand, in runs, at its exact extreme. The spikes of a pacemaker
last 0.5 to 2 ms: three a beat at 100 a minute, every sample of them at the extreme, come to 0.01 at most."""

CLIPPED_RUN = 3
"""Fewer equal samples are no run: the top of a wave may well show a value twice."""

CLIPPED_STEEPNESS = 4
"""A clipped wave jumps to its extreme and off it: the extreme holds this many times the samples that stand beside it. A rounded
top, however coarsely quantised, holds at most 2.4 times as many as the level beside (a parabola: 1 / (sqrt(2) - 1)); one that
flattens towards its rest, as exp(3 sin), 3.6. A sine cut at 0.89 of its height comes to 4.4. Real ECG of
LUDB, whose 20 uV steps a filter has rounded, comes to 1.3 at most."""

BESIDE = 0.03
"""Share of the range from an extreme that stands beside it, and at least the next level."""

LEVELS_FEWEST = 16
"""On fewer distinct levels no shape of a wave can be told, and a quiet lead may rest on its lowest."""

REST_SHARE = 0.05
"""Where the median lies within this share of the range, or a level, from an extreme, that is the baseline of the lead."""


def check_waveform(waveform: Waveform) -> None:
    """Check that each lead of a recording holds a signal in a known unit.

    A lead that is overdriven to one side for more than half of the time, in many short runs, cannot be told from one that rests
    there, and passes.

    Raises:
        Rejected: NOT_FINITE, UNIT (a unit is not stated), FLAT or CLIPPED; the message names the lead and the duration.
    """
    for index, (values, unit) in enumerate(zip(waveform.values, waveform.units, strict=True)):
        where = said_lead(waveform.leads, index)
        check_finite(values, where)
        if not unit.strip():
            raise Rejected(Code.UNIT, where, "no unit", "a unit, such as mV", "state the unit where the recording is exported")
        _check_moving(values, waveform.rate_hz, where)
        _check_range(values, waveform.rate_hz, where)


def check_finite(values: Array, where: str) -> None:
    """Check that all samples are numbers.

    Raises:
        Rejected: NOT_FINITE.
    """
    missing = values.size - int(np.isfinite(values).sum())
    if missing:
        found = f"{missing} of {values.size} samples missing or no number"
        raise Rejected(Code.NOT_FINITE, where, found, "a number for each sample", "export the recording without gaps")


def check_size(leads: int, samples: int, where: str) -> None:
    """Check what a header promises, before memory is taken for it.

    Raises:
        Rejected: EMPTY without a lead or sample, TOO_LARGE beyond `VALUES_LIMIT`.
    """
    if leads < 1 or samples < 1:
        raise Rejected(Code.EMPTY, where, f"{leads} leads of {samples} samples", "a recording", "export it again")
    if leads * samples > VALUES_LIMIT:
        found = f"{leads} leads of {samples} samples"
        raise Rejected(Code.TOO_LARGE, where, found, f"at most {VALUES_LIMIT} values", "cut the recording into shorter ones")


def check_rate(rate_hz: float, where: str) -> None:
    """Check that a sampling rate can be one.

    Raises:
        Rejected: RATE.
    """
    if not (math.isfinite(rate_hz) and 0 < rate_hz <= RATE_LIMIT_HZ):
        expected = f"more than 0 and at most {RATE_LIMIT_HZ:.0f} Hz"
        raise Rejected(Code.RATE, where, f"{rate_hz:g} Hz", expected, "correct the rate where the recording is exported")


def _check_moving(values: Array, rate_hz: float, where: str) -> None:
    same = int(np.count_nonzero(values[1:] == values[:-1]))
    if same + 1 <= FLAT_SHARE * values.size:  # of all runs together, so of the longest: most recordings need no more
        return
    longest = int(_runs(values).max())
    if longest > FLAT_SHARE * values.size:
        found = f"one value for {longest / rate_hz:.1f} of {values.size / rate_hz:.1f} s"
        raise Rejected(Code.FLAT, where, found, "a signal that moves", "record again, or leave the lead out of the run")


def _check_range(values: Array, rate_hz: float, where: str) -> None:
    low, high = values.min(), values.max()
    width = float(high) - float(low)
    for extreme, word in ((low, "lowest"), (high, "highest")):
        there = values == extreme
        if np.count_nonzero(there) <= CLIPPED_SHARE * values.size:
            continue
        runs = _runs(there)[0 if there[0] else 1 :: 2]
        held = int(runs[runs >= CLIPPED_RUN].sum())
        if held <= CLIPPED_SHARE * values.size:
            continue
        away = np.abs(values.astype(np.float64) - float(extreme))
        level = float(away[away > 0].min())
        beside = int(((away > 0) & (away <= max(BESIDE * width, level))).sum())
        rests = np.median(away) <= max(REST_SHARE * width, level)
        if not rests and there.sum() >= CLIPPED_STEEPNESS * beside and len(np.unique(values)) >= LEVELS_FEWEST:
            found = f"its {word} value held for {held / rate_hz:.2f} of {values.size / rate_hz:.1f} s"
            repair = "record again with less gain, or leave the lead out of the run"
            raise Rejected(Code.CLIPPED, where, found, "waves within the range of the recorder", repair)


def _runs(values: Array) -> Array:
    """Give the lengths of runs of equal values, (R,), in order."""
    ends = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.diff(np.concatenate([[0], ends, [values.size]]))
