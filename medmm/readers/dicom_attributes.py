"""Typed access to the attributes of a DICOM data set, straight from their bytes.

pydicom's own conversion warns and logs a value that breaks its rules, with the value in the message; a patient's
identifier would end in a log. Here a value that cannot be used is refused by the name of its attribute only.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from medmm.errors import Code, Rejected
from medmm.readers.quiet import quiet

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

BINARY_VRS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "AT": "HH"}
"""Value representations of fixed size, as `struct` writes them (PS3.5, table 6.2-1)."""

ESCAPE = b"\x1b"
"""Starts a change of character set (ISO 2022) in text that is otherwise ASCII."""


class Attributes:
    """Attributes of a data set or of an item of a sequence.

    Args:
        dataset: As pydicom read it, its values still bytes.
        where: Which file it is, in words that hold no patient.
    """

    def __init__(self, dataset: Dataset, where: str) -> None:
        self.where = where
        self._dataset = dataset

    def text(self, keyword: str) -> str:
        """Give a value as text without padding; several values stay joined by a backslash; "" where there is none."""
        raw = self._raw(keyword)
        if not isinstance(raw, bytes):
            return "" if raw is None else str(raw)
        if raw.isascii() and ESCAPE not in raw:
            return raw.decode("ascii").strip(" \0")
        return self._decoded_text(keyword)

    def words(self, keyword: str) -> tuple[str, ...]:
        """Give the values of a text attribute; empty where there is none."""
        text = self.text(keyword)
        return tuple(word.strip() for word in text.split("\\")) if text else ()

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Give the values of a numeric attribute; empty where there is none.

        Raises:
            Rejected: HEADER where a value is no finite number.
        """
        raw = self._raw(keyword)
        if not isinstance(raw, bytes):
            return ()
        code = BINARY_VRS.get(_entry(keyword)[1])
        try:
            values = self._unpacked(keyword, raw, code) if code else _written(raw)
        except (ValueError, struct.error):
            raise self.impossible(keyword, "what is no number", "a number") from None
        if not all(math.isfinite(value) for value in values):
            raise self.impossible(keyword, "an infinite value", "a finite number")
        return tuple(values)

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
        numeric = _entry(keyword)[1] in (*BINARY_VRS, "DS", "IS")
        return self.numbers(keyword) if numeric else self.words(keyword)

    def data(self, keyword: str) -> bytes:
        """Give the bytes of a value; empty where there is none."""
        raw = self._raw(keyword)
        return raw if isinstance(raw, bytes) else b""

    def items(self, keyword: str) -> list[Attributes]:
        """Give the items of a sequence; empty where there is none.

        Raises:
            Rejected: HEADER where its bytes are none.
        """
        tag = _entry(keyword)[0]
        if tag not in self._dataset:
            return []
        try:
            with quiet():
                items = self._dataset[tag].value
        except Exception:  # noqa: BLE001 - pydicom raises what broke
            raise self.impossible(keyword, "what is no sequence", "a sequence") from None
        return [Attributes(item, self.where) for item in items] if isinstance(items, Sequence) else []

    def empty(self) -> Attributes:
        """Give an item of the same file without any attribute."""
        from pydicom.dataset import Dataset

        return Attributes(Dataset(), self.where)

    def has(self, keyword: str) -> bool:
        """Tell whether the attribute is there, be it empty."""
        return _entry(keyword)[0] in self._dataset

    def has_private(self, creator_tag: int, creator: str, tag: int) -> bool:
        """Tell whether a private attribute of this creator is there (PS3.5, section 7.8)."""
        if tag not in self._dataset or creator_tag not in self._dataset:
            return False
        element = self._dataset.get_item(creator_tag, keep_deferred=True)
        return getattr(element, "value", None) is not None and creator.encode() in bytes(element.value)

    def missing(self, keyword: str) -> Rejected:
        """Say that an attribute which the image cannot do without is missing."""
        return Rejected(
            Code.HEADER, self.where, f"no {keyword}", f"{keyword}, which the image cannot do without", "export again"
        )

    def impossible(self, keyword: str, found: str, expected: str) -> Rejected:
        """Say that an attribute cannot be right."""
        return Rejected(Code.HEADER, self.where, f"{found} in {keyword}", expected, "correct the header at its source")

    def _raw(self, keyword: str) -> object:
        element = self._dataset.get_item(_entry(keyword)[0], keep_deferred=True)
        return None if element is None else element.value

    def _unpacked(self, keyword: str, raw: bytes, code: str) -> list[float]:
        element = self._dataset.get_item(_entry(keyword)[0])
        order = "<" if getattr(element, "is_little_endian", True) else ">"
        return [float(value) for value in struct.unpack(f"{order}{len(raw) // struct.calcsize(code) * code}", raw)]

    def _decoded_text(self, keyword: str) -> str:
        try:
            with quiet():  # bytes outside the stated character set are replaced
                return str(self._dataset[_entry(keyword)[0]].value).strip(" \0")
        except Exception:  # noqa: BLE001 - pydicom raises what broke
            raise self.impossible(keyword, "what is no text", "a text") from None


def _written(raw: bytes) -> list[float]:
    """Read numbers that are written as text, joined by backslashes."""
    text = raw.strip(b" \0")
    return [float(part) for part in text.split(b"\\")] if text else []


@cache
def _entry(keyword: str) -> tuple[BaseTag, str]:
    """Look a keyword up in the data dictionary: its tag and value representation (PS3.6)."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.tag import Tag

    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return Tag(tag), str(dictionary_VR(tag))[:2]


def tag_of(keyword: str) -> BaseTag:
    """Give the tag of an attribute."""
    return _entry(keyword)[0]
