"""Forms of values in a header: what is of its form may stay, what is not may be anything.

Source: DICOM PS3.5, sections 6.2 (value representations) and 6.4 (how many values).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from medmm.privacy.terms import words_of

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement

OLDEST_YEARS = 90
FORMS = {
    "CS": r"[A-Z0-9_ ]{0,16}",
    "DS": r" *[-+]?[0-9]*\.?[0-9]*([eE][-+]?[0-9]+)? *",
    "IS": r" *[-+]?[0-9]{0,12}(\.0*)? *",
    "TM": r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)? *",
    "SH": r"[A-Za-z0-9_.+\-/()*, ]{0,16}",
    "LO": r"[A-Za-z0-9_.+\-/()*, ]{0,64}",
}
"""How a text may look that stays."""

OWN_FORMS = {"TimezoneOffsetFromUTC": r"[-+][0-9]{4} *"}
"""Of attributes that the standard gives a form of their own (PS3.3, C.12.1.1.8)."""

NUMBERS = words_of("US SS UL SL FL FD AT UV SV")
SMALL_NUMBER = re.compile(r"[0-9]{1,2}(\.[0-9]{1,2})?(MM|CM)?")


class BadValueError(ValueError):
    """A value that is not of the form that it must have to stay."""


def texts_of(element: DataElement) -> list[str]:
    """Give the values of an attribute as they were written."""
    values = element.value if element.VM > 1 else [element.value]
    return [_written(value).strip(" \0") for value in values if value is not None]


def _written(value: object) -> str:
    return str(getattr(value, "original_string", value))


def text_of(element: DataElement) -> str:
    """Give the only value.

    Raises:
        BadValueError: There are several.
    """
    texts = texts_of(element)
    if len(texts) > 1:
        raise BadValueError
    return texts[0] if texts else ""


def one_or_several(values: list[str]) -> object:
    """Give values as a data element holds them."""
    return values if len(values) > 1 else "".join(values)


def terms_within(text: str, terms: frozenset[str]) -> Iterator[str]:
    """Give the words that may stay of a text."""
    for word in re.split(r"[^A-Za-z0-9.]+", text):
        if word.upper() in terms or SMALL_NUMBER.fullmatch(word.upper()):
            yield word


def shown_age(text: str) -> str:
    """Give an age as a header states it, that of the oldest as 90 years.

    Raises:
        BadValueError: It is none.
    """
    stated = re.fullmatch(r"([0-9]{3})([DWMY])", text)
    if stated is None:
        if text:
            raise BadValueError
        return ""
    years = int(stated[1]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1}[stated[2]]
    return text if years < OLDEST_YEARS else f"{OLDEST_YEARS:03d}Y"


@cache
def representations(tag: int) -> frozenset[str]:
    """Give the value representations that the data dictionary allows, and how pydicom tells that it has not chosen yet."""
    from pydicom.datadict import dictionary_VR

    stated = str(dictionary_VR(tag))
    return frozenset((*stated.split(" or "), stated))


@cache
def _many(tag: int) -> str:
    from pydicom.datadict import dictionary_VM

    return str(dictionary_VM(tag))


def may_be_so_many(count: int, tag: int) -> bool:
    """Tell whether an attribute may have so many values."""
    low, _, high = _many(tag).partition("-")
    if not high:
        return count == int(low)
    return count >= int(low) and (high.endswith("n") or count <= int(high))


@cache
def registered() -> frozenset[str]:
    """Give the UIDs that the standard itself defines (PS3.6, annex A)."""
    from pydicom._uid_dict import UID_dictionary

    return frozenset(UID_dictionary)
