"""The file around a DICOM data set: prefix, file meta information, transfer syntax, and where the pixels lie.

Source: DICOM PS3.10, section 7.1 (file format); PS3.5, section 7 (data elements) and annex A (transfer syntaxes).
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes, tag_of
from medmm.readers.dicom_keywords import HEADER_KEYWORDS, PRIVATE
from medmm.readers.dicom_walk import UNDEFINED_LENGTH, BrokenError, CutOffError, Element, Encoding, Window, walk

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
TRANSFER_SYNTAX_TAG = 0x00020010


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
        attributes: The wanted attributes that are there.
        pixels: None where the file ends before any pixels.
    """

    file: Path
    where: str
    syntax: str
    attributes: Attributes
    pixels: PixelElement | None


def read_header(file: Path, where: str, keywords: tuple[str, ...] = HEADER_KEYWORDS, *, whole: bool = False) -> Header:
    """Read a DICOM file up to its pixels.

    Args:
        file: The file.
        where: Which file it is, in words that hold no patient.
        keywords: The attributes to keep.
        whole: Refuse a file that is cut off before any pixels.

    Raises:
        Rejected: MALFORMED (no DICOM file header, or a data set that cannot be parsed), TRUNCATED (it ends within the file
            meta information, or as `whole` says), TOO_LARGE (a deflated data set beyond `INFLATED_LIMIT_BYTES`).
    """
    with file.open("rb", buffering=0) as opened:
        window = Window(opened)
        syntax, place = _transfer_syntax(window, where)
        if syntax == DEFLATED:
            window, place = Window(_inflated(opened, place, where)), 0
        encoding = Encoding(explicit=syntax != IMPLICIT_LITTLE, little=syntax != EXPLICIT_BIG)
        try:
            dataset, stop = walk(window, place, encoding, _wanted(keywords), PIXEL_TAGS.__contains__, whole=whole)
        except BrokenError:
            raise _unparsable(where, "data set") from None
        except CutOffError:
            raise Rejected(
                Code.TRUNCATED, where, "a file that ends within its data set", "the whole file", "copy it again"
            ) from None
    return Header(file, where, syntax, Attributes(dataset, where), None if stop is None else _pixels(stop, window.size))


@contextmanager
def pixel_stream(file: Path, syntax: str, where: str) -> Iterator[BinaryIO]:
    """Open a file so that `PixelElement.offset` counts in it."""
    with file.open("rb") as opened:
        if syntax == DEFLATED:
            _, place = _transfer_syntax(Window(opened), where)
            yield _inflated(opened, place, where)
        else:
            yield opened


def _transfer_syntax(window: Window, where: str) -> tuple[str, int]:
    """Read prefix and file meta information: the transfer syntax, and where the data set starts."""
    if window.size < PREFIX_END or window.take(0, PREFIX_END)[-4:] != b"DICM":
        raise Rejected(Code.MALFORMED, where, "no DICOM file header", "the letters DICM at byte 128", "export as DICOM files")
    try:
        meta, stop = walk(
            window, PREFIX_END, Encoding(explicit=True, little=True), {TRANSFER_SYNTAX_TAG}, lambda tag: tag >> 16 != 2
        )
    except BrokenError:
        raise _unparsable(where, "file meta information") from None
    if stop is None:
        found = "a file that ends within its file meta information"
        raise Rejected(Code.TRUNCATED, where, found, "the whole file", "copy it again")
    syntax = Attributes(meta, where).text("TransferSyntaxUID")
    if not UID_FORM.fullmatch(syntax):
        raise Rejected(Code.MALFORMED, where, "no usable TransferSyntaxUID", "a transfer syntax", "export as DICOM files")
    return syntax, stop.start


def _inflated(file: BinaryIO, place: int, where: str) -> BinaryIO:
    """Give the data set of a deflated file."""
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    file.seek(place)
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
    return io.BytesIO(content)


@cache
def _wanted(keywords: tuple[str, ...]) -> frozenset[int]:
    """Give the tags that a header keeps, the private ones among them."""
    private = {tag for creator, _, marked in PRIVATE for tag in (creator, marked)}
    return frozenset(private.union(map(tag_of, keywords)))


def _pixels(element: Element, size: int) -> PixelElement:
    length = None if element.length == UNDEFINED_LENGTH else element.length
    return PixelElement(PIXEL_TAGS[element.tag], element.vr != b"OB", element.place, length, size - element.place)


def _unparsable(where: str, part: str) -> Rejected:
    return Rejected(Code.MALFORMED, where, f"a {part} that breaks off or contradicts itself", f"a {part}", "export it again")
