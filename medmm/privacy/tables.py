"""Tables and notes of a cohort without identifiers: the second half of `medmm deidentify`.

First all tables are read, for what they say of each patient is struck from the notes of any of them; then each is written anew.
A table that cannot be read stays behind, and what it alone could tell is not struck from others: whoever exports is told so.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path, PurePosixPath

from medmm.errors import Code, Rejected
from medmm.files import write_text
from medmm.privacy.cells import NOBODY, Cleaner, Person, Tally
from medmm.privacy.columns import NULLS, Column, Facts, Role, judge
from medmm.privacy.key import Key
from medmm.privacy.known import KnownValues, TablesDone
from medmm.privacy.new_names import NewNames, places_of_notes
from medmm.privacy.notes import Cohort, clean_note
from medmm.privacy.quarantine import Reason
from medmm.privacy.struck import Known, merged_values
from medmm.privacy.table_files import NOTES, RECORDS, TABLES, TEXTS, TableFile, read, suffix_of, write
from medmm.privacy.told import Told, patient_cells, told_by, with_patient
from medmm.readers.formats import files_in, format_of
from medmm.readers.notes import read_note

LISTED = "quarantined_cells.csv"
"""What stayed behind, cell by cell, by pseudonym and code."""

LEAST_OF_OTHERS = 5
"""Letters and digits of an identifier that is struck from the notes of other patients too."""


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

    """
    files = [path for path in sorted(files_in(source)) if path.suffix.lower() in TEXTS and not _is_image(path)]
    behind: list[tuple[Path, str]] = []
    tables = list(_readable([path for path in files if path.suffix.lower() in TABLES], behind, tell))
    notes = [path for path in files if path.suffix.lower() in NOTES]
    ids = frozenset(known) | {cell.strip() for table in tables for cell in patient_cells(table)}
    ids -= {one for one in ids if one.casefold() in NULLS}
    numbers = frozenset(value.strip() for values in known.values() for value in values.identifiers) - ids
    named = places_of_notes(source, notes, key)
    new_paths = dict(paths or {}) | {old: new for old, (new, _) in named.items()}
    facts = Facts(ids, numbers, frozenset(new_paths), frozenset(keep))
    columns = [[judge(name, cells, facts) for name, cells in table.columns.items()] for table in tables]
    columns = [with_patient(of) for of in columns]
    told = told_by(tables, columns, known)
    work = _Work(source, out, key, told, new_paths, tell, behind)
    for table, of in zip(tables, columns, strict=True):
        work.table(table, of)
    for path in notes:
        work.note(path, named)
    rest = [path for path in files if path.suffix.lower() in RECORDS]
    if rest:
        tell(f"{len(rest)} files of records (JSON, XML, HL7 and the like) stay behind: export them as tables")
    return work.end(rest)


def _is_image(path: Path) -> bool:
    """Tell whether a file is cleaned as an image, whatever it is called."""
    try:
        return format_of(path, "a file") is not None
    except Rejected:
        return False


def _readable(paths: Sequence[Path], behind: list[tuple[Path, str]], tell: Callable[[str], None]) -> Iterator[TableFile]:
    """Read tables; add to `behind` the others, each with its code."""
    for number, path in enumerate(paths, start=1):
        try:
            yield read(path, number)
        except Rejected as reason:
            tell(f"{reason}; it stays behind, and names that it alone tells are not struck from notes")
            behind.append((path, reason.code.value))


@dataclass
class _Work:
    """Tables and notes while they are written."""

    source: Path
    out: Path
    key: Key
    told: Told
    paths: Mapping[str, str]
    tell: Callable[[str], None]
    unread: list[tuple[Path, str]]
    """Tables that stay behind, and why."""

    cells: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    """Of cells and notes that stay behind: pseudonym, table, row, column and code."""

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
        every: set[str] = set()
        for person in self.persons.values():
            parts = sorted(part for part in person.known.names if len(part) > 2 or not part.isascii())
            every.update(parts)
            pairs.update(combinations(parts[:12], 2))
        self.cleaner = Cleaner(self.key, Cohort(telling, pairs), self.paths)
        self.names = NewNames(self.source, self.out, self.key, every, numbers)

    def table(self, table: TableFile, columns: Sequence[Column]) -> None:
        """Write one table, if it says whose its rows are."""
        persons = self._rows(table, columns)
        if persons is None:
            self.tell(
                f"table {table.number}, in the order of their paths, stays behind: no column says whose a row is; "
                "add patient_id, or a study_id that another table joins to a patient"
            )
            self.unread.append((table.path, Reason.NO_PATIENT.value))
            return
        tally = Tally()
        left = [column for column in columns if column.role is not Role.DROP]
        names = self.names.columns([column.name for column in columns])
        written = {
            names[column.name]: (column.name, self.cleaner.column(column, table.columns[column.name], persons, tally))
            for column in left
        }
        place = self.names.table(table, suffix_of(table.path))
        if written:
            write(table, place, written)
        shown = place.relative_to(self.out).as_posix()
        for row, name, trip in tally.behind:
            self._stays(persons[row - 1].patient, shown, str(row), names[name], trip.value)
        dropped = [column for column in columns if column.role is Role.DROP]
        self._say(shown, table, dropped, names, tally)
        done = self.done
        self.done = TablesDone(
            done.cells + table.rows * len(columns),
            done.struck + tally.struck,
            done.shifted + tally.shifted,
            done.quarantined + len(tally.behind),
            done.dropped_columns + len(dropped),
            done.files + bool(written),
        )

    def note(self, path: Path, named: Mapping[str, tuple[str, str]]) -> None:
        """Write one file that is a note, if its name, or a table, says whose it is."""
        below = path.relative_to(self.source).as_posix()
        new, stem = named[below]
        patient = stem if stem in self.persons else self.told.owners.get(stem, ("", ""))[0]
        person = self.persons.get(patient, NOBODY)
        folder = self.names.folder(path.parent)
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

    def end(self, rest: Sequence[Path]) -> TablesDone:
        """Write the list of cells that stay behind, where some do, and say what was done.

        Args:
            rest: Files of records, which all stay behind.
        """
        if self.cells:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(("patient", "table", "row", "column", "code"))
            writer.writerows(self.cells)
            write_text(self.out / LISTED, text.getvalue())
        whole = [*self.unread, *((path, Code.UNSUPPORTED.value) for path in rest)]
        below = tuple((PurePosixPath(path.relative_to(self.source)), code) for path, code in whole)
        return replace(self.done, behind=below, unread=len(self.unread))

    def _rows(self, table: TableFile, columns: Sequence[Column]) -> list[Person] | None:
        """Say whose each row is; None where nothing in the table does."""
        if not table.rows:
            return []
        patient = next((one for one in columns if one.role is Role.PATIENT), None)
        if patient is not None:
            return [self.persons.get(cell.strip(), NOBODY) for cell in table.columns[patient.name]]
        links = [one.name for one in columns if one.role in (Role.IDENTIFIER, Role.UID)]
        for name in links:
            owners = [self.told.owners.get(cell.strip(), ("", ""))[0] for cell in table.columns[name]]
            if any(owners):
                return [self.persons.get(owner, NOBODY) for owner in owners]
        return None

    def _stays(self, patient: str, table: str, row: str, column: str, code: str) -> None:
        self.cells.append((self.key.pseudonym("patient", patient) if patient else "", table, row, column, code))

    def _say(self, shown: str, table: TableFile, dropped: Sequence[Column], names: Mapping[str, str], tally: Tally) -> None:
        said = [f"{shown}: {table.rows} rows, {tally.struck} cells struck, {tally.shifted} dates moved"]
        if tally.behind:
            counts = Counter(trip.value for _, _, trip in tally.behind)
            said.append(f"{len(tally.behind)} cells stay behind ({', '.join(f'{n} {c}' for c, n in sorted(counts.items()))})")
        said += [f"column {names[one.name]} stays behind ({one.holds})" for one in dropped]
        self.tell("; ".join(said))
