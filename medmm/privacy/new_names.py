"""What tables, notes, folders and columns are called in an export: their own names where these name nobody."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medmm.privacy.columns import words_of
from medmm.privacy.folded import plain_letters
from medmm.privacy.key import Key
from medmm.privacy.struck import LETTERS
from medmm.privacy.table_files import TableFile
from medmm.privacy.vocabulary import is_word, word_set
from medmm.privacy.written_dates import find_dates

FILE_WORDS = word_set(
    "studies labs lab notes truth cohort manifest outcomes outcome demographics labels records images facts patients encounters"
    " events train validation test splits vitals medications diagnoses procedures observations index data table meds fhir"
    " csv tsv covid ecg leaky annotations targets features survival followup ehr emr radiology dicom text texts txt"
)
"""Words of names of files that are no patient's."""


def places_of_notes(source: Path, notes: Sequence[Path], key: Key) -> dict[str, tuple[str, str]]:
    """Give, for each file that is a note, its new path and the stem of its name, by its path and by its name alone."""
    places: dict[str, tuple[str, str]] = {}
    counts = Counter(path.name for path in notes)
    for path in notes:
        below = path.relative_to(source).as_posix()
        new = f"{key.pseudonym('study', path.stem)}{path.suffix.lower()}"
        if counts[path.name] > 1:
            new = f"{key.pseudonym('study', path.stem)}-{key.pseudonym('file', below)}{path.suffix.lower()}"
        else:
            places[path.name] = (new, path.stem)
        places[below] = (new, path.stem)
    return places


@dataclass(frozen=True)
class NewNames:
    """Gives names that name nobody.

    Attributes:
        source: Folder of the cohort.
        out: Folder of the export.
        key: What makes pseudonyms.
        parts: Of the names of all patients, in plain letters and lower case.
        numbers: Identifiers of all, in lower case, that nothing else is by chance.
    """

    source: Path
    out: Path
    key: Key
    parts: Collection[str]
    numbers: Collection[str]

    def table(self, table: TableFile) -> Path:
        """Give where a table goes: by its own name where that names nobody."""
        stem = table.path.stem
        suffix = table.path.suffix.lower()
        return self.folder(table.path.parent) / f"{stem if self._is_plain(stem) else f'table-{table.number:02d}'}{suffix}"

    def folder(self, folder: Path) -> Path:
        """Give where what lies in a folder goes."""
        parts = folder.relative_to(self.source).parts
        return self.out.joinpath(*(one if self._is_plain(one) else self.key.pseudonym("folder", one) for one in parts))

    def column(self, name: str, number: int) -> str:
        """Give the name of a column, or its number where it holds a patient's name, an identifier or a date."""
        plain = plain_letters(name)
        held = not set(self.parts).isdisjoint((*words_of(name), *LETTERS.findall(plain)))
        tells = any(True for _ in _telling(plain)) or name.strip().casefold() in self.numbers
        return f"column_{number}" if (held and not is_word(plain)) or tells else name

    def _is_plain(self, name: str) -> bool:
        words = LETTERS.findall(plain_letters(re.sub(r"([a-z])([A-Z])", r"\1 \2", name)))
        named = all((word in FILE_WORDS or is_word(word) or len(word) < 2) and word not in self.parts for word in words)
        return named and re.search(r"\d{5}", name) is None and not any(find_dates(name)) and name.isprintable()


def _telling(name: str) -> Iterator[object]:
    yield from find_dates(name)
    yield from re.finditer(r"\d{6,}|@", name)
