"""The header of an EDF or BDF file, read strictly, because edfio mends what it should refuse.

It takes a file that was cut off for a shorter recording, and signals whose scale is broken for numbers without a unit, and says
so in warnings that quote the file. Who was recorded, by whom and when, is stepped over here.

Source: Kemp et al., Electroencephalogr Clin Neurophysiol 82 (1992) 391-393 (EDF); Kemp and Olivan, Clin Neurophysiol 114 (2003)
1755-1761 (EDF+); BioSemi, "Which file format does BioSemi use" (BDF).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from medmm.errors import Code, Rejected

HEADER_BYTES = 256
"""Of the file, and again of each signal."""

SIGNALS_LIMIT = 4096
VERSIONS = {b"0       ": ("EDF", 2), b"\xffBIOSEMI": ("BDF", 3)}
"""First bytes -> format, and bytes of a sample."""

FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
"""Bytes of each field of a signal, which stand field by field: label, transducer, unit, physical minimum and maximum, digital
minimum and maximum, filters, samples a record, reserved."""

LABEL, UNIT, PHYSICAL_MIN, PHYSICAL_MAX, DIGITAL_MIN, DIGITAL_MAX, SAMPLES = 0, 2, 3, 4, 5, 6, 8

WHOLE = re.compile(r"[+-]?\d{1,8}", re.ASCII)
DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class EdfSignal:
    """One signal.

    Attributes:
        label: As it is written.
        unit: As it is written.
        samples: A record.
        annotations: Whether it holds text instead of samples.
    """

    label: str
    unit: str
    samples: int
    annotations: bool


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """A header that agrees with itself.

    Attributes:
        format: `EDF` or `BDF`.
        sample_bytes: 2 or 3.
        records: How many there are.
        record_seconds: Duration of each.
        signals: All, annotations among them.
    """

    format: str
    sample_bytes: int
    records: int
    record_seconds: float
    signals: tuple[EdfSignal, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        samples = sum(signal.samples for signal in self.signals)
        return HEADER_BYTES * (1 + len(self.signals)) + self.records * samples * self.sample_bytes


def parse_header(content: bytes, where: str) -> EdfHeader:
    """Read a header.

    Args:
        content: The file, at least as far as its header goes.
        where: Which file it is, in words that hold no patient.

    Raises:
        Rejected: NOT_A_SIGNAL (no EDF or BDF), TRUNCATED, UNSUPPORTED (a recording with gaps), or MALFORMED.
    """
    if content[:8] not in VERSIONS:
        raise Rejected(Code.NOT_A_SIGNAL, where, "no EDF or BDF", "an EDF or BDF file", "leave it out")
    if len(content) < HEADER_BYTES:
        raise _cut(where)
    name, sample_bytes = VERSIONS[content[:8]]
    if content[192:236].rstrip() == f"{name}+D".encode():
        found = "a recording with gaps"
        raise Rejected(Code.UNSUPPORTED, where, found, "one without", f"export it as {name}+C, a part at a time")
    count = _whole(content[252:256], where, "the number of signals")
    if not 1 <= count <= SIGNALS_LIMIT:
        raise malformed(where, f"{count} signals", f"1 to {SIGNALS_LIMIT}")
    size = HEADER_BYTES * (1 + count)
    if _whole(content[184:192], where, "the size of the header") != size:
        raise malformed(where, "another size of the header than its signals take", f"{size} bytes")
    if len(content) < size:
        raise _cut(where)
    records = _whole(content[236:244], where, "the number of records")
    if records == -1:
        raise Rejected(
            Code.TRUNCATED, where, "a recording that was never closed", "a whole one", "close or repair the recording"
        )
    if records < 1:
        raise Rejected(Code.EMPTY, where, f"{records} records", "at least one", "export it again")
    start, columns = HEADER_BYTES, list[list[bytes]]()
    for width in FIELDS:
        columns.append([content[start + width * place : start + width * (place + 1)] for place in range(count)])
        start += width * count
    rows = enumerate(zip(*columns, strict=True), start=1)
    signals = tuple(_signal(fields, name, f"{where}, signal {number}") for number, fields in rows)
    seconds = _decimal(content[244:252], where, "the duration of a record")
    if not seconds > 0 and not all(signal.annotations for signal in signals):
        raise Rejected(Code.RATE, where, f"records of {seconds:g} seconds", "a duration", "correct the header at its source")
    return EdfHeader(name, sample_bytes, records, seconds, signals)


def malformed(where: str, found: str, expected: str) -> Rejected:
    """Say that a file breaks its format."""
    return Rejected(Code.MALFORMED, where, found, expected, "correct the header at its source, or export the file again")


def _signal(fields: Sequence[bytes], name: str, where: str) -> EdfSignal:
    label = fields[LABEL].decode("latin-1").rstrip()
    annotations = label == f"{name} Annotations"
    samples = _whole(fields[SAMPLES], where, "the samples of a record")
    if samples < 1:
        raise malformed(where, f"{samples} samples a record", "at least one")
    if not annotations:
        lowest, highest = (_whole(fields[place], where, "the digital range") for place in (DIGITAL_MIN, DIGITAL_MAX))
        if lowest >= highest:
            raise malformed(where, f"a digital range from {lowest} to {highest}", "a minimum below the maximum")
        low, high = (_decimal(fields[place], where, "the physical range") for place in (PHYSICAL_MIN, PHYSICAL_MAX))
        if not 0 < abs(high - low) / (highest - lowest) < math.inf:  # a negative one is upside down, which the format allows
            raise malformed(where, "a physical range without extent", "a minimum and a maximum")
    return EdfSignal(label, fields[UNIT].decode("latin-1").strip(), samples, annotations)


def _whole(raw: bytes, where: str, what: str) -> int:
    text = raw.decode("latin-1").strip(" ")
    if not WHOLE.fullmatch(text):
        raise malformed(where, f"no whole number for {what}", "one")
    return int(text)


def _decimal(raw: bytes, where: str, what: str) -> float:
    text = raw.decode("latin-1").strip(" ")
    if not DECIMAL.fullmatch(text) or not math.isfinite(float(text)):
        raise malformed(where, f"no number for {what}", "one")
    return float(text)


def _cut(where: str) -> Rejected:
    return Rejected(Code.TRUNCATED, where, "a file that ends within its header", "the whole file", "copy it again")
