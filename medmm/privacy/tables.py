"""Tables and notes of a cohort without identifiers: the second half of `medmm deidentify`.

First all tables are read, for what they say of each patient is struck from the notes of any of them; then each is written anew.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import combinations
from pathlib import Path

from medmm.errors import Code, DataError, Rejected
from medmm.files import write_text
from medmm.privacy.cells import NOBODY, Cleaner, Person, Tally
from medmm.privacy.columns import NULLS, PATIENTS, Column, Facts, Role, judge, words_of
from medmm.privacy.folded import plain_letters
from medmm.privacy.key import Key
from medmm.privacy.known import KnownValues, TablesDone
from medmm.privacy.notes import Cohort, clean_note
from medmm.privacy.struck import LETTERS, Known, merged_values
from medmm.privacy.table_files import NOTES, RECORDS, TABLES, TableFile, read, write
from medmm.privacy.vocabulary import is_word, word_set
from medmm.privacy.written_dates import find_dates, parse_date, told_order
from medmm.readers.formats import files_in
from medmm.readers.notes import read_note

LISTED = "quarantined_cells.csv"
"""What stayed behind, cell by cell, by pseudonym and code."""

FILE_WORDS = word_set(
    "studies labs lab notes truth cohort manifest outcomes outcome demographics labels records images facts patients encounters"
    " events train validation test splits vitals medications diagnoses procedures observations index data table meds fhir"
    " csv tsv covid ecg leaky annotations targets features survival followup ehr emr radiology dicom text texts txt"
)
"""Words of names of files that are no patient's."""

LEAST_OF_OTHERS = 5
"""Letters and digits of an identifier that is struck from the notes of other patients too."""


@dataclass
class _Told:
    """What the tables tell of the patients."""

    known: dict[str, list[KnownValues]]
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Identifier of a study or the like -> its patient, and what the identifier is of; "" where of several."""

    latest: dict[str, date] = field(default_factory=dict)

    def own(self, value: str, patient: str, kind: str) -> None:
        """Take in that an identifier is of a patient."""
        before = self.owners.get(value)
        self.owners[value] = (patient if before is None or before[0] == patient else "", kind)


def deidentify_tables(
    source: Path,
    out: Path,
    key: Key,
    known: Mapping[str, KnownValues],
    tell: Callable[[str], None],
    paths: Mapping[str, str] | None = None,
    keep: Collection[str] = (),
) -> TablesDone:
    """Write the tables and notes below a folder without identifiers.

    Args:
        source: Folder of the cohort.
        out: Folder of the export.
        key: What makes pseudonyms, UIDs and days.
        known: Patient's identifier -> what the images say of the patient.
        tell: Is told what became of each table, in words without identifiers.
        paths: Path of an image in the cohort, below `source` -> in the export.
        keep: Names of columns that the user vouches for; they are kept as they are.

    Raises:
        Rejected: A table that cannot be read.
        DataError: A table does not say whose its rows are.
    """
    files = sorted(files_in(source))
    tables = [read(path, n) for n, path in enumerate((one for one in files if one.suffix.lower() in TABLES), start=1)]
    notes = [path for path in files if path.suffix.lower() in NOTES]
    ids = frozenset(known) | {cell.strip() for table in tables for cell in _patient_cells(table)}
    ids -= {one for one in ids if one.casefold() in NULLS}
    numbers = frozenset(value.strip() for values in known.values() for value in values.identifiers) - ids
    named = _places_of_notes(source, notes, key)
    new_paths = dict(paths or {}) | {old: new for old, (new, _) in named.items()}
    facts = Facts(ids, numbers, frozenset(new_paths), frozenset(keep))
    columns = [[judge(name, cells, facts) for name, cells in table.columns.items()] for table in tables]
    columns = [_with_patient(of) for of in columns]
    told = _told(tables, columns, known)
    work = _Work(source, out, key, told, new_paths, tell)
    for table, of in zip(tables, columns, strict=True):
        work.table(table, of)
    for path in notes:
        work.note(path, named)
    rest = [path for path in files if path.suffix.lower() in RECORDS]
    if rest:
        tell(f"{len(rest)} files of records (JSON, XML, HL7 and the like) stay behind: export them as tables")
        work.behind += [("", f"file {number}", "", "", Code.UNSUPPORTED.value) for number, _ in enumerate(rest, start=1)]
    return work.end()


def _patient_cells(table: TableFile) -> Sequence[str]:
    names = {"".join(words_of(name)): name for name in table.columns}
    return next((table.columns[names[one]] for one in PATIENTS if one in names), [])


def _with_patient(columns: list[Column]) -> list[Column]:
    """Say which column tells whose a row is: the likeliest by its name, or else one by its cells."""
    patients = [one for one in columns if one.role is Role.IDENTIFIER and one.kind == "patient"]
    if not patients:
        return columns

    def rank(column: Column) -> int:
        name = "".join(words_of(column.name))
        return PATIENTS.index(name) if name in PATIENTS else len(PATIENTS)

    best = min(patients, key=rank)
    return [replace(one, role=Role.PATIENT) if one is best else one for one in columns]


def _told(tables: Sequence[TableFile], columns: Sequence[Sequence[Column]], known: Mapping[str, KnownValues]) -> _Told:
    """Gather what headers and tables say of each patient, and whose each study is."""
    told = _Told({patient.strip(): [values] for patient, values in known.items()})
    for table, of in zip(tables, columns, strict=True):
        patient = next((one for one in of if one.role is Role.PATIENT), None)
        if patient is None:
            continue
        rows = [cell.strip() for cell in table.columns[patient.name]]
        for one in set(rows) - {""}:
            told.known.setdefault(one, []).append(KnownValues(identifiers=(one,)))
        for column in of:
            _add(told, column, rows, table.columns[column.name])
    return told


def _add(told: _Told, column: Column, rows: Sequence[str], cells: Sequence[str]) -> None:
    """Take in what one column says of each patient."""
    order = told_order("\n".join(cells)) if column.role in (Role.DATE, Role.BIRTH) else None
    for patient, cell in set(zip(rows, (cell.strip() for cell in cells), strict=True)):
        if not patient or cell.casefold() in NULLS:
            continue
        values = _value(column, cell, order)
        if values is not None:
            told.known[patient].append(values)
        if column.role in (Role.IDENTIFIER, Role.UID):
            told.own(cell, patient, column.kind)
        if column.role is Role.DATE and (written := parse_date(cell, order)) is not None and written.day is not None:
            told.latest[patient] = max(written.day, told.latest.get(patient, written.day))


def _value(column: Column, cell: str, order: bool | None) -> KnownValues | None:
    """Give what a cell tells of its patient, if it is to be struck from notes."""
    if column.role is Role.BIRTH and (written := parse_date(cell, order)) is not None and written.day is not None:
        return KnownValues(birth_dates=(written.day.isoformat(),))
    if column.role in (Role.IDENTIFIER, Role.UID) or (
        column.role is Role.DROP and column.holds.startswith(("numbers", "addresses on"))
    ):
        return KnownValues(identifiers=(cell,))
    if column.role is Role.DROP:
        return {
            "names": KnownValues(names=(cell,)),
            "addresses": KnownValues(addresses=(cell,)),
            "phones": KnownValues(phones=(cell,)),
        }.get(column.holds)
    return None


def _places_of_notes(source: Path, notes: Sequence[Path], key: Key) -> dict[str, tuple[str, str]]:
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


@dataclass
class _Work:
    """Tables and notes while they are written."""

    source: Path
    out: Path
    key: Key
    told: _Told
    paths: Mapping[str, str]
    tell: Callable[[str], None]
    behind: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    """Pseudonym, table, row, column and code."""

    done: TablesDone = field(default_factory=TablesDone)

    def __post_init__(self) -> None:
        """Make ready what every row needs."""
        values = {patient: merged_values(of) for patient, of in self.told.known.items()}
        self.persons = {
            patient: Person(patient, Known(of), self.key.days(patient), self.told.latest.get(patient))
            for patient, of in values.items()
            if patient
        }
        numbers = {one.strip().casefold(): None for of in values.values() for one in of.identifiers}
        telling = {one: None for one in numbers if len(one) >= LEAST_OF_OTHERS and any(map(str.isdigit, one))}
        pairs: set[tuple[str, str]] = set()
        self.parts: set[str] = set()
        for person in self.persons.values():
            parts = sorted(part for part in person.known.names if len(part) > 2)
            self.parts.update(parts)
            pairs.update(combinations(parts[:12], 2))
        self.cleaner = Cleaner(self.key, Cohort(telling, pairs), self.paths)

    def table(self, table: TableFile, columns: Sequence[Column]) -> None:
        """Write one table."""
        persons = self._rows(table, columns)
        tally = Tally()
        left = [column for column in columns if column.role is not Role.DROP]
        names = {column.name: self._column_name(column.name, number) for number, column in enumerate(columns, start=1)}
        written = {
            names[column.name]: (column.name, self.cleaner.column(column, table.columns[column.name], persons, tally))
            for column in left
        }
        place = self._place(table)
        if written:
            place = write(table, place, written)
        shown = place.relative_to(self.out).as_posix()
        for row, name, trip in tally.behind:
            self._stays(persons[row - 1].patient, shown, str(row), names[name], trip.value)
        dropped = [column for column in columns if column.role is Role.DROP]
        self._say(shown, table, dropped, names, tally)
        self.done = TablesDone(
            self.done.cells + table.rows * len(columns),
            self.done.struck + tally.struck,
            self.done.shifted + tally.shifted,
            self.done.quarantined + len(tally.behind),
            self.done.dropped_columns + len(dropped),
            self.done.files + bool(written),
        )

    def note(self, path: Path, named: Mapping[str, tuple[str, str]]) -> None:
        """Write one file that is a note, if its name, or a table, says whose it is."""
        below = path.relative_to(self.source).as_posix()
        new, stem = named[below]
        patient = stem if stem in self.persons else self.told.owners.get(stem, ("", ""))[0]
        person = self.persons.get(patient, NOBODY)
        folder = self._folder(path.parent)
        shown = (folder / new).relative_to(self.out).as_posix()
        self.done = replace(self.done, cells=self.done.cells + 1)
        try:
            text = read_note(path)
        except Rejected as reason:
            self._stays(person.patient, shown, "", "", reason.code.value)
            self.done = replace(self.done, quarantined=self.done.quarantined + 1)
            return
        cleaned = clean_note(text, person.known, person.days, self.cleaner.cohort)
        if cleaned.trip is not None:
            self._stays(person.patient, shown, "", "", cleaned.trip.value)
            self.done = replace(self.done, quarantined=self.done.quarantined + 1)
            return
        write_text(folder / new, cleaned.text)
        done = self.done
        self.done = replace(
            done, struck=done.struck + (cleaned.struck > 0), shifted=done.shifted + cleaned.shifted, files=done.files + 1
        )

    def end(self) -> TablesDone:
        """Write the list of what stayed behind, where something did."""
        if self.behind:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(("patient", "table", "row", "column", "code"))
            writer.writerows(self.behind)
            write_text(self.out / LISTED, text.getvalue())
        return self.done

    def _rows(self, table: TableFile, columns: Sequence[Column]) -> list[Person]:
        """Say whose each row is.

        Raises:
            DataError: Nothing in the table does.
        """
        patient = next((one for one in columns if one.role is Role.PATIENT), None)
        if patient is not None:
            return [self.persons.get(cell.strip(), NOBODY) for cell in table.columns[patient.name]]
        links = [one.name for one in columns if one.role in (Role.IDENTIFIER, Role.UID)]
        for name in links:
            owners = [self.told.owners.get(cell.strip(), ("", ""))[0] for cell in table.columns[name]]
            if any(owners):
                return [self.persons.get(owner, NOBODY) for owner in owners]
        raise DataError(
            f"table {table.number} of the cohort, in the order of their paths, has no column that says whose a row is: "
            "add patient_id, or a study_id that another table joins to a patient, or take the table out"
        )

    def _stays(self, patient: str, table: str, row: str, column: str, code: str) -> None:
        self.behind.append((self.key.pseudonym("patient", patient) if patient else "", table, row, column, code))

    def _say(self, shown: str, table: TableFile, dropped: Sequence[Column], names: Mapping[str, str], tally: Tally) -> None:
        said = [f"{shown}: {table.rows} rows, {tally.struck} cells struck, {tally.shifted} dates moved"]
        if tally.behind:
            counts = Counter(trip.value for _, _, trip in tally.behind)
            said.append(f"{len(tally.behind)} cells stay behind ({', '.join(f'{n} {c}' for c, n in sorted(counts.items()))})")
        said += [f"column {names[one.name]} stays behind ({one.holds})" for one in dropped]
        self.tell("; ".join(said))

    def _place(self, table: TableFile) -> Path:
        """Give where a table goes: by its own name where that names nobody."""
        stem = table.path.stem
        suffix = table.path.suffix.lower()
        return self._folder(table.path.parent) / f"{stem if self._is_plain(stem) else f'table-{table.number:02d}'}{suffix}"

    def _folder(self, folder: Path) -> Path:
        parts = folder.relative_to(self.source).parts
        return self.out.joinpath(*(one if self._is_plain(one) else self.key.pseudonym("folder", one) for one in parts))

    def _is_plain(self, name: str) -> bool:
        words = LETTERS.findall(plain_letters(re.sub(r"([a-z])([A-Z])", r"\1 \2", name)))
        named = all((word in FILE_WORDS or is_word(word) or len(word) < 2) and word not in self.parts for word in words)
        return named and re.search(r"\d{5}", name) is None and not any(find_dates(name)) and name.isprintable()

    def _column_name(self, name: str, number: int) -> str:
        """Give the name of a column, or its number where it holds a patient's name, an identifier or a date."""
        plain = plain_letters(name)
        held = self.parts & set(words_of(name)) or self.parts & set(LETTERS.findall(plain))
        tells = any(True for _ in _telling(plain)) or name.strip().casefold() in self.cleaner.cohort.numbers
        return f"column_{number}" if (held and not is_word(plain)) or tells else name


def _telling(name: str) -> Iterator[object]:
    yield from find_dates(name)
    yield from re.finditer(r"\d{6,}|@", name)
