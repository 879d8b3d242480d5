"""One multiplex group of a DICOM waveform: channels that were sampled together, and their samples as they are stored.

L channels, T samples.

Source: DICOM PS3.3, section C.10.9 (Waveform module); PS3.5, annex A (in which order the bytes stand).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes
from medmm.readers.waveform_checks import check_size
from medmm.readers.waveform_dicom_channel import Channel, channel_of
from medmm.types import Array

TYPES = {(8, "SB"): "i1", (8, "UB"): "u1", (16, "SS"): "i2", (16, "US"): "u2", (32, "SL"): "i4", (32, "UL"): "u4"}
"""Waveform Bits Allocated and Waveform Sample Interpretation of linear samples -> their type."""

COMPANDED = {(8, "MB"): "u1", (8, "AB"): "u1"}
"""The same of sound on a logarithmic scale."""


@dataclass(frozen=True, slots=True)
class Group:
    """A multiplex group whose header is sound.

    Attributes:
        item: Of the Waveform Sequence.
        rate_hz: Samples a second.
        channels: L, as promised.
        samples: T, as promised.
        original: Whether it was recorded rather than derived.
    """

    item: Attributes
    rate_hz: float
    channels: int
    samples: int
    original: bool

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.samples / self.rate_hz


def group_of(item: Attributes) -> Group:
    """Read the head of a multiplex group.

    Raises:
        Rejected: HEADER; RATE; EMPTY or TOO_LARGE by the number of samples that it promises.
    """
    rate = item.number("SamplingFrequency")
    if rate is None or not 0 < rate < np.inf:
        raise Rejected(Code.RATE, item.where, "no usable SamplingFrequency", "samples a second", "export it again")
    channels, samples = _needed(item, "NumberOfWaveformChannels"), _needed(item, "NumberOfWaveformSamples")
    check_size(channels, samples, item.where)
    return Group(item, rate, channels, samples, item.text("WaveformOriginality") != "DERIVED")


def channels_of(group: Group) -> list[Channel]:
    """Read the definitions of the channels.

    Raises:
        Rejected: MALFORMED where there are more or fewer than promised; HEADER or UNIT.
    """
    items = group.item.items("ChannelDefinitionSequence")
    if len(items) != group.channels:
        found = f"{len(items)} channel definitions for {group.channels} channels"
        raise Rejected(Code.MALFORMED, group.item.where, found, "one for each", "export it again")
    return [channel_of(item, number, group.rate_hz) for number, item in enumerate(items, start=1)]


def interpretation_of(group: Group) -> tuple[int, str]:
    """Give bits allocated and interpretation of the samples.

    Raises:
        Rejected: UNSUPPORTED where they are none of the known ones; HEADER.
    """
    kind = _needed(group.item, "WaveformBitsAllocated"), group.item.text("WaveformSampleInterpretation")
    if kind not in TYPES and kind not in COMPANDED:
        found = f"samples of {kind[0]} bits with an interpretation that is not read"
        raise Rejected(Code.UNSUPPORTED, group.item.where, found, "8, 16 or 32 bits", "export it with 16 bits, signed")
    return kind


def samples_of(group: Group) -> Array:
    """Give the samples as they are stored: (T, L).

    Raises:
        Rejected: TRUNCATED or MALFORMED where there are fewer or more than promised, UNSUPPORTED, HEADER.
    """
    item, kind = group.item, interpretation_of(group)
    stored = np.dtype({**TYPES, **COMPANDED}[kind]).newbyteorder("<" if item.little else ">")
    if kind[0] == 8 and not item.little:
        found = "8-bit samples in big endian, whose bytes may be swapped"
        raise Rejected(Code.UNSUPPORTED, item.where, found, "little endian", "export it in little endian")
    data = item.data("WaveformData")
    expected = group.channels * group.samples * stored.itemsize
    if len(data) < expected:
        found = f"{len(data)} of {expected} bytes of samples"
        raise Rejected(Code.TRUNCATED, item.where, found, "all samples", "copy or export it again")
    if len(data) > expected + expected % 2:  # a value has an even length
        found = f"{len(data)} bytes where the header promises {expected}"
        raise Rejected(Code.MALFORMED, item.where, found, "a header that tells of all samples", "export it again")
    return np.frombuffer(data, stored, group.channels * group.samples).reshape(group.samples, group.channels)


def refuse_padding(group: Group, samples: Array) -> None:
    """Refuse samples that stand for none.

    Args:
        group: As read.
        samples: Of `samples_of`, or a part of them.

    Raises:
        Rejected: NOT_FINITE; HEADER where the padding value is none.
    """
    raw = group.item.data("WaveformPaddingValue")
    if not raw:
        return
    if len(raw) < samples.itemsize:
        raise group.item.impossible("WaveformPaddingValue", f"{len(raw)} bytes", f"{samples.itemsize}")
    missing = int((samples == np.frombuffer(raw, samples.dtype, 1)[0]).sum())
    if missing:
        found = f"{missing} samples that are marked as missing"
        raise Rejected(Code.NOT_FINITE, group.item.where, found, "a recording without gaps", "export a part without gaps")


def _needed(item: Attributes, keyword: str) -> int:
    value = item.whole(keyword)
    if value is None or value < 0:
        found = f"no usable {keyword}"
        raise Rejected(Code.HEADER, item.where, found, f"{keyword}, which the waveform cannot do without", "export it again")
    return value
