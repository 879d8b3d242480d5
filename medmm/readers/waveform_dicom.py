"""DICOM waveforms: ECG, haemodynamics, sound and the other classes of the Waveform module; right, or refused.

Of several multiplex groups the longest that was recorded is read, the rhythm; a median beat is derived, and shorter. Voltages
of an ECG are given in mV, everything else in the unit that the file states; sound without one in shares of full scale. Filters
that the recorder applied are not undone, nor told. Of channels that start apart, only what all have is given, to the nearest
sample. A channel whose status says that it holds no measurement is left out.

L channels, T samples.

Source: DICOM PS3.3, sections A.34 (waveform IODs) and C.10.9 (Waveform module); PS3.4, annex B.5 (storage classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_file import read_header
from medmm.readers.waveform_companding import a_law, mu_law
from medmm.readers.waveform_dicom_channel import Channel
from medmm.readers.waveform_dicom_group import (
    COMPANDED,
    Group,
    channels_of,
    group_of,
    interpretation_of,
    refuse_padding,
    samples_of,
)
from medmm.readers.waveform_limits import check_file_size
from medmm.readers.waveform_units import in_millivolts
from medmm.types import Array, Waveform

WAVEFORMS = "1.2.840.10008.5.1.4.1.1.9."
"""SOP classes of waveforms begin so."""

ECG, SOUND = f"{WAVEFORMS}1.", f"{WAVEFORMS}4."

KEYWORDS = ("SpecificCharacterSet", "SOPClassUID", "WaveformSequence")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A waveform of which only the values are still to be looked at."""

    sop_class: str
    group: Group
    channels: list[Channel]
    samples: Array
    kind: tuple[int, str]


def read_dicom_waveform(path: Path, where: str) -> Waveform:
    """Read the one recording that a DICOM waveform object holds.

    Args:
        path: A DICOM file.
        where: Which file it is, in words that hold no patient.

    Raises:
        Rejected: NOT_A_SIGNAL (another kind of object), AMBIGUOUS (two groups of the same length), NOT_FINITE (samples that are
            marked as missing), MALFORMED, or as `check_dicom_waveform`.
    """
    opened = _open(path, where)
    group, channels = opened.group, opened.channels
    refuse_padding(group, opened.samples)
    skews = [channel.skew for channel in channels]
    if not max(skews) - min(skews) < group.samples - 1:
        found = "channels that have no time in common"
        raise Rejected(Code.MALFORMED, where, found, "channels that were recorded together", "correct the header at its source")
    shifts = [round(skew) for skew in skews]
    first, end = max(shifts), min(shifts) + group.samples
    kept = [place for place, channel in enumerate(channels) if channel.usable]
    if not kept:
        raise Rejected(Code.EMPTY, where, "no channel with a measurement", "at least one", "record it again")
    values = np.empty((len(kept), end - first), np.float32)
    units = []
    for row, place in enumerate(kept):
        stored = opened.samples[first - shifts[place] : end - shifts[place], place]
        scaled, unit = _scaled(stored, channels[place], opened)
        with np.errstate(over="ignore"):
            values[row] = scaled
        units.append(unit)
    if not np.isfinite(values).all():
        raise Rejected(Code.MALFORMED, where, "values beyond any measurement", "a possible sensitivity", "export it again")
    sound = opened.sop_class.startswith(SOUND)
    leads = tuple(str(place + 1) if sound else channels[place].lead for place in kept)
    return Waveform(values, group.rate_hz, leads, tuple(units))


def check_dicom_waveform(path: Path, where: str) -> None:
    """Tell all that speaks against a waveform but its values.

    Raises:
        Rejected: NOT_A_SIGNAL, AMBIGUOUS, TRUNCATED, EMPTY, TOO_LARGE, RATE, UNIT, HEADER, MALFORMED or UNSUPPORTED.
    """
    _open(path, where)


def _open(path: Path, where: str) -> _Opened:
    check_file_size(path, where)
    attributes = read_header(path, where, KEYWORDS, whole=True).attributes
    sop_class = attributes.text("SOPClassUID")
    if not sop_class.startswith(WAVEFORMS):
        raise Rejected(Code.NOT_A_SIGNAL, where, "a DICOM object that is no waveform", "a waveform", "leave it out")
    if not attributes.has("WaveformSequence"):
        raise Rejected(Code.TRUNCATED, where, "a waveform that ends before its samples", "the whole file", "copy it again")
    group = _rhythm([group_of(item) for item in attributes.items("WaveformSequence")], where)
    kind = interpretation_of(group)
    opened = _Opened(sop_class, group, channels_of(group), samples_of(group), kind)
    for channel in filter(lambda one: one.usable, opened.channels):
        _check_scale(channel, opened, where)
    return opened


def _rhythm(groups: Sequence[Group], where: str) -> Group:
    """Choose the longest group that was recorded; where all are derived, the only one."""
    recorded = [group for group in groups if group.original] or list(groups)
    if not recorded:
        raise Rejected(Code.EMPTY, where, "a waveform without a multiplex group", "one", "export it again")
    recorded.sort(key=lambda group: group.seconds)
    *others, longest = recorded
    if others and (not longest.original or others[-1].seconds + 1 / longest.rate_hz >= longest.seconds):
        found = f"{len(recorded)} multiplex groups, none the longest"
        raise Rejected(Code.AMBIGUOUS, where, found, "one recording a file", "export the group that is needed")
    return longest


def _check_scale(channel: Channel, opened: _Opened, where: str) -> None:
    """Refuse samples whose worth nobody knows."""
    sound, companded = opened.sop_class.startswith(SOUND), opened.kind in COMPANDED
    if companded and not (sound and channel.unit is None):
        found = "samples on a logarithmic scale with a sensitivity, or of what is no sound"
        raise Rejected(Code.UNSUPPORTED, where, found, "linear samples", "export it with 16 bits, signed")
    if channel.unit is None and not sound:
        found = "a channel without a sensitivity"
        raise Rejected(Code.UNIT, where, found, "what a step of the samples is worth", "export it calibrated")
    if channel.bits is not None and not 1 <= channel.bits <= opened.kind[0]:
        found = f"{channel.bits} of {opened.kind[0]} bits"
        raise Rejected(Code.HEADER, where, f"{found} in WaveformBitsStored", "bits that are there", "export it again")


def _scaled(stored: Array, channel: Channel, opened: _Opened) -> tuple[Array, str]:
    """Give the values of a channel (T,) float64, and their unit."""
    bits, kind = opened.kind
    if opened.kind in COMPANDED:
        return (mu_law() if kind == "MB" else a_law())[stored] / 2**15, "1"
    _refuse_unused_bits(stored, channel, opened)
    values = stored.astype(np.float64)
    if channel.unit is None:  # sound; unsigned samples are silent in the middle of their range
        return (values - (2 ** (bits - 1) if kind.startswith("U") else 0)) / 2 ** (bits - 1), "1"
    with np.errstate(over="ignore", invalid="ignore"):
        values = values * channel.sensitivity + channel.baseline
    return in_millivolts(values, channel.unit) if opened.sop_class.startswith(ECG) else (values, channel.unit)


def _refuse_unused_bits(stored: Array, channel: Channel, opened: _Opened) -> None:
    """Refuse samples that use bits which they do not have: signed ones that were not extended would read as large numbers."""
    if channel.bits is None or channel.bits == opened.kind[0]:
        return
    signed = stored.dtype.kind == "i"
    most = 2 ** (channel.bits - signed) - 1
    if stored.max() > most or stored.min() < (-most - 1 if signed else 0):
        found = f"samples beyond their {channel.bits} bits"
        raise Rejected(Code.MALFORMED, opened.group.item.where, found, "samples within them", "export it again")
