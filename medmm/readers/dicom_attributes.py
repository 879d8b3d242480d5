"""Typed access to the attributes of a DICOM data set, straight from their bytes.

pydicom's own conversion warns and logs a value that breaks its rules, with the value in the message; a patient's
identifier would end in a log. Here a value that cannot be used is refused by the name of its attribute only.
"""

from __future__ import annotations

import math
import struct
from functools import cache, lru_cache

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_walk import DataSet
from medmm.readers.quiet import quiet
from medmm.types import Array

BINARY_VRS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "AT": "HH"}
"""Value representations of fixed size, as `struct` writes them (PS3.5, table 6.2-1)."""

NUMERIC_VRS = frozenset((*BINARY_VRS, "DS", "IS"))

ESCAPE = b"\x1b"
"""Starts a change of character set (ISO 2022) in text that is otherwise ASCII."""


REMEMBERED_BYTES = 64
"""Longest value that is remembered with what it says."""

CHARACTER_SET_TAG = 0x00080005
TEXT_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C}
"""Characters after which text is back in its first character set (PS3.5, section 6.1.2.5.3)."""


class Attributes:
    """Attributes of a data set or of an item of a sequence.

    Args:
        dataset: As it stands in the file.
        where: Which file it is, in words that hold no patient.
        character_set: Specific Character Set of the data set around an item, which holds for one that states none.
    """

    def __init__(self, dataset: DataSet, where: str, character_set: bytes = b"") -> None:
        self.where = where
        self._dataset = dataset
        self._character_set = dataset.values.get(CHARACTER_SET_TAG, character_set)

    @property
    def little(self) -> bool:
        """Tell whether numbers are little endian."""
        return self._dataset.little

    def text(self, keyword: str) -> str:
        """Give a value as text without padding; several values stay joined by a backslash; "" where there is none."""
        raw = self._dataset.values.get(_entry(keyword)[0])
        if not raw:
            return ""
        if raw.isascii() and ESCAPE not in raw:
            return raw.decode("ascii").strip(" \0")
        return _decoded(raw, self._character_set).strip(" \0")

    def words(self, keyword: str) -> tuple[str, ...]:
        """Give the values of a text attribute; empty where there is none."""
        text = self.text(keyword)
        return tuple(map(str.strip, text.split("\\"))) if text else ()

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Give the values of a numeric attribute; empty where there is none.

        Raises:
            Rejected: HEADER where a value is no finite number.
        """
        raw = self.data(keyword)
        if not raw:
            return ()
        numbers = _remembered_numbers if len(raw) <= REMEMBERED_BYTES else _numbers
        try:
            return numbers(raw, BINARY_VRS.get(_entry(keyword)[1]), self._dataset.little)
        except OverflowError:
            raise self.impossible(keyword, "an infinite value", "a finite number") from None
        except (ValueError, struct.error):
            raise self.impossible(keyword, "what is no number", "a number") from None

    def vector(self, keyword: str, count: int) -> tuple[float, ...] | None:
        """Give exactly `count` numbers, None where the attribute is absent or empty.

        Raises:
            Rejected: HEADER where there are more or fewer.
        """
        values = self.numbers(keyword)
        if values and len(values) != count:
            raise self.impossible(keyword, f"{len(values)} values", f"{count}")
        return values or None

    def number(self, keyword: str) -> float | None:
        """Give one number, None where the attribute is absent or empty."""
        values = self.vector(keyword, 1)
        return values[0] if values else None

    def whole(self, keyword: str) -> int | None:
        """Give one whole number, None where the attribute is absent or empty."""
        value = self.number(keyword)
        if value is not None and not value.is_integer():
            raise self.impossible(keyword, "a fraction", "a whole number")
        return None if value is None else int(value)

    def needed(self, keyword: str) -> int:
        """Give one whole number that the image cannot do without."""
        value = self.whole(keyword)
        if value is None:
            raise self.missing(keyword)
        return value

    def value(self, keyword: str) -> tuple[object, ...]:
        """Give the values in a form that can be compared: numbers as numbers, text as words."""
        numeric = _entry(keyword)[1] in NUMERIC_VRS
        return self.numbers(keyword) if numeric else self.words(keyword)

    def data(self, keyword: str) -> bytes:
        """Give the bytes of a value; empty where there is none.

        Raises:
            Rejected: HEADER where items of a sequence stand in its place.
        """
        tag = _entry(keyword)[0]
        if tag in self._dataset.items:
            raise self.impossible(keyword, "a sequence", "a value")
        return self._dataset.values.get(tag, b"")

    def words16(self, keyword: str) -> Array:
        """Give the bytes of a value as unsigned 16-bit words."""
        raw = self.data(keyword)
        return np.frombuffer(raw[: len(raw) // 2 * 2], "<u2" if self._dataset.little else ">u2")

    def items(self, keyword: str) -> list[Attributes]:
        """Give the items of a sequence; empty where there is none."""
        items = self._dataset.items.get(_entry(keyword)[0], ())
        return [Attributes(item, self.where, self._character_set) for item in items]

    def differs(self, other: Attributes) -> set[int]:
        """Give the tags whose values are not those of another header; that of every sequence, in either, is one of them."""
        mine, its = self._dataset, other._dataset
        tags = {tag for tag, _ in mine.values.items() ^ its.values.items()}
        return tags.union(mine.items, its.items)

    def empty(self) -> Attributes:
        """Give an item of the same file without any attribute."""
        return Attributes(DataSet(), self.where)

    def has(self, keyword: str) -> bool:
        """Tell whether the attribute is there, be it empty."""
        return self._has(_entry(keyword)[0])

    def has_private(self, creator_tag: int, creator: str, tag: int) -> bool:
        """Tell whether a private attribute of this creator is there (PS3.5, section 7.8)."""
        return self._has(tag) and creator.encode() in self._dataset.values.get(creator_tag, b"")

    def private(self, creator_tag: int, creator: str, tag: int) -> bytes:
        """Give the bytes of a private attribute of this creator; empty where there is none."""
        if not self.has_private(creator_tag, creator, tag):
            return b""
        return self._dataset.values.get(tag, b"")

    def missing(self, keyword: str) -> Rejected:
        """Say that an attribute which the image cannot do without is missing."""
        return Rejected(
            Code.HEADER, self.where, f"no {keyword}", f"{keyword}, which the image cannot do without", "export again"
        )

    def impossible(self, keyword: str, found: str, expected: str) -> Rejected:
        """Say that an attribute cannot be right."""
        return Rejected(Code.HEADER, self.where, f"{found} in {keyword}", expected, "correct the header at its source")

    def _has(self, tag: int) -> bool:
        return tag in self._dataset.values or tag in self._dataset.items


def _decoded(raw: bytes, character_set: bytes) -> str:
    """Decode text that is not plain ASCII; what is outside its character set becomes replacement characters."""
    from pydicom.charset import convert_encodings, decode_bytes

    known = _character_sets()
    names = [known.get(_letters(name), "") for name in character_set.decode("ascii", "replace").split("\\")]
    with quiet():  # bytes outside the character set are replaced
        return decode_bytes(raw, convert_encodings(names), TEXT_DELIMITERS)


@cache
def _character_sets() -> dict[str, str]:
    """Give the standard's names by their letters, for spaces and underscores are often mixed up.

    pydicom would log a name that it does not know, which is a file's own text.
    """
    from pydicom.charset import python_encoding

    return {_letters(name): name for name in python_encoding}


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).upper()


def _numbers(raw: bytes, code: str | None, little: bool) -> tuple[float, ...]:
    """Read numbers of fixed size (`code`), or written ones.

    Raises:
        OverflowError: One is not finite.
        ValueError, struct.error: The bytes are no numbers.
    """
    values = _unpacked(raw, code, little) if code else _written(raw)
    if not all(map(math.isfinite, values)):
        raise OverflowError
    return values


_remembered_numbers = lru_cache(maxsize=1024)(_numbers)
"""The files of a series state mostly the same."""


def _unpacked(raw: bytes, code: str, little: bool) -> tuple[float, ...]:
    """Read numbers of fixed size.

    Raises:
        struct.error: The bytes are no whole number of them.
    """
    order = "<" if little else ">"
    return tuple(map(float, struct.unpack(f"{order}{len(raw) // struct.calcsize(code) * code}", raw)))


def _written(raw: bytes) -> tuple[float, ...]:
    """Read numbers that are written as text, joined by backslashes.

    Raises:
        ValueError: One is no number.
    """
    text = raw.strip(b" \0")
    if b"_" in text:
        raise ValueError("an underscore, which Python would read as part of a number")
    return tuple(map(float, text.split(b"\\"))) if text else ()


@cache
def _entry(keyword: str) -> tuple[int, str]:
    """Look a keyword up in the data dictionary: its tag and value representation (PS3.6)."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag, str(dictionary_VR(tag))[:2]


def tag_of(keyword: str) -> int:
    """Give the tag of an attribute."""
    return _entry(keyword)[0]
