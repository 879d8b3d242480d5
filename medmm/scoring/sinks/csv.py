"""Results as CSV (RFC 4180) in which no cell becomes a formula, whatever spreadsheet opens it, and nothing is lost by that.

Text is always in quotes and made harmless by `medmm.inert`, numbers never. Lists are JSON. Absent is an empty cell without
quotes.

The file starts with a byte order mark, without which Excel takes UTF-8 for another encoding. Spreadsheets still turn a text of
digits into a number when they open a CSV by a double click: import it with the columns of identifiers as text.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pyarrow as pa
from pyarrow import csv

from medmm.files import writing
from medmm.inert import NUL, as_it_was, inert
from medmm.scoring.sinks.base import Row, Writer


class _CsvWriter:
    def __init__(self, file: TextIO, schema: pa.Schema) -> None:
        self._file = file
        self._names: list[str] = schema.names
        self._line(self._names)

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        for row in rows:
            self._line([row.get(name) for name in self._names])

    def _line(self, cells: Sequence[object]) -> None:
        self._file.write(",".join(map(_cell, cells)) + "\r\n")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return '"' + inert(text.replace("\0", NUL)).replace('"', '""') + '"'


class Csv:
    """`NAME.csv`, row after row."""

    @contextmanager
    def open(self, folder: Path, name: str, schema: pa.Schema) -> Iterator[Writer]:
        """Start `NAME.csv`."""
        with (
            writing(folder / f"{name}.csv") as temporary,
            temporary.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file,
        ):
            yield _CsvWriter(file, schema)


def read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a result that `Csv` wrote, with every text as it was.

    Args:
        path: The file.
        schema: Its columns.
    """
    plain = {field.name: pa.string() if _is_list(field) else field.type for field in schema}
    table = csv.read_csv(
        path,
        parse_options=csv.ParseOptions(newlines_in_values=True),
        read_options=csv.ReadOptions(column_names=schema.names, skip_rows=1),
        convert_options=csv.ConvertOptions(
            column_types=plain, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    columns = [_read(table.column(field.name), field) for field in schema]
    return pa.table(columns, schema=schema)


def _read(column: pa.ChunkedArray, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    if not _is_list(field) and field.type != pa.string():
        return column
    texts = [None if text is None else as_it_was(text) for text in column.to_pylist()]
    return pa.array([None if text is None else json.loads(text) for text in texts] if _is_list(field) else texts, field.type)


def _is_list(field: pa.Field) -> bool:
    return bool(pa.types.is_list(field.type))
