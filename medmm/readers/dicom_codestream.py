"""Compressed frames: finding them in a file, and holding what they say of themselves against the header.

Decoders fill the rest of a frame that is cut off, and take their size from the frame rather than from the header. So a frame
is believed only where it is whole and as large as the header says.

Source: DICOM PS3.5, annex A.4 (encapsulation) and G (RLE); ISO/IEC 10918-1 annex B, 14495-1 annex C, 15444-1 annex A.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import BinaryIO, TypeAlias

from medmm.errors import Code, Rejected
from medmm.readers.dicom_format import JPEG2000, PixelFormat

ITEM = b"\xfe\xff\x00\xe0"
DELIMITER = b"\xfe\xff\xdd\xe0"
END_OF_IMAGE = b"\xff\xd9"
FILL = b"\0\xff"
"""What encoders fill a fragment of odd length with."""

JPEG_START = b"\xff\xd8"
JPEG2000_START = b"\xff\x4f\xff\x51"
JPEG2000_CODING = b"\xff\x52"

JPEG_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Start of frame of JPEG and JPEG-LS; the three left out are tables and an extension."""

LOSSLESS_FRAME, RESTART_INTERVAL, START_OF_SCAN = 0xC3, 0xDD, 0xDA

BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers that no length follows."""

RLE = "1.2.840.10008.1.2.5"
RLE_HEADER = struct.Struct("<16I")


Places: TypeAlias = list[list[tuple[int, int]]]
"""Of each frame its fragments, each (first byte, length)."""

ADOBE = b"Adobe"
ADOBE_TRANSFORM = 15
"""Byte of an APP14 segment that says whether colours are YCbCr (1) or not transformed (0), counted from its marker."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """What a compressed frame says of itself.

    Attributes:
        bits: Of a sample.
        transformed: Whether its colours are YCbCr; None where it does not say.
        lossless: Whether it is lossless JPEG.
        restarts: Whether its coder may start anew in the middle, or bytes of fill stand between its markers.
        dropped_bits: Low bits that it leaves out (the point transform of lossless JPEG).
    """

    rows: int
    columns: int
    samples: int
    bits: int
    transformed: bool | None
    lossless: bool = False
    restarts: bool = False
    dropped_bits: int = 0


def frame_places(stream: BinaryIO, offset: int, frames: int, where: str) -> Places:
    """Find the fragments of each frame.

    Args:
        stream: The file.
        offset: Where the encapsulated value starts.
        frames: How many frames the header states.
        where: Which file it is.

    Returns:
        For each frame its fragments, each (first byte, length).

    Raises:
        Rejected: TRUNCATED where the value does not reach its delimiter; MALFORMED where fragments and frames do not match.
    """
    (table_place, table_length), *fragments = _items(stream, offset, where)
    if frames == 1 and fragments:
        return [fragments]
    if len(fragments) == frames:
        return [[fragment] for fragment in fragments]
    stream.seek(table_place)
    starts = struct.unpack(f"<{table_length // 4}I", stream.read(table_length // 4 * 4))
    if not fragments or len(starts) != frames:
        found = f"{len(fragments)} fragments and {len(starts)} offsets for {frames} frames"
        raise _contradiction(where, found, "fragments that can be told apart by frame")
    return _by_offset(fragments, starts, where)


def check_codestream(frame: bytes, stored: PixelFormat, where: str) -> Codestream | None:
    """Refuse a compressed frame that is cut off, or that contradicts the header.

    Returns:
        What the frame says of itself; None for RLE, which says nothing.

    Raises:
        Rejected: TRUNCATED, MALFORMED, or UNSUPPORTED for what its decoder gets wrong.
    """
    if stored.syntax == RLE:
        _check_rle(frame, stored, where)
        return None
    if not frame.rstrip(FILL).endswith(END_OF_IMAGE):
        raise _cut_off(where, "a compressed frame without its end")
    try:
        found = _jpeg2000(frame) if stored.syntax in JPEG2000 else _jpeg(frame)
    except (struct.error, IndexError):
        found = None
    if found is None:
        raise _contradiction(where, "a compressed frame that does not state its size", "JPEG or JPEG 2000")
    if (found.rows, found.columns, found.samples) != (stored.rows, stored.columns, stored.samples):
        size = f"a compressed frame of {found.rows} x {found.columns} x {found.samples}"
        raise _contradiction(where, size, f"{stored.rows} x {stored.columns} x {stored.samples} as in the header")
    if found.bits > stored.bits_allocated:
        raise _contradiction(where, f"a compressed frame of {found.bits} bits", f"at most {stored.bits_allocated}")
    if found.lossless and found.dropped_bits:
        repair = "leave the series out, or convert it"
        raise Rejected(Code.UNSUPPORTED, where, "lossless JPEG without its low bits", "all bits", repair)
    if stored.samples == 3 and found.transformed is not None:
        plain = stored.photometric == "RGB"
        if found.transformed == plain and not (plain and stored.syntax in JPEG2000):
            raise _contradiction(where, "colours in another space than the header states", stored.photometric)
    return found


def _items(stream: BinaryIO, offset: int, where: str) -> list[tuple[int, int]]:
    """List the items of an encapsulated value: first the offset table, then the fragments."""
    items = []
    while True:
        stream.seek(offset)
        head = stream.read(8)
        if len(head) < 8:
            raise _cut_off(where, "compressed pixels without their end")
        if head[:4] == DELIMITER:
            break
        (length,) = struct.unpack("<I", head[4:])
        if head[:4] != ITEM:
            raise _contradiction(where, "compressed pixels out of step", "an item or the delimiter")
        items.append((offset + 8, length))
        offset += 8 + length
    if not items:
        raise _contradiction(where, "compressed pixels without an offset table", "at least an empty one")
    return items


def _by_offset(fragments: Sequence[tuple[int, int]], starts: Sequence[int], where: str) -> list[list[tuple[int, int]]]:
    base = fragments[0][0]
    numbers = {place - base: number for number, (place, _) in enumerate(fragments)}
    firsts = [numbers.get(start, -1) for start in starts]
    if firsts[0] != 0 or any(later <= earlier for earlier, later in pairwise(firsts)):
        raise _contradiction(where, "an offset table that misses the frames", "offsets of fragments")
    return [list(fragments[first:last]) for first, last in zip(firsts, [*firsts[1:], len(fragments)], strict=True)]


def _check_rle(frame: bytes, stored: PixelFormat, where: str) -> None:
    """Check the segments of an RLE frame: one for each byte of each sample, in order, within the frame."""
    if len(frame) < RLE_HEADER.size:
        raise _cut_off(where, "an RLE frame shorter than its header")
    count, *offsets = RLE_HEADER.unpack_from(frame)
    demanded = stored.samples * stored.bits_allocated // 8
    used = [*offsets[:demanded], len(frame)]
    if count != demanded or used[0] != RLE_HEADER.size or used != sorted(set(used)):
        raise _contradiction(where, f"{count} RLE segments", f"{demanded} within the frame")


def _jpeg(frame: bytes) -> Codestream | None:
    """Walk the marker segments to the start of the first scan, past the start of the frame."""
    if not frame.startswith(JPEG_START):
        return None
    place, restarts = 2, False
    transformed: bool | None = None
    found: Codestream | None = None
    while frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xFF:
            place, restarts = place + 1, True
            continue
        if marker in BARE_MARKERS:
            place += 2
            continue
        if marker in JPEG_FRAME_MARKERS:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, place + 4)
            found = Codestream(rows, columns, samples, bits, None, marker == LOSSLESS_FRAME)
        if marker == 0xEE and frame.startswith(ADOBE, place + 4):
            transformed = frame[place + ADOBE_TRANSFORM] == 1
        (length,) = struct.unpack_from(">H", frame, place + 2)
        restarts |= marker == RESTART_INTERVAL and frame[place + 4 : place + 6] != b"\0\0"
        if marker == START_OF_SCAN:
            dropped = frame[place + 1 + length] & 0x0F
            return None if found is None else replace(found, transformed=transformed, restarts=restarts, dropped_bits=dropped)
        place += 2 + length
    return None


def _jpeg2000(frame: bytes) -> Codestream | None:
    """Read the SIZ segment, which comes first, and the colour transform in the COD segment."""
    if not frame.startswith(JPEG2000_START):
        return None
    right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
    samples, bits = struct.unpack_from(">HB", frame, 40)
    place = 2
    while frame[place : place + 2] != JPEG2000_CODING:
        place += 2 + struct.unpack_from(">H", frame, place + 2)[0]
    return Codestream(bottom - top, right - left, samples, (bits & 0x7F) + 1, frame[place + 8] == 1)


def _contradiction(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.MALFORMED, where, found, expected, "export the file again")


def _cut_off(where: str, found: str) -> Rejected:
    return Rejected(Code.TRUNCATED, where, found, "the whole file", "copy it again")
