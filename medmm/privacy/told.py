"""What the tables of a cohort tell of its patients: what is struck from notes, whose each study is, and how far dates go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from medmm.privacy.column_words import PATIENTS
from medmm.privacy.columns import NULLS, Column, Role, words_of
from medmm.privacy.known import KnownValues
from medmm.privacy.table_files import TableFile
from medmm.privacy.written_dates import parse_date, told_order


@dataclass
class Told:
    """What the tables tell of the patients."""

    known: dict[str, list[KnownValues]]
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Identifier of a study or the like -> its patient, and what the identifier is of; "" where of several."""

    latest: dict[str, date] = field(default_factory=dict)

    def own(self, value: str, patient: str, kind: str) -> None:
        """Take in that an identifier is of a patient."""
        before = self.owners.get(value)
        self.owners[value] = (patient if before is None or before[0] == patient else "", kind)


def patient_cells(table: TableFile) -> Sequence[str]:
    """Give the cells of the column that by its name says whose the rows are; none where there is no such column."""
    names = {"".join(words_of(name)): name for name in table.columns}
    return next((table.columns[names[one]] for one in PATIENTS if one in names), [])


def with_patient(columns: list[Column]) -> list[Column]:
    """Say which column tells whose a row is: the likeliest by its name, or else one by its cells."""
    patients = [one for one in columns if one.role is Role.IDENTIFIER and one.kind == "patient"]
    if not patients:
        return columns

    def rank(column: Column) -> int:
        name = "".join(words_of(column.name))
        return PATIENTS.index(name) if name in PATIENTS else len(PATIENTS)

    best = min(patients, key=rank)
    return [replace(one, role=Role.PATIENT) if one is best else one for one in columns]


def told_by(tables: Sequence[TableFile], columns: Sequence[Sequence[Column]], known: Mapping[str, KnownValues]) -> Told:
    """Gather what headers and tables say of each patient, and whose each study is.

    Args:
        tables: Of the cohort.
        columns: Of each table.
        known: Patient's identifier -> what the images say of the patient.
    """
    told = Told({patient.strip(): [values] for patient, values in known.items()})
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


def _add(told: Told, column: Column, rows: Sequence[str], cells: Sequence[str]) -> None:
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
