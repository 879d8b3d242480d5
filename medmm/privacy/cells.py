"""The cells of a column without identifiers, by what the column is; one of them never tells of another's."""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, timedelta

from medmm.privacy.columns import NULLS, Column, Role, is_number, unknown_words
from medmm.privacy.detector import Trip
from medmm.privacy.forms import registered
from medmm.privacy.key import Key
from medmm.privacy.known import KnownValues
from medmm.privacy.notes import MID_YEAR, Cleaned, Cohort, clean_note
from medmm.privacy.struck import Known
from medmm.privacy.vocabulary import word_set
from medmm.privacy.written_dates import find_dates, parse_date, told_order

OLDEST = 90
"""Years; stands for every age above 89 (45 CFR 164.514(b)(2)(i)(C))."""

PER_YEAR = {"months": 12.0, "month": 12.0, "weeks": 365.25 / 7, "days": 365.25}
PER_YEAR_OF_LETTER = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25, "T": 365.25}
"""By the first letter of the unit in a cell, English or German (Tage)."""

DAY_SECONDS = 86400
SMALL_ZIPS = word_set("036 059 063 102 203 205 369 556 692 753 772 821 823 878 879 884 893 790 830 831 890")
"""First three digits of areas with at most 20,000 people, by the censuses of 2000 and 2010 (45 CFR 164.514(b)(2)(i)(B))."""

LEAST_PATIENTS = 3
"""Who share a word that is in no list, as the models' own categories need."""

WORST = frozenset((Trip.KNOWN, Trip.CONTACT, Trip.NOBODY))
"""What empties a cell of a category too."""


@dataclass(frozen=True)
class Person:
    """Whose a row is.

    Attributes:
        patient: The identifier as it stands; "" where nobody knows.
        known: What is known of that patient.
        days: By how many days the dates move; None where nobody knows whose the row is.
        latest: Of the dates of that patient; None where there is none.
    """

    patient: str
    known: Known
    days: int | None
    latest: date | None = None


NOBODY = Person("", Known(KnownValues()), None)


@dataclass
class Tally:
    """What was done to the cells of a table."""

    struck: int = 0
    shifted: int = 0
    behind: list[tuple[int, str, Trip]] = field(default_factory=list)
    """Row from 1, column, and why a cell stayed behind."""


@dataclass(frozen=True)
class Cleaner:
    """What cells are cleaned with.

    Attributes:
        key: What makes pseudonyms.
        cohort: What is known of all.
        paths: Path of a file in the cohort -> in the export.
    """

    key: Key
    cohort: Cohort
    paths: Mapping[str, str]
    _seen: dict[tuple[str, str], Cleaned] = field(default_factory=dict)

    def column(self, column: Column, cells: Sequence[str], persons: Sequence[Person], tally: Tally) -> list[str]:
        """Give the cells of a column without identifiers.

        Args:
            column: What it is; none that is dropped.
            cells: (R,).
            persons: (R,) whose each row is.
            tally: Is added to.
        """
        if column.role is Role.KEEP:
            return list(cells)
        if column.role in (Role.NOTE, Role.CHECK):
            rare = _rare(column, cells, persons)
            return [self._note(column, row, cell, persons[row], tally, rare) for row, cell in enumerate(cells)]
        change = self._changes(column, cells)
        changed = []
        for cell, person in zip(cells, persons, strict=True):
            bare = cell.strip()
            new = cell if bare.casefold() in NULLS else change(bare, person)
            if column.role in (Role.DATE, Role.BIRTH) and new and new != cell:
                tally.shifted += 1
            elif new != cell:
                tally.struck += 1
            changed.append(new)
        return changed

    def _changes(self, column: Column, cells: Sequence[str]) -> Callable[[str, Person], str]:
        order = told_order("\n".join(cells)) if column.role in (Role.DATE, Role.BIRTH) else None
        key = self.key
        changes: dict[Role, Callable[[str, Person], str]] = {
            Role.PATIENT: lambda cell, _: key.pseudonym("patient", cell),
            Role.IDENTIFIER: lambda cell, _: key.pseudonym(column.kind, cell),
            Role.UID: lambda cell, _: cell if cell in registered() else key.uid(cell),
            Role.PATH: lambda cell, _: self.paths.get(cell.removeprefix("./"), ""),
            Role.DATE: lambda cell, person: "" if person.days is None else moved_cell(cell, person.days, order),
            Role.BIRTH: lambda cell, person: _birth(cell, person, order),
            Role.AGE: lambda cell, _: capped_age(cell, column.name),
            Role.ZIP: lambda cell, _: short_zip(cell),
        }
        return changes[column.role]

    def _note(self, column: Column, row: int, cell: str, person: Person, tally: Tally, rare: Set[str]) -> str:
        if is_number(cell) or cell.strip().casefold() in NULLS:
            return cell
        if cell in rare:
            tally.behind.append((row + 1, column.name, Trip.RARE))
            return ""
        seen = (person.patient, cell)
        if seen not in self._seen:
            self._seen[seen] = clean_note(cell, person.known, person.days, self.cohort)
        done = self._seen[seen]
        if done.trip is not None and (column.role is Role.NOTE or done.trip in WORST):
            tally.behind.append((row + 1, column.name, done.trip))
            return ""
        tally.struck += done.struck > 0
        tally.shifted += done.shifted
        return done.text


def _rare(column: Column, cells: Sequence[str], persons: Sequence[Person]) -> frozenset[str]:
    """Give the cells that may name somebody: of few patients, and with words in no list; of notes, with no other words."""
    shared: dict[str, set[str]] = {}
    for cell, person in zip(cells, persons, strict=True):
        shared.setdefault(cell, set()).add(person.patient)
    few = (cell for cell, who in shared.items() if len(who) < LEAST_PATIENTS)
    unknown = ((cell, *unknown_words(cell)) for cell in few)
    return frozenset(cell for cell, strange, known in unknown if strange and not (known and column.role is Role.NOTE))


def moved_cell(cell: str, days: int, day_first: bool | None = None) -> str:
    """Write the date of a cell so many days later, as it is written; "" where it cannot be read.

    Args:
        cell: Without the space around it.
        days: How many.
        day_first: How 03/04/2021 is meant in its column.
    """
    written = parse_date(cell, day_first)
    if written is not None:
        return (written.moved(cell, days) or "") + cell[written.end :]
    if re.fullmatch(r"(?:18|19|20)\d\d(?:\.0)?", cell):
        year = (date(int(cell[:4]), *MID_YEAR) + timedelta(days=days)).year
        return f"{year}{cell[4:]}"
    number = re.fullmatch(r"(\d{5}|\d{9,10}|\d{12,13})(\.\d+)?", cell)
    if number is not None:
        unit = 1 if len(number[1]) == 5 else DAY_SECONDS if len(number[1]) < 12 else DAY_SECONDS * 1000
        return f"{int(number[1]) + days * unit}{number[2] or ''}"
    months = [one for one in find_dates(cell[:64], day_first) if one.start == 0 and one.end == len(cell)]
    return (months[0].moved(cell, days) or "") if months else ""


def _birth(cell: str, person: Person, day_first: bool | None) -> str:
    """Move a date of birth; "" for somebody of more than 89 years at the latest date of theirs."""
    if person.days is None:
        return ""
    written = parse_date(cell, day_first)
    year = int(cell[:4]) if re.fullmatch(r"(?:18|19|20)\d\d(?:\.0)?", cell) else None
    born = written.day if written is not None else date(year, 1, 1) if year else None
    latest = person.latest or date.today()
    if born is None or (latest - born).days >= OLDEST * 365.25 - 1:
        return ""
    return moved_cell(cell, person.days, day_first)


def capped_age(cell: str, name: str) -> str:
    """Give an age as it is up to 89, and 90 for all above, in the unit that the column's name says."""
    unit = next((per for word, per in PER_YEAR.items() if word in name.casefold()), 1.0)
    age = re.fullmatch(r"(\D{0,2}\s?)(\d+(?:\.\d+)?)(\D*)", cell)
    if age is None:
        return ""
    unit = PER_YEAR_OF_LETTER.get(age[3].strip()[:1].upper(), unit)
    if float(age[2]) < OLDEST * unit:
        return cell
    return str(round(OLDEST * unit)).zfill(len(age[2]) if age[2].startswith("0") else 1) + age[3]


def short_zip(cell: str) -> str:
    """Give the first three digits of a code of the USA, 000 for those of small areas, and "" for any other."""
    code = re.fullmatch(r"(\d{5})(?:-?\d{4})?(?:\.0)?", cell)
    if code is None:
        return ""
    return "000" if code[1][:3] in SMALL_ZIPS else code[1][:3]
