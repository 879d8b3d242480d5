"""The studies table: a row a study, its identifiers kept as text, its faults kept apart."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from medmm.cohort.scan import Scan, scan
from medmm.cohort.target import TargetSettings
from medmm.errors import Code, DataError, Rejected
from medmm.readers.exports import TABLES, Records, open_export
from medmm.readers.table import read_table
from medmm.settings import Settings
from medmm.tables import nearest
from medmm.types import Study

if TYPE_CHECKING:
    import pandas as pd


class CohortSettings(Settings):
    """Where the export lies and which columns of its studies table mean what."""

    root: Path
    """Folder of the export; every other path of a run file is relative to it."""

    studies: str = "studies.csv"
    """Table with a row a study (CSV, TSV or parquet, or one of a FHIR, HL7 or MEDS folder, such as fhir/studies)."""

    patient: str = "patient_id"
    """Column that tells persons apart, in every table."""

    study: str = "study_id"
    """Column that tells studies apart."""

    time: str | None = None
    """Column with the time of a study (ISO 8601). Nothing recorded after it is read."""

    person: tuple[str, ...] = ()
    """Columns of the studies table, such as name and date of birth, in which one person has the same cells under any
    identifier."""

    same_person: Literal["join", "report"] = "join"
    """What becomes of identifiers that are one person's, by these columns, by name and date of birth in image headers, or by
    an identical image: treated as one patient, or left apart and reported, which ends a run that puts them on two sides."""

    subgroups: tuple[str, ...] = ()
    """Columns by which results are shown apart, such as sex and site."""

    strict_records: bool = False
    """Hold each FHIR resource against its whole definition, which takes five times as long and needs `medmm[fhir]`."""


@dataclass(frozen=True)
class Sources:
    """An export opened once: its tables and its image folders are read a single time, whoever asks.

    Attributes:
        settings: The meaning of the columns.
        memory: Where the indices of image folders are kept; None keeps none.
    """

    settings: CohortSettings
    memory: Path | None
    _tables: dict[str, "pd.DataFrame"]
    _scans: dict[str, Scan]
    _exports: dict[str, Records | None] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        settings: CohortSettings,
        studies: "pd.DataFrame | None" = None,
        scans: Mapping[str, Scan] | None = None,
        memory: Path | None = None,
    ) -> "Sources":
        """Open the export of these settings.

        Args:
            settings: The meaning of the columns.
            studies: A studies table, all cells text, that stands for the one on disk.
            scans: Image folders that are known already, by name.
            memory: Folder for what is remembered of image folders, which holds identifiers of patients.

        Raises:
            DataError: There is no such folder.
        """
        if not settings.root.is_dir():
            raise DataError("cohort.root is not a folder: give the folder of the export")
        return cls(settings, memory, {} if studies is None else {settings.studies: studies}, dict(scans or {}))

    def path(self, name: str) -> Path:
        """Give a path inside the export.

        Raises:
            DataError: The name is absolute or leads out of the export.
        """
        if Path(name).is_absolute():
            raise DataError("a path of the export is absolute: write it relative to cohort.root, so that a package can keep it")
        root = self.settings.root.resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise DataError("a path leads out of cohort.root: keep every file of the export inside its folder")
        return path

    def has(self, name: str) -> bool:
        """Tell whether the export has this file or folder."""
        return self.path(name).exists()

    def has_table(self, name: str) -> bool:
        """Tell whether the export has this table, be it a file or one of a folder of records."""
        return name in self._tables or self.path(name).is_file() or self._records(name) is not None

    def opened(self) -> frozenset[str]:
        """Name the tables that were read."""
        return frozenset(self._tables)

    def table(self, name: str, columns: Sequence[str]) -> "pd.DataFrame":
        """Give a table of the export; all cells are text.

        A name such as `fhir/facts` is a table of the folder `fhir` of FHIR, HL7 or MEDS records, where no file has that name.

        Raises:
            DataError: No such table, or it lacks one of the columns.
        """
        if name not in self._tables:
            if self.path(name).is_file():
                self._tables[name] = read_table(self.path(name))
            elif (records := self._records(name)) is not None:
                self._tables[name] = records.tables[name.rpartition("/")[2]]
            else:
                raise DataError(f"the export has no table {name!r}: correct its name in the run file")
        table = self._tables[name]
        for column in columns:
            if column not in table.columns:
                raise DataError(f"table {name!r} has no column {column!r}: {nearest(column, list(table.columns))}")
        return table

    def faults(self, name: str) -> Mapping[str, Rejected]:
        """Give, patient by patient, why rows of a table that was opened must not be used; a plain table has no such patient."""
        folder, _, table = name.rpartition("/")
        records = self._exports.get(folder)
        return records.faults.get(table, {}) if records is not None else {}

    def left_out(self) -> Mapping[str, Mapping[str, int]]:
        """Give, folder by folder, what of the exports of records that were opened was left out on purpose, and how often."""
        return {name: records.counts for name, records in self._exports.items() if records is not None}

    def _records(self, name: str) -> Records | None:
        folder, _, table = name.rpartition("/")
        if not folder or table not in TABLES:
            return None
        if folder not in self._exports:
            self._exports[folder] = open_export(self.path(folder), self.settings.strict_records)
        return self._exports[folder]

    def scan(self, name: str, progress: Callable[[int, int], None] | None = None) -> Scan:
        """Give the series of an image folder.

        Args:
            name: Of the folder.
            progress: Called after each file with the number of files done and of all.

        Raises:
            DataError: No such folder.
        """
        if name not in self._scans:
            if not self.path(name).is_dir():
                raise DataError(f"the export has no folder {name!r}: correct its name in the run file")
            self._scans[name] = scan(self.path(name), progress, self.memory)
        return self._scans[name]


def read_studies(sources: Sources, target: TargetSettings | None) -> tuple[Study, ...]:
    """Read the studies table.

    A row that cannot be used comes back with the reason in `Study.rejected`; the other rows go on.

    Args:
        sources: The opened export.
        target: How to read the label; None at scoring.

    Raises:
        DataError: The table or one of its columns is missing, or it has no row.
    """
    settings = sources.settings
    wanted = [settings.patient, settings.study, *([settings.time] if settings.time else [])]
    if target:  # scoring looks at none of these
        wanted += [*target.columns, *settings.subgroups, *settings.person]
        if named := set(target.columns) & set(settings.person):
            raise DataError(f"cohort.person names {min(named)!r}, which is the target: name columns that tell who somebody is")
    table = sources.table(settings.studies, wanted)
    if table.empty:
        raise DataError(f"table {settings.studies!r} has no row: export at least one study")
    rows = [{str(name): str(cell) for name, cell in row.items()} for row in table.to_dict("records")]
    times = Counter(row[settings.study] for row in rows)
    studies = [_study(number, row, settings, target, times[row[settings.study]]) for number, row in enumerate(rows, 1)]
    faults = sources.faults(settings.studies)
    return tuple(
        study.with_input(settings.studies, faults[study.patient_id].at(study.key)) if study.patient_id in faults else study
        for study in studies
    )


def _study(row: int, cells: dict[str, str], settings: CohortSettings, target: TargetSettings | None, copies: int) -> Study:
    study = Study(
        row=row,
        patient_id=cells[settings.patient],
        study_id=cells[settings.study],
        groups={name: cells[name] for name in settings.subgroups if name in cells},
        cells={name: cell for name, cell in cells.items() if target is None or name not in target.columns},
    )
    where = study.key
    try:
        if not study.patient_id or not study.study_id:
            raise Rejected(Code.EMPTY, where, "no identifier", "a patient and a study", "fill both columns")
        if copies > 1:
            raise Rejected(
                Code.AMBIGUOUS, where, f"{copies} rows of one study", "one row", "give each study its own identifier"
            )
        time = _time(cells[settings.time], where) if settings.time else None
        label = _label(target, cells, where) if target else None
    except Rejected as reason:
        return study.with_input(settings.studies, reason)
    return study.dated(time, label)


def _label(target: TargetSettings, cells: Mapping[str, str], where: str) -> tuple[float, ...] | None:
    try:
        return target.encode(*(cells[column] for column in target.columns))
    except Rejected as reason:
        raise reason.at(where) from None


def _time(cell: str, where: str) -> datetime:
    try:
        time = datetime.fromisoformat(cell)
    except ValueError:
        raise Rejected(Code.TYPE, where, "a time that cannot be read", "ISO 8601", "write it as 2024-05-31T14:30:00") from None
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
