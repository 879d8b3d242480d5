"""What tables, notes, folders and columns are called in an export: their own names where these name nobody."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, count
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

LEAST_WITHIN = 3
"""Letters and digits of an identifier that is looked for within a name: labs_2 is not of patient 2, and a folder 2 may be."""


def places_of_notes(source: Path, notes: Sequence[Path], key: Key) -> dict[str, tuple[str, str]]:
    """Give, for each file that is a note, its new path and the stem of its name, by its path and by its name alone."""
    places: dict[str, tuple[str, str]] = {}
    counts = Counter((path.stem, path.suffix.lower()) for path in notes)
    for path in notes:
        below = path.relative_to(source).as_posix()
        new = f"{key.pseudonym('study', path.stem)}{path.suffix.lower()}"
        if counts[path.stem, path.suffix.lower()] > 1:
            new = f"{key.pseudonym('study', path.stem)}-{key.pseudonym('file', below)}{path.suffix.lower()}"
        else:
            places[path.name] = (new, path.stem)
        places[below] = (new, path.stem)
    return places


TITLED = re.compile(r"(?<![^\W_])(?:dr|prof|mrs|herr|frau)[ ._]{1,3}(?P<word>[^\W\d_]{3,})")
"""Somebody in the name of a column, as where a first line is a remark: "read by Dr. Featherstone"."""


@dataclass(frozen=True)
class NewNames:
    """Gives names that name nobody, and none of them twice.

    Attributes:
        source: Folder of the cohort.
        out: Folder of the export.
        key: What makes pseudonyms.
        parts: Of the names of all patients, in plain letters and lower case.
        numbers: Identifiers of all, in lower case.
    """

    source: Path
    out: Path
    key: Key
    parts: Collection[str]
    numbers: Collection[str]
    _taken: set[str] = field(default_factory=set)

    def table(self, table: TableFile, suffix: str) -> Path:
        """Give where a table goes: by its own name where that names nobody and no other table has it."""
        folder, stem = self.folder(table.path.parent), table.path.stem
        numbered = (f"table-{number:02d}" for number in count(table.number))
        for one in chain([stem] if self._is_plain(stem) else [], numbered):
            place = folder / f"{one}{suffix}"
            if (low := str(place).casefold()) not in self._taken:
                self._taken.add(low)
                return place
        raise AssertionError("numbers never end")

    def folder(self, folder: Path) -> Path:
        """Give where what lies in a folder goes."""
        parts = folder.relative_to(self.source).parts
        return self.out.joinpath(*(one if self._is_plain(one) else self.key.pseudonym("folder", one) for one in parts))

    def columns(self, names: Sequence[str]) -> dict[str, str]:
        """Give names of columns: a number instead where one holds a patient's name, an identifier or a date."""
        new = {name: name for name in names if not self._tells(name)}
        taken = set(new)
        for number, name in enumerate(names, start=1):
            if name not in new:
                other = next(one for one in (f"column_{number}{'_' * i}" for i in count()) if one not in taken)
                taken.add(other)
                new[name] = other
        return new

    def _tells(self, name: str) -> bool:
        plain = plain_letters(name)
        held = not set(self.parts).isdisjoint((*words_of(name), *LETTERS.findall(plain)))
        if (held and not is_word(plain)) or any(part in plain for part in self._foreign):
            return True
        if any(not is_word(match["word"]) for match in TITLED.finditer(plain)):
            return True
        return self._is_number(name) or any(find_dates(plain)) or re.search(r"\d{6,}|@", plain) is not None

    def _is_plain(self, name: str) -> bool:
        words = LETTERS.findall(plain_letters(re.sub(r"([a-z])([A-Z])", r"\1 \2", name)))
        named = all(
            (word in FILE_WORDS or is_word(word) or (len(word) < 2 and word.isascii())) and word not in self.parts
            for word in words
        )
        tells = self._is_number(name) or re.search(r"\d{5}", name) is not None or any(find_dates(name))
        return named and not tells and name.isprintable()

    def _is_number(self, name: str) -> bool:
        """Tell whether a name is an identifier, or holds one between separators."""
        words = re.findall(r"[^\W_]+", name.casefold())
        runs = {"".join(words[first:last]) for first in range(len(words)) for last in range(first + 1, len(words) + 1)}
        found = runs & self._bare
        return any(len(one) >= LEAST_WITHIN or one == "".join(words) for one in found)

    @cached_property
    def _bare(self) -> frozenset[str]:
        return frozenset(re.sub(r"[\W_]", "", one) for one in self.numbers if any(map(str.isdigit, one)))

    @cached_property
    def _foreign(self) -> tuple[str, ...]:
        return tuple(part for part in self.parts if not part.isascii())
