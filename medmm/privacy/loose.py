"""Images that are no DICOM, without what their files say beside the pixels: NIfTI, PNG, JPEG.

Source: NIfTI-1 and NIfTI-2 headers (nifti1.h, nifti2.h); ISO/IEC 15948 (PNG chunks); ISO/IEC 10918-1, annex B (JPEG markers).
"""

import gzip
import struct
import zlib
from dataclasses import dataclass
from math import prod

from medmm.errors import Code, Rejected

INFLATED_LIMIT_BYTES = 4 << 30
GZIP = b"\x1f\x8b"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"sBIT", b"pHYs"))
"""Chunks without text, profiles or times."""

JPEG_JFIF, JPEG_ADOBE, JPEG_COMMENT, JPEG_SCAN, JPEG_END = 0xE0, 0xEE, 0xFE, 0xDA, 0xD9
JPEG_JFIF_BYTES, JPEG_ADOBE_BYTES = 16, 14
JPEG_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a segment."""


@dataclass(frozen=True)
class _Layout:
    """Where a NIfTI header holds what is needed here.

    Attributes:
        size: Of the header.
        texts: First and last byte (excluded) of its free texts.
        dim: Place and code of its eight sizes.
        bits: Place of the bits of a voxel.
        offset: Place and code of where the voxels begin.
    """

    size: int
    texts: tuple[tuple[int, int], ...]
    dim: tuple[int, str]
    bits: int
    offset: tuple[int, str]


ONE = _Layout(348, ((4, 38), (148, 252), (328, 344)), (40, "8h"), 72, (108, "f"))
"""NIfTI-1: data_type, db_name, extents and session_error; descrip and aux_file; intent_name."""

TWO = _Layout(540, ((240, 344), (508, 524), (525, 540)), (16, "8q"), 14, (168, "q"))
"""NIfTI-2: descrip and aux_file; intent_name; what is unused."""


def cleaned_nifti(content: bytes, where: str) -> bytes:
    """Give a NIfTI file without descriptions, names and extensions, its voxels as they are; compressed where it was.

    Raises:
        Rejected: UNSUPPORTED (a header apart from its voxels), TRUNCATED, MALFORMED.
    """
    if not content.startswith(GZIP):
        return _cleaned_nifti(content, where)
    try:
        inflater = zlib.decompressobj(wbits=31)
        plain = inflater.decompress(content, INFLATED_LIMIT_BYTES)
    except zlib.error:
        raise _malformed(where) from None
    if not inflater.eof:
        raise Rejected(Code.TRUNCATED, where, "compressed data without its end", "the whole file", "copy it again")
    return gzip.compress(_cleaned_nifti(plain, where), compresslevel=6, mtime=0)


def _cleaned_nifti(content: bytes, where: str) -> bytes:
    two = content[4:8] == b"n+2\0"
    if not two and content[344:348] != b"n+1\0":
        raise Rejected(Code.UNSUPPORTED, where, "a header apart from its voxels", "one file", "convert it to .nii.gz")
    layout = TWO if two else ONE
    order = "<" if content[:4] == struct.pack("<i", layout.size) else ">"
    try:
        rank, *sizes = struct.unpack_from(order + layout.dim[1], content, layout.dim[0])
        (bits,) = struct.unpack_from(f"{order}h", content, layout.bits)
        start = int(struct.unpack_from(order + layout.offset[1], content, layout.offset[0])[0])
    except (struct.error, ValueError, OverflowError):
        raise _malformed(where) from None
    if not 1 <= rank <= 7 or min(sizes[:rank]) < 1 or bits < 1 or start < layout.size:
        raise _malformed(where)
    length = (prod(sizes[:rank]) * bits + 7) // 8
    if len(content) < start + length:
        raise Rejected(Code.TRUNCATED, where, "fewer voxels than its header says", "the whole file", "copy it again")
    header = bytearray(content[: layout.size])
    for first, last in layout.texts:
        header[first:last] = bytes(last - first)
    return bytes(header) + bytes(start - layout.size) + content[start : start + length]


def cleaned_png(content: bytes, where: str) -> bytes:
    """Give a PNG file with its pixels and what they mean, and nothing else.

    Raises:
        Rejected: MALFORMED or TRUNCATED.
    """
    made, place = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while True:
        if len(content) < place + 12:
            raise Rejected(Code.TRUNCATED, where, "a file that ends within its chunks", "the whole file", "copy it again")
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if kind in PNG_KEPT:
            made.append(content[place:end])
        if kind == b"IEND":
            return b"".join(made)
        place = end


def cleaned_jpeg(content: bytes, where: str) -> bytes:
    """Give a JPEG file without comments and application data but what colours need; its scans are as they were.

    Raises:
        Rejected: MALFORMED or TRUNCATED.
    """
    made, place = [content[:2]], 2
    while True:
        while content[place : place + 2] == b"\xff\xff":
            place += 1
        if len(content) < place + 2:
            raise Rejected(Code.TRUNCATED, where, "a file that ends within its segments", "the whole file", "copy it again")
        if content[place] != 0xFF:
            raise _malformed(where)
        kind = content[place + 1]
        if kind == JPEG_END:
            return b"".join((*made, content[place : place + 2]))
        end = place + 2 if kind in JPEG_ALONE else place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        segment = content[place:end]
        if kind == JPEG_JFIF and segment[4:9] == b"JFIF\0":
            made.append(b"\xff\xe0\0\x10" + segment[4:JPEG_JFIF_BYTES] + b"\0\0")  # without its thumbnail
        elif kind == JPEG_ADOBE and segment[4:9] == b"Adobe":
            made.append(b"\xff\xee\0\x0e" + segment[4 : JPEG_ADOBE_BYTES + 2])
        elif not (0xE0 <= kind <= 0xEF or kind == JPEG_COMMENT):
            made.append(segment)
        if kind == JPEG_SCAN:
            scan_end = _scan_end(content, end)
            made.append(content[end:scan_end])
            end = scan_end
        place = end


def _scan_end(content: bytes, place: int) -> int:
    """Give where the entropy-coded data ends: at a marker that is no stuffed byte and no restart."""
    while True:
        place = content.find(b"\xff", place)
        if place < 0 or place + 1 >= len(content):
            return len(content)
        if content[place + 1] != 0 and not 0xD0 <= content[place + 1] <= 0xD7:
            return place
        place += 2


def _malformed(where: str) -> Rejected:
    return Rejected(Code.MALFORMED, where, "a file that contradicts itself", "a file of its format", "export it again")
