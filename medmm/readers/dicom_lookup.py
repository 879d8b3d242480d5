"""Lookup tables of a header: what a stored value stands for.

Source: DICOM PS3.3, sections C.11.1.1.1 (modality LUT), C.11.2.1.1 (VOI LUT), C.7.6.3.1.5, C.7.6.3.1.6 (palettes) and C.7.9.2
(segmented palettes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from medmm.readers.dicom_attributes import Attributes
from medmm.types import Array

DISCRETE, LINEAR, INDIRECT = range(3)
"""Kinds of segments: values as they are, a ramp, and segments that stand elsewhere in the table."""

SEGMENTS_LIMIT = 1 << 18
"""Most segments of a table of 65,536 entries; empty ones could otherwise go on for ever."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """One table. Stored values below the first take its first entry, those beyond the last its last.

    Attributes:
        first: Stored value of the first entry.
        bits: Of an entry.
        content: The entries as little-endian words of 8 or 16 bits.
    """

    first: int
    bits: int
    content: bytes

    def __call__(self, stored: Array) -> Array:
        """Give the entries of stored values, of the same shape."""
        entries = np.frombuffer(self.content, "<u2" if self.bits > 8 else "u1")
        return entries[np.clip(stored.astype(np.int64) - self.first, 0, len(entries) - 1)]


def modality_lookup(attributes: Attributes, signed: bool) -> Lookup | None:
    """Give the modality LUT; None where the header has none.

    Raises:
        Rejected: HEADER where it is incomplete, or where a rescaling stands beside it.
    """
    items = attributes.items("ModalityLUTSequence")
    if not attributes.has("ModalityLUTSequence"):
        return None
    slope, intercept = attributes.number("RescaleSlope"), attributes.number("RescaleIntercept")
    if len(items) != 1 or (slope, intercept) not in ((None, None), (1.0, 0.0)):
        raise attributes.impossible("ModalityLUTSequence", "no single table, or a rescaling beside it", "one of the two")
    return _lookup(items[0], "LUTDescriptor", "LUTData", signed)


def voi_lookup(attributes: Attributes, signed: bool) -> Lookup | None:
    """Give the first VOI LUT; None where the header has none.

    Raises:
        Rejected: HEADER where it is incomplete.
    """
    items = attributes.items("VOILUTSequence")
    return _lookup(items[0], "LUTDescriptor", "LUTData", signed) if items else None


def palette(attributes: Attributes, signed: bool) -> tuple[Lookup, Lookup, Lookup]:
    """Give the red, green and blue table of a palette.

    Raises:
        Rejected: HEADER where one is missing or incomplete.
    """
    red, green, blue = (
        _lookup(attributes, f"{name}PaletteColorLookupTableDescriptor", f"{name}PaletteColorLookupTableData", signed)
        for name in ("Red", "Green", "Blue")
    )
    return red, green, blue


def _lookup(attributes: Attributes, descriptor: str, data: str, signed: bool) -> Lookup:
    """Read a table: its descriptor states entries (0 for 65536), the first stored value, and bits of an entry."""
    described = attributes.vector(descriptor, 3)
    if described is None:
        raise attributes.missing(descriptor)
    entries, first, bits = (int(value) for value in described)
    entries = entries or 1 << 16
    first -= (1 << 16) if signed and first >= 1 << 15 else 0
    content = attributes.data(data)
    if not content and attributes.has(f"Segmented{data}"):
        expanded = _expanded(attributes.words16(f"Segmented{data}"), entries)
        if expanded is None:
            raise attributes.impossible(f"Segmented{data}", "segments that do not give the table", f"{entries} entries")
        return Lookup(first, 16, expanded.tobytes())
    if len(content) < entries:
        raise attributes.impossible(data, f"{len(content)} bytes", f"{entries} entries")
    if len(content) < 2 * entries:
        return Lookup(first, 8, content[:entries])
    return Lookup(first, max(bits, 9), attributes.words16(data)[:entries].astype("<u2").tobytes())


def _expanded(words: Array, entries: int) -> Array | None:
    """Expand segments to their entries; None where they break off, lead nowhere, or give another number of entries."""
    table = np.zeros(entries, "<u2")
    done = 0
    try:
        for kind, content in islice(_segments(words), SEGMENTS_LIMIT):
            ramp = kind == LINEAR
            values = np.rint(np.linspace(table[done - 1], content[1], int(content[0]) + 1)[1:]) if ramp else content
            if len(values) > entries - done or (ramp and not done):
                return None
            table[done : done + len(values)] = values
            done += len(values)
    except (IndexError, ValueError):
        return None
    return table if done == entries else None


def _segments(words: Array) -> Iterator[tuple[int, Array]]:
    """Give the segments in order: the values of a discrete one, length and last value of a linear one."""
    place = 0
    while place < len(words):
        kind, length = int(words[place]), int(words[place + 1])
        if kind != INDIRECT:
            place, segment = _segment(words, place)
            yield segment
            continue
        offset = (int(words[place + 2]) | int(words[place + 3]) << 16) // 2  # stated in bytes, low word first
        for _ in range(length):
            offset, segment = _segment(words, offset)
            yield segment
        place += 4


def _segment(words: Array, place: int) -> tuple[int, tuple[int, Array]]:
    """Read a segment that is not indirect, and where the next one starts."""
    kind, length = int(words[place]), int(words[place + 1])
    if kind not in (DISCRETE, LINEAR):
        raise ValueError("a kind of segment that cannot stand here")
    if kind == LINEAR:
        return place + 3, (kind, np.array((length, words[place + 2])))
    values = words[place + 2 : place + 2 + length]
    if len(values) < length:
        raise ValueError("a segment that breaks off")
    return place + 2 + length, (kind, values)
