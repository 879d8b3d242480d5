"""The header of a WFDB record, read strictly: what it leaves out is not guessed, and what it names is a plain file beside it.

The package wfdb drops what it does not understand (of `µV` it leaves `V`), takes an uncalibrated signal to have 200 steps a mV,
a record without a rate to have 250 samples a second, and would open, or fetch, what a name points to.

Source: WFDB Applications Guide, header(5) and signal(5), https://physionet.org/physiotools/wag/header-5.htm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from medmm.errors import Code, Rejected

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"

RECORD = re.compile(
    rf"(?P<name>[-\w]+)(?P<segments>/\d+)?\s+(?P<signals>\d+)"
    rf"(?:\s+(?P<rate>{NUMBER})(?:/{NUMBER}(?:\({NUMBER}\))?)?(?:\s+(?P<samples>\d+)(?:\s+[\d:.]+(?:\s+[\d/]+)?)?)?)?",
    re.ASCII,
)
"""The first line: name, segments, number of signals, samples a second (and a counter's), samples, time, date."""

SIGNAL = re.compile(
    rf"(?P<file>\S+)\s+(?P<format>\d+)(?:x(?P<frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?"
    rf"(?:\s+(?P<gain>{NUMBER})(?:\((?P<baseline>-?\d+)\))?(?:/(?P<unit>\S+))?"
    r"(?:\s+(?P<bits>\d+)(?:\s+(?P<zero>-?\d+)(?:\s+(?P<first>-?\d+)(?:\s+(?P<checksum>-?\d+)"
    r"(?:\s+(?P<block>-?\d+)(?:\s+(?P<lead>.+))?)?)?)?)?)?)?"
)
"""A line a signal: file, format (samples a frame, skew, byte offset), gain (baseline) and unit, then what the samples are."""

FILE_NAME = re.compile(r"[-\w]+(\.\w+)?", re.ASCII)

SAMPLE_BYTES = {"16": (1, 2), "24": (1, 3), "32": (1, 4), "61": (1, 2), "80": (1, 1), "160": (1, 2), "212": (2, 3)}
"""Format that is read -> how many samples take how many bytes."""

HEADER_LIMIT_BYTES = 1 << 20
DIGITS = 18
"""Most digits of a whole number: one of them fits in 64 bits."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a record.

    Attributes:
        file: Name of its signal file.
        format: Of its samples, one of `SAMPLE_BYTES`.
        offset: Bytes of the file before the first sample.
        gain: Steps a unit.
        baseline: Sample that stands for 0.
        unit: As it is written; `mV` where the header leaves it out, as the format has it.
        first: Its first sample; None where that is not stated.
        checksum: Sum of its samples, of which the last 16 bits count; None where that is not stated.
        lead: As it is written; "" where it is not.
    """

    file: str
    format: str
    offset: int
    gain: float
    baseline: int
    unit: str
    first: int | None
    checksum: int | None
    lead: str


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """A record of one segment.

    Attributes:
        rate_hz: Samples a second.
        samples: Of each signal; None where the header does not count them.
    """

    rate_hz: float
    samples: int | None
    signals: tuple[Signal, ...]


def parse_header(content: bytes, where: str) -> RecordHeader:
    """Read a header.

    Args:
        content: Of the `.hea` file.
        where: Which file it is, in words that hold no patient.

    Raises:
        Rejected: MALFORMED; RATE where none is stated; UNIT where a signal is not calibrated; EMPTY without a signal;
            UNSUPPORTED (several segments, several samples a frame, a skew, or a format that is not read); TOO_LARGE.
    """
    if len(content) > HEADER_LIMIT_BYTES:
        limit = f"at most {HEADER_LIMIT_BYTES >> 20} MiB"
        raise Rejected(Code.TOO_LARGE, where, "a header beyond the limit", limit, "export the record again")
    text = content.decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    record = RECORD.fullmatch(lines[0]) if lines else None
    if record is None:
        raise malformed(where, "no record line", "the name, signals, rate and length of a record")
    if record["segments"]:
        raise _unsupported(where, "a record of several segments", "one segment")
    count, samples = _whole(record["signals"], where), record["samples"]
    if count == 0:
        raise Rejected(Code.EMPTY, where, "a record without signals", "at least one", "give the record of the signals")
    rate = float(record["rate"]) if record["rate"] else 0.0
    if not 0 < rate < float("inf"):
        raise Rejected(Code.RATE, where, "no usable sampling rate", "samples a second", "state it in the header")
    if len(lines) != 1 + count:
        raise malformed(where, f"{len(lines) - 1} signal lines for {count} signals", "a line for each")
    signals = tuple(_signal(line, f"{where}, signal {number}") for number, line in enumerate(lines[1:], start=1))
    return RecordHeader(rate, (_whole(samples, where) or None) if samples else None, signals)


def malformed(where: str, found: str, expected: str) -> Rejected:
    """Say that a record breaks its format."""
    return Rejected(Code.MALFORMED, where, found, expected, "export the record again")


def _signal(line: str, where: str) -> Signal:
    found = SIGNAL.fullmatch(line)
    if found is None:
        raise malformed(where, "no signal line", "file, format, gain and unit of a signal")
    if not FILE_NAME.fullmatch(found["file"]):
        raise malformed(where, "a signal file that lies elsewhere", "the plain name of a file beside the header")
    if found["format"] not in SAMPLE_BYTES:
        raise _unsupported(where, "a format that is not read", f"one of {', '.join(SAMPLE_BYTES)}")
    if found["frame"] not in (None, "1"):
        raise _unsupported(where, "several samples a frame", "one rate for all signals")
    if (found["skew"] or "").strip("0"):
        raise _unsupported(where, "a signal with a skew", "signals that start together")
    gain = float(found["gain"] or 0)
    if gain == 0:
        expected = "how many steps a unit has"
        raise Rejected(Code.UNIT, where, "a signal that is not calibrated", expected, "state the gain in the header")
    if not abs(gain) < float("inf"):
        raise malformed(where, "a gain without end", "a number")
    return Signal(
        file=found["file"],
        format=found["format"],
        offset=_whole(found["offset"] or "0", where),
        gain=gain,
        baseline=_whole(found["baseline"] or found["zero"] or "0", where),
        unit=found["unit"] or "mV",
        first=None if found["first"] is None else _whole(found["first"], where),
        checksum=None if found["checksum"] is None else _whole(found["checksum"], where),
        lead=found["lead"] or "",
    )


def _whole(text: str, where: str) -> int:
    if len(text) > DIGITS:
        raise malformed(where, f"a number of more than {DIGITS} digits", "a possible number")
    return int(text)


def _unsupported(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.UNSUPPORTED, where, found, expected, "convert the record, with wfdb's xform for example")
