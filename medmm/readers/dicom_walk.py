"""A walk over the bytes of a DICOM data set: the wanted attributes are kept as they stand, all others stepped over.

Nothing is converted here, so nothing of a patient can end in a warning or a log, and a header costs some microseconds.

Source: DICOM PS3.5, section 7.1 (data elements), 7.5 (nesting of data sets) and 6.2.2 (values of unknown representation).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO, NamedTuple, TypeAlias

LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""Value representations whose length takes four bytes (PS3.5, table 7.1-1)."""

SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
"""Value representations whose length takes two bytes."""

SEQUENCE_VRS = frozenset((b"SQ", b"UN", b""))
"""Where the length is undefined, these hold items of data sets; all others fragments of bytes (PS3.5, section 6.2.2)."""

UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

DEPTH_LIMIT = 16
"""Sequences within sequences; the deepest reports of the standard need about ten."""

KEPT_LIMIT = 1 << 21
"""Most values and items kept of one file: an enhanced object of 10,000 frames has some 600,000."""

PIECE_BYTES = 1 << 13
"""Bytes read at a time: most headers are smaller."""


class CutOffError(Exception):
    """The bytes end within what they announce."""


class BrokenError(Exception):
    """The bytes contradict themselves, or nest or repeat beyond the limits."""


class Encoding(NamedTuple):
    """How a data set is written."""

    explicit: bool
    little: bool


@dataclass(frozen=True, slots=True)
class DataSet:
    """Attributes of a data set, or of an item of a sequence.

    Attributes:
        values: Tag -> bytes as they stand in the file.
        items: Tag -> the items of a sequence.
        little: Whether numbers are little endian.
    """

    little: bool = True
    values: dict[int, bytes] = field(default_factory=dict)
    items: dict[int, list[DataSet]] = field(default_factory=dict)


class Element(NamedTuple):
    """The head of a data element.

    Attributes:
        vr: Value representation; empty where the encoding is implicit.
        length: Of the value; `UNDEFINED_LENGTH` where a delimiter ends it.
        place: First byte of the value.
    """

    tag: int
    vr: bytes
    length: int
    place: int

    @property
    def start(self) -> int:
        """First byte of the element."""
        return self.place - (12 if self.vr in LONG_VRS else 8)


Head: TypeAlias = tuple[int, bytes, int, int]
"""The fields of an `Element`; a plain tuple costs half as much to make."""


HEAD_BYTES = 8
_HEADS = {True: struct.Struct("<HHI").unpack_from, False: struct.Struct(">HHI").unpack_from}
_SHORT_HEADS = {True: struct.Struct("<HH2sH").unpack_from, False: struct.Struct(">HH2sH").unpack_from}


class Window:
    """A file seen through a piece of it that is in memory.

    Args:
        stream: Any that can be searched.

    Attributes:
        size: Bytes in all.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = stream.seek(0, io.SEEK_END)
        self._start = 0
        self._piece = b""

    def take(self, place: int, length: int) -> bytes:
        """Give the bytes at a place.

        Raises:
            CutOffError: There are fewer.
        """
        begin = place - self._start
        taken = self._piece[begin : begin + length] if begin >= 0 else b""
        if len(taken) == length:
            return taken
        if place + length > self.size:
            raise CutOffError
        self._stream.seek(place)
        self._piece = self._stream.read(max(length, PIECE_BYTES))
        self._start = place
        if len(self._piece) < length:
            raise CutOffError
        return self._piece[:length]

    def piece(self) -> tuple[bytes, int]:
        """Give the piece that is in memory, and its place."""
        return self._piece, self._start

    def head(self, place: int, encoding: Encoding) -> Head:
        """Read the head of an element.

        Where an explicit data set holds one without a value representation, some writers have gone over to implicit there.

        Raises:
            CutOffError: The file ends within it.
        """
        explicit, little = encoding
        begin = place - self._start
        piece = self._piece
        if not 0 <= begin <= len(piece) - HEAD_BYTES:
            piece, begin = self.take(place, HEAD_BYTES), 0
        if explicit:
            group, number, vr, length = _SHORT_HEADS[little](piece, begin)
            if vr in SHORT_VRS:
                return group << 16 | number, vr, length, place + 8
            if vr in LONG_VRS:
                length = int.from_bytes(self.take(place + 8, 4), "little" if little else "big")
                return group << 16 | number, vr, length, place + 12
            if vr.isalpha() and vr.isupper():  # of a later edition
                return group << 16 | number, vr, length, place + 8
        group, number, length = _HEADS[little](piece, begin)
        return group << 16 | number, b"", length, place + 8


def walk(
    window: Window,
    place: int,
    encoding: Encoding,
    wanted: Collection[int],
    stops: Callable[[int], bool],
    *,
    whole: bool = False,
) -> tuple[DataSet, Element | None]:
    """Walk a data set up to an element at which to stop.

    Args:
        window: The file.
        place: Where the data set starts.
        encoding: As the transfer syntax says. A data set that is evidently explicit or implicit is taken as what it is.
        wanted: Tags to keep, with all that stands in their sequences.
        stops: Tells a tag to stop at.
        whole: Refuse a file that is cut off before one.

    Returns:
        What was kept, and the element at which the walk stopped; None where the file ends, or is cut off, before one.

    Raises:
        BrokenError: The data set contradicts itself.
        CutOffError: The file is cut off, and `whole` was asked for.
    """
    return _Walk(window, stops, whole).top(place, _evident(window, place, encoding), wanted)


class _Walk:
    """One walk over one data set; it counts what it keeps."""

    def __init__(self, window: Window, stops: Callable[[int], bool], whole: bool) -> None:
        self._window = window
        self._stops = stops
        self._whole = whole
        self._kept = 0

    def top(self, place: int, encoding: Encoding, wanted: Collection[int]) -> tuple[DataSet, Element | None]:
        found = DataSet(encoding.little)
        window, stops = self._window, self._stops
        try:
            while place < window.size:
                place = self._short(found, place, encoding, wanted)
                if place == window.size:
                    break
                tag, vr, length, place = head = window.head(place, encoding)
                if stops(tag):
                    return found, Element(*head)
                if tag in wanted:
                    place = self._keep(found, head, encoding, 0)
                elif length != UNDEFINED_LENGTH:
                    place += length
                else:
                    place = self._skip(vr, place, encoding, 0)
        except CutOffError:
            if self._whole:
                raise
        return found, None

    def _short(self, found: DataSet, place: int, encoding: Encoding, wanted: Collection[int]) -> int:
        """Go through elements of a short length as long as they lie in memory, and give the place after them.

        It does no more than the loop of `top`, but most elements are of this kind, and it takes a third of the time.
        """
        piece, start = self._window.piece()
        begin, end = place - start, len(piece)
        if not encoding.explicit or begin < 0:
            return place
        unpack, stops, values = _SHORT_HEADS[encoding.little], self._stops, found.values
        while begin + HEAD_BYTES <= end:
            group, number, vr, length = unpack(piece, begin)
            tag, after = group << 16 | number, begin + HEAD_BYTES + length
            if vr not in SHORT_VRS or after > end or stops(tag):
                break
            if tag in wanted:
                self._kept += 1
                value = piece[begin + HEAD_BYTES : after]
                if values.setdefault(tag, value) != value or self._kept > KEPT_LIMIT:
                    raise BrokenError
            begin = after
        return start + begin

    def _keep(self, found: DataSet, head: Head, encoding: Encoding, depth: int) -> int:
        """Put an element into a data set, and give the place after it."""
        tag, vr, length, place = head
        self._kept += 1
        if self._kept > KEPT_LIMIT:
            raise BrokenError
        if vr == b"SQ" or (vr in SEQUENCE_VRS and (length == UNDEFINED_LENGTH or _is_known_sequence(tag))):
            if tag in found.items:
                raise BrokenError
            found.items[tag] = []
            return self._items(found.items[tag], place, length, _inner(encoding, vr), depth + 1)
        if length == UNDEFINED_LENGTH:
            return self._fragments(place, encoding)
        value = self._window.take(place, length)
        if found.values.setdefault(tag, value) != value:
            raise BrokenError
        return place + length

    def _items(self, kept: list[DataSet], place: int, length: int, encoding: Encoding, depth: int) -> int:
        """Walk the items of a sequence, and give the place after it."""
        if depth > DEPTH_LIMIT:
            raise BrokenError
        end = None if length == UNDEFINED_LENGTH else place + length
        while end is None or place < end:
            tag, _, size, place = self._window.head(place, _bare(encoding))
            if tag == SEQUENCE_END and end is None:
                return place
            if tag != ITEM:
                raise BrokenError
            self._kept += 1
            kept.append(DataSet(encoding.little))
            place = self._item(kept[-1], place, size, _item_encoding(self._window, place, encoding), depth)
        if place != end:
            raise BrokenError
        return place

    def _item(self, kept: DataSet, place: int, length: int, encoding: Encoding, depth: int) -> int:
        """Walk one item, keeping all of it, and give the place after it."""
        end = None if length == UNDEFINED_LENGTH else place + length
        while end is None or place < end:
            head = self._window.head(place, encoding)
            if head[0] == ITEM_END and end is None:
                return head[3]
            place = self._keep(kept, head, encoding, depth)
        if place != end:
            raise BrokenError
        return place

    def _skip(self, vr: bytes, place: int, encoding: Encoding, depth: int) -> int:
        """Give the place after a value of undefined length."""
        if vr not in SEQUENCE_VRS:
            return self._fragments(place, encoding)
        if depth == DEPTH_LIMIT:
            raise BrokenError
        inner = _inner(encoding, vr)
        while True:
            tag, _, length, place = self._window.head(place, _bare(inner))
            if tag == SEQUENCE_END:
                return place
            if tag != ITEM:
                raise BrokenError
            place = self._skip_item(place, inner, depth + 1) if length == UNDEFINED_LENGTH else place + length

    def _skip_item(self, place: int, encoding: Encoding, depth: int) -> int:
        """Give the place after an item of undefined length."""
        encoding = _item_encoding(self._window, place, encoding)
        while True:
            tag, vr, length, place = self._window.head(place, encoding)
            if tag == ITEM_END:
                return place
            place = self._skip(vr, place, encoding, depth) if length == UNDEFINED_LENGTH else place + length

    def _fragments(self, place: int, encoding: Encoding) -> int:
        """Give the place after an encapsulated value (PS3.5, annex A.4)."""
        while True:
            tag, _, length, place = self._window.head(place, _bare(encoding))
            if tag == SEQUENCE_END:
                return place
            if tag != ITEM or length == UNDEFINED_LENGTH:
                raise BrokenError
            place += length


def _evident(window: Window, place: int, encoding: Encoding) -> Encoding:
    """Tell by its first element whether a data set is explicit, whatever was announced.

    What looks like a value representation is one, for as a length it would be that of a first attribute of 16 KB or more.
    """
    try:
        letters = window.take(place, 6)[4:]
    except CutOffError:
        return encoding
    return Encoding(letters.isalpha() and letters.isupper(), encoding.little)


def _item_encoding(window: Window, place: int, encoding: Encoding) -> Encoding:
    """Tell how an item is written: in an explicit data set it may be implicit, never the other way round."""
    return _evident(window, place, encoding) if encoding.explicit else encoding


def _inner(encoding: Encoding, vr: bytes) -> Encoding:
    """Give the encoding of a sequence. One of unknown representation is little endian in whatever data set it stands."""
    return encoding._replace(little=True) if vr == b"UN" else encoding


def _bare(encoding: Encoding) -> Encoding:
    """Give the encoding of items and delimiters, which never have a value representation."""
    return encoding._replace(explicit=False)


@lru_cache(maxsize=1024)
def _is_known_sequence(tag: int) -> bool:
    """Tell what the data dictionary says of a value that does not say it itself."""
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False
