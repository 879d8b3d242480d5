"""Texts that do nothing: cells that no spreadsheet computes, and from which nothing is lost; lines that only show.

Where a spreadsheet would start to compute, an apostrophe is put in front: at the start of a text, and after each character in
it by which some spreadsheet may split it, for one whose list separator is the semicolon does not see our quotes. An apostrophe
that stands in such a place gets another one, so that the text can be had back: drop one apostrophe from each of these places,
as `as_it_was` does.

Source:
    OWASP, CSV Injection.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ";|\t\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Characters by which a spreadsheet or a reader of lines may split a text; the comma is not among them, for where that splits,
our quotes are seen."""

PLACES = re.compile(f"(?:^|(?<=[{re.escape(SPLITS)}]))", re.DOTALL)
MARKED = re.compile(f"{PLACES.pattern}'")

STARTS = frozenset("=+-@\u2212\u2010\u2011")
"""Characters by which a formula starts, with those that look like a minus; wide and small ones are found by their NFKC form."""

QUOTES = frozenset("'\"`\u00b4\u2018\u2019\u201c\u201d\uff02\uff07")

NUL = "\u2400"
"""Stands for a NUL, at which many programs stop to read."""


def inert(text: str) -> str:
    """Give a text with an apostrophe in each place where a spreadsheet would start to compute."""
    return PLACES.sub(lambda place: "'" if _is_live(text, place.start()) else "", text)


def as_it_was(cell: str) -> str:
    """Give the text of which `inert` made a cell."""
    return MARKED.sub("", cell)


def _is_live(text: str, start: int) -> bool:
    """Tell whether a formula starts here, perhaps after what spreadsheets pass over, or an apostrophe of the text's own."""
    if text.startswith("'", start):
        return True
    for letter in text[start:]:
        if not _is_passed_over(letter):
            return letter in STARTS or unicodedata.normalize("NFKC", letter)[0] in STARTS
        if letter in "\t\r":
            return True
    return False


@cache
def _is_passed_over(letter: str) -> bool:
    return letter.isspace() or letter in QUOTES or unicodedata.category(letter) in {"Cc", "Cf"}


def visible(text: object) -> str:
    """Give a text on one line, without what is not seen, moves a cursor or turns the text around: for screens and pages."""
    return "".join(one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in str(text))


def csv_text(table: pd.DataFrame) -> str:
    """Give a table as CSV whose texts and names of columns are inert; a NUL becomes `NUL`, half a surrogate pair its escape.

    Lines end in CR LF, for else the writer puts no quotes around a text with a CR, at which a reader would end the line.
    """
    quiet = table.copy()
    for name in table.select_dtypes(exclude=["number", "bool"]):
        quiet[name] = table[name].astype(object).map(_cell)
    return str(quiet.rename(columns=_cell).to_csv(index=False, lineterminator="\r\n"))


def _cell(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    return inert(cell.replace("\0", NUL)).encode("utf-8", "backslashreplace").decode()
