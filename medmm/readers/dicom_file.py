"""The file around a DICOM data set: prefix, file meta information, transfer syntax, and where the pixels lie.

Source: DICOM PS3.10, section 7.1 (file format); PS3.5, section 7 (data elements) and annex A (transfer syntaxes).
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO, cast

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes, tag_of
from medmm.readers.dicom_keywords import HEADER_KEYWORDS, PRIVATE_TILES
from medmm.readers.quiet import quiet

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

UID_FORM = re.compile(r"[0-9.]{1,64}")
PREFIX_END = 132
"""128 bytes of preamble and the letters DICM."""

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = frozenset({IMPLICIT_LITTLE, "1.2.840.10008.1.2.1", EXPLICIT_BIG, DEFLATED})
"""Transfer syntaxes that store pixels uncompressed and unencapsulated."""

INFLATED_LIMIT_BYTES = 256 << 20
"""Most that a deflated data set may grow to; 300 KB can otherwise fill the memory."""

PIXEL_TAGS = {0x7FE00010: "PixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00008: "FloatPixelData"}
UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the pixels of a file lie.

    Attributes:
        keyword: PixelData, FloatPixelData or DoubleFloatPixelData.
        words: Whether the value is one of 16-bit words (VR OW), whose bytes swap in big endian even where pixels have 8 bits.
        offset: First byte of the value in the (inflated) file.
        length: Stated length in bytes; None where the value is encapsulated and ends with a delimiter.
        available: Bytes from `offset` to the end of the file.
    """

    keyword: str
    words: bool
    offset: int
    length: int | None
    available: int


@dataclass(frozen=True, slots=True)
class Header:
    """All of a file but its pixels.

    Attributes:
        file: The file.
        where: Which file it is, in words that hold no patient.
        syntax: Transfer Syntax UID.
        attributes: The attributes of `HEADER_KEYWORDS` that are there.
        pixels: None where the file ends before any pixels.
    """

    file: Path
    where: str
    syntax: str
    attributes: Attributes
    pixels: PixelElement | None


def read_header(file: Path, where: str) -> Header:
    """Read a DICOM file up to its pixels.

    Raises:
        Rejected: MALFORMED (no DICOM file header, or a data set that cannot be parsed), TRUNCATED (it ends within the file
            meta information), TOO_LARGE (a deflated data set beyond `INFLATED_LIMIT_BYTES`).
    """
    with file.open("rb") as opened:
        syntax = _transfer_syntax(opened, where)
        with _inflated(opened, syntax, where) as stream:
            dataset = _parse(stream, syntax, where)
            pixels = _find_pixels(stream, syntax)
    return Header(file, where, syntax, Attributes(dataset, where), pixels)


@contextmanager
def pixel_stream(file: Path, syntax: str, where: str) -> Iterator[BinaryIO]:
    """Open a file so that `PixelElement.offset` counts in it."""
    with file.open("rb") as opened:
        if syntax == DEFLATED:
            _transfer_syntax(opened, where)
        with _inflated(opened, syntax, where) as stream:
            yield stream


def _transfer_syntax(file: BinaryIO, where: str) -> str:
    """Read prefix and file meta information, and leave the file where the data set starts."""
    from pydicom.filereader import read_dataset

    if file.read(PREFIX_END)[-4:] != b"DICM":
        raise Rejected(Code.MALFORMED, where, "no DICOM file header", "the letters DICM at byte 128", "export as DICOM files")
    try:
        with quiet():
            meta = read_dataset(_nameless(file), False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    except Exception:  # noqa: BLE001 - pydicom raises what broke: struct.error, KeyError, ValueError, ...
        raise _unparsable(where, "file meta information") from None
    syntax = Attributes(meta, where).text("TransferSyntaxUID")
    if not UID_FORM.fullmatch(syntax):
        raise Rejected(Code.MALFORMED, where, "no usable TransferSyntaxUID", "a transfer syntax", "export as DICOM files")
    return syntax


@contextmanager
def _inflated(file: BinaryIO, syntax: str, where: str) -> Iterator[BinaryIO]:
    """Give a stream of the data set; that of a deflated one starts at its first byte, others go on in their file."""
    if syntax != DEFLATED:
        yield file
        return
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(file.read(), INFLATED_LIMIT_BYTES)
    except zlib.error:
        raise Rejected(
            Code.MALFORMED, where, "deflated data that cannot be inflated", "a deflated data set", "export it again"
        ) from None
    if inflater.unconsumed_tail:
        limit = f"at most {INFLATED_LIMIT_BYTES >> 20} MiB"
        raise Rejected(Code.TOO_LARGE, where, "a deflated data set beyond the limit", limit, "export it uncompressed")
    if not inflater.eof:
        raise Rejected(Code.TRUNCATED, where, "deflated data without its end", "the whole file", "copy it again")
    yield io.BytesIO(content)


def _parse(stream: BinaryIO, syntax: str, where: str) -> Dataset:
    from pydicom.filereader import read_dataset

    tags = [*map(tag_of, HEADER_KEYWORDS), *(tag for creator, _, private in PRIVATE_TILES for tag in (creator, private))]
    try:
        with quiet():
            return read_dataset(
                _nameless(stream),
                syntax == IMPLICIT_LITTLE,
                syntax != EXPLICIT_BIG,
                stop_when=lambda tag, vr, length: tag in PIXEL_TAGS,
                specific_tags=list(tags),
            )
    except Exception:  # noqa: BLE001 - pydicom raises what broke: struct.error, KeyError, ValueError, RecursionError, ...
        raise _unparsable(where, "data set") from None


def _find_pixels(stream: BinaryIO, syntax: str) -> PixelElement | None:
    """Read tag and length of the element that the stream stands at (PS3.5, section 7.1)."""
    start = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    stream.seek(start)
    head = stream.read(12)
    if len(head) < 12:
        return None
    order = ">" if syntax == EXPLICIT_BIG else "<"
    group, element = struct.unpack(f"{order}HH", head[:4])
    keyword = PIXEL_TAGS.get(group << 16 | element)
    if keyword is None:
        return None
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    (length,) = struct.unpack(f"{order}I", head[8:12] if explicit else head[4:8])
    offset = start + (12 if explicit else 8)
    return PixelElement(keyword, head[4:6] != b"OB", offset, None if length == UNDEFINED_LENGTH else length, size - offset)


def _nameless(stream: BinaryIO) -> BinaryIO:
    """Hide the stream's name, which pydicom would put into its log, where no path may stand."""
    return cast(BinaryIO, SimpleNamespace(read=stream.read, seek=stream.seek, tell=stream.tell))


def _unparsable(where: str, part: str) -> Rejected:
    return Rejected(Code.MALFORMED, where, f"a {part} that breaks off or contradicts itself", f"a {part}", "export it again")
