"""What a column of a table is, told by its name and by its cells: what becomes of it when identifiers are taken out."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from medmm.privacy.column_words import (
    ADDRESSES,
    AGES,
    BIRTHS,
    CATEGORIES,
    CONTACTS,
    DATES,
    IDENTIFIERS,
    NAMED,
    NAMES,
    NOTES,
    NUMBERS,
    OTHER_ZIPS,
    PATIENTS,
    PHONES,
    ZIPS,
)
from medmm.privacy.folded import plain_letters
from medmm.privacy.forms import registered
from medmm.privacy.vocabulary import is_word
from medmm.privacy.written_dates import parse_date


class Role(StrEnum):
    """What becomes of a column."""

    PATIENT = "whose the row is"
    IDENTIFIER = "pseudonyms"
    UID = "other UIDs"
    PATH = "new paths"
    DATE = "moved dates"
    BIRTH = "moved dates of birth"
    AGE = "ages up to 90"
    ZIP = "three digits"
    NOTE = "cleaned notes"
    CHECK = "words, looked through"
    KEEP = "as it is"
    DROP = "stays behind"


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: As it stands.
        role: What becomes of it.
        kind: Of identifiers: what they are of, for `Key.pseudonym`.
        holds: Of what stays behind: what it holds, in words; "names", "addresses" and "phones" are struck from notes too.
    """

    name: str
    role: Role
    kind: str = ""
    holds: str = ""


@dataclass(frozen=True)
class Facts:
    """What tells columns by their cells.

    Attributes:
        patients: Identifiers of patients.
        numbers: Other identifiers, such as accession numbers.
        paths: Paths of files that got others.
        keep: Names of columns that the user vouches for.
    """

    patients: Collection[str] = frozenset()
    numbers: Collection[str] = frozenset()
    paths: Collection[str] = frozenset()
    keep: Collection[str] = frozenset()


NULLS = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "--", "?", ".", "unknown", "missing"))
NUMBER = re.compile(r"[<>=≤≥~]{0,2}\s?[+-]?(?:(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?\s?%?|inf(?:inity)?)")
AGE = re.compile(r"(?:[<>=≤≥~]{0,2}\s?)\d{1,5}(?:\.\d+)?\s?(?:[a-z]{1,7}\.?(?:\sold)?)?", re.IGNORECASE)
UID = re.compile(r"[012](?:\.\d+){4,}")
FILE = re.compile(r"[^\s]*/[^\s]*|[\w.\- /]+\.(?:dcm|png|jpe?g|nii|gz|txt|edf|hea|dat|wav)")
MOSTLY = 0.5
LONG_DIGITS = 7
NOTE_WORDS = 5
LONGEST_CATEGORY = 60
LEAST_NAMED = 4
"""Share of a column's cells that tell what it is; digits of whole numbers that may be identifiers; words of a note; letters of
a category, at most; letters of a name or an identifier that is told by itself."""


def words_of(name: str) -> list[str]:
    """Split the name of a column: patient_id, PatientID and patientId alike."""
    return [word.casefold() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", plain_case(name))]


def plain_case(name: str) -> str:
    """Give a name in plain letters, their case as it is."""
    return name if name.isascii() else plain_letters(name)


def is_number(cell: str) -> bool:
    """Tell whether a cell holds a number, with or without a comparator."""
    return NUMBER.fullmatch(cell.strip()) is not None


def judge(name: str, cells: Sequence[str], facts: Facts) -> Column:
    """Say what a column is.

    Args:
        name: Of the column.
        cells: All of them, as text.
        facts: What is known already.
    """
    words, filled = words_of(name), [cell.strip() for cell in cells if cell.strip().casefold() not in NULLS]
    if not filled or name in facts.keep:
        return Column(name, Role.KEEP)
    by_name = _by_cells_of_identifiers(name, words, filled, facts) or _by_name(name, words, filled)
    return by_name or _by_cells(name, words, filled)


def _by_cells_of_identifiers(name: str, words: list[str], filled: Sequence[str], facts: Facts) -> Column | None:
    """Tell identifiers by what they are."""
    many = len(filled) * MOSTLY
    if "".join(words) in PATIENTS:
        return Column(name, Role.IDENTIFIER, "patient")
    if sum(UID.fullmatch(cell) is not None for cell in filled) > many:
        return Column(name, Role.KEEP if registered().issuperset(filled) else Role.UID)
    if sum(cell in facts.paths for cell in filled) > many or _are_paths(words, filled):
        return Column(name, Role.PATH)
    for kind, values in (("patient", facts.patients), ("study", facts.numbers)):
        held = {cell for cell in filled if len(cell) >= LEAST_NAMED and cell in values}
        if (len(held) > 1 or any(len(one) > LEAST_NAMED for one in held)) and sum(cell in held for cell in filled) > many:
            return Column(name, Role.IDENTIFIER, _kind(words) if kind == "study" else kind)
    return None


def _by_name(name: str, words: list[str], filled: Sequence[str]) -> Column | None:
    """Tell a column by its name."""
    held = set(words) | {"".join(words)}
    numeric = all(map(is_number, filled))
    choices = (
        (bool(held & ZIPS), Column(name, Role.ZIP)),
        (bool(held & OTHER_ZIPS), Column(name, Role.DROP, holds="postal codes")),
        (bool(held & BIRTHS) and not held & ADDRESSES, Column(name, Role.BIRTH)),
        (bool(held & AGES) and all(map(AGE.fullmatch, filled)), Column(name, Role.AGE)),
        (bool(held & PHONES), Column(name, Role.DROP, holds="phones")),
        (bool(held & CONTACTS), Column(name, Role.DROP, holds="addresses on a network")),
        (bool(held & ADDRESSES) and not numeric, Column(name, Role.DROP, holds="addresses")),
        (_is_persons(words, held) and not numeric and not _are_dates(filled), Column(name, Role.DROP, holds="names")),
        (bool(held & NUMBERS) and not _few(filled), Column(name, Role.DROP, holds="numbers of somebody or something")),
        (bool(held & IDENTIFIERS), Column(name, Role.IDENTIFIER, _kind(words))),
        (_are_dates(filled) or (bool(held & DATES) and _are_times(words, filled)), Column(name, Role.DATE)),
    )
    return next((column for fits, column in choices if fits), None)


def _by_cells(name: str, words: list[str], filled: Sequence[str]) -> Column:
    """Tell a column by its cells."""
    if all(map(is_number, filled)):
        long = sum(re.fullmatch(rf"\d{{{LONG_DIGITS},}}|0\d{{4,}}", cell) is not None for cell in filled) > len(filled) * MOSTLY
        return Column(name, Role.DROP, holds="long numbers, which may be identifiers") if long else Column(name, Role.KEEP)
    if set(words) & NOTES or any(_is_note(cell) for cell in filled):
        return Column(name, Role.NOTE)
    numbers = sum(map(is_number, filled)) > len(filled) * MOSTLY
    if numbers or set(words) & CATEGORIES or _few(filled) or all(map(_is_clinical, filled)):
        return Column(name, Role.CHECK)
    return Column(name, Role.DROP, holds="short texts that nearly all differ and may name somebody")


def _is_persons(words: list[str], held: set[str]) -> bool:
    if "name" in words and words.index("name") and words[words.index("name") - 1] in NAMED:
        return False
    return bool(held & NAMES)


def _kind(words: list[str]) -> str:
    """Give what an identifier is of: study for study_id and accession_number, which is how images say it."""
    if {"accession", "study"} & set(words):
        return "study"
    left = [word for word in words if word not in IDENTIFIERS and word not in ("number", "no", "nr")]
    return " ".join(left) or "row"


def _few(filled: Sequence[str]) -> bool:
    """Tell whether cells are categories: short, and most of them stand several times."""
    return len(set(filled)) <= len(filled) * MOSTLY and max(map(len, filled)) <= LONGEST_CATEGORY


def _is_note(cell: str) -> bool:
    return "\n" in cell or len(cell) > LONGEST_CATEGORY or len(cell.split()) >= NOTE_WORDS


def _is_clinical(cell: str) -> bool:
    return is_number(cell) or all(is_word(word) for word in re.findall(r"[^\W\d_]+", plain_letters(cell)))


def unknown_words(cell: str) -> tuple[int, int]:
    """Give how many words of a cell are in no list, and how many are; short Latin ones are not counted."""
    every = re.findall(r"[^\W\d_]+", plain_letters(cell))
    words = [word for word in every if len(word) >= LEAST_NAMED or (len(word) > 1 and not word.isascii())]
    known = sum(map(is_word, words))
    return len(words) - known, known


def _are_dates(filled: Sequence[str]) -> bool:
    return all(parse_date(cell) is not None for cell in filled)


def _are_times(words: list[str], filled: Sequence[str]) -> bool:
    """Tell whether cells of a column that is named like a date are dates: most can be read, or they count seconds or days."""
    if sum(parse_date(cell) is not None for cell in filled) > len(filled) * MOSTLY:
        return True
    if all(re.fullmatch(r"(?:18|19|20)\d\d", cell) for cell in filled):
        return True
    if all(re.fullmatch(r"1?\d{9}(?:\d{3})?(?:\.\d+)?", cell) for cell in filled):
        return True
    numeric = all(map(is_number, filled))
    if numeric:
        return "date" in words and all(re.fullmatch(r"[1-6]\d{4}(?:\.\d+)?", cell) for cell in filled)
    return bool({"date", "datum", "datetime", "timestamp"} & set(words))


def _are_paths(words: list[str], filled: Sequence[str]) -> bool:
    named = bool({"path", "file", "filename", "filepath", "folder", "directory"} & set(words))
    pathlike = sum(FILE.fullmatch(cell) is not None for cell in filled)
    return (named and pathlike > 0) or (pathlike == len(filled) and any("/" in cell and cell.count(".") for cell in filled))
