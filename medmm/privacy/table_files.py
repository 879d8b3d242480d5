"""Tables in files: read whole, and written in the format in which they were, but for workbooks, which become CSV.

What a column keeps it keeps to the byte in a CSV, and with its type in parquet.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmm.errors import Rejected
from medmm.files import write_text, writing
from medmm.readers.table import PARQUET_MAGIC, SEPARATORS, read_table

TABLES = frozenset((".csv", ".tsv", ".parquet", ".xlsx"))
NOTES = frozenset((".txt", ".md"))
RECORDS = frozenset((".json", ".jsonl", ".ndjson", ".hl7", ".xml", ".html"))
"""Suffixes of tables, of files that are a note each, and of what is not covered and stays behind."""

TEXTS = TABLES | NOTES | RECORDS


@dataclass(frozen=True)
class TableFile:
    """A table of the cohort.

    Attributes:
        path: Where it lies.
        number: Of the table in the order of their paths, from 1.
        columns: Name -> (R,) cells, all text.
    """

    path: Path
    number: int
    columns: Mapping[str, list[str]]

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(next(iter(self.columns.values()), []))


def read(path: Path, number: int) -> TableFile:
    """Read a table.

    Raises:
        Rejected: What `read_table` says.
    """
    try:
        frame = read_table(path)
    except Rejected as reason:
        raise reason.at(f"table {number}") from None
    return TableFile(path, number, {str(name): [str(cell) for cell in frame[name]] for name in frame.columns})


def suffix_of(path: Path) -> str:
    """Give the suffix of what is written of a table: that of a workbook is a CSV's."""
    return ".csv" if _is_workbook(path) else path.suffix.lower()


def write(table: TableFile, place: Path, columns: Mapping[str, tuple[str, Sequence[str]]]) -> None:
    """Write the columns that are left.

    Args:
        table: As it was.
        place: Where it goes.
        columns: Name that it has now -> name that it had, and its (R,) cells.
    """
    if _magic(table.path) == PARQUET_MAGIC:
        _write_parquet(table, place, columns)
        return
    workbook = _is_workbook(table.path)
    text = io.StringIO()
    writer = csv.writer(text, delimiter="," if workbook else _separator(table.path), lineterminator="\n")
    writer.writerow(list(columns))
    alone = len(columns) == 1
    for row in zip(*(cells for _, cells in columns.values()), strict=True):
        if alone and not row[0]:
            text.write('""\n')  # an empty line would be no row
        else:
            writer.writerow(row)
    write_text(place, text.getvalue())


def _is_workbook(path: Path) -> bool:
    magic = _magic(path)
    return magic != PARQUET_MAGIC and (path.suffix.lower() == ".xlsx" or magic.startswith(b"PK"))


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(PARQUET_MAGIC))


def _separator(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        first = next((line for line in file if line.strip()), "")
    return max(SEPARATORS, key=first.count)


def _write_parquet(table: TableFile, place: Path, columns: Mapping[str, tuple[str, Sequence[str]]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    with table.path.open("rb") as file:
        source = parquet.ParquetFile(file).read()
    arrays = {}
    for name, (before, cells) in columns.items():
        was = source.column(before)
        if pa.types.is_dictionary(was.type):
            was = was.cast(was.type.value_type)  # a dictionary may hold words that stand in no row
        arrays[name] = was if list(cells) == table.columns[before] else _like(list(cells), was.type)
    written = pa.table(arrays)  # without the metadata of the first, which may say anything
    with writing(place) as temporary:
        parquet.write_table(written, temporary)


def _like(cells: list[str], kind: Any) -> Any:
    """Give texts as values of a type, or as texts where one of them is none."""
    import pyarrow as pa

    texts = pa.array([cell or None for cell in cells], pa.string())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        try:
            return texts.cast(kind)
        except pa.ArrowException:
            return texts
    return pa.array(cells, pa.string())
