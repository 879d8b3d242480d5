"""Results as CSV (RFC 4180) in which no cell becomes a formula, whatever spreadsheet opens it, and nothing is lost by that.

Text is always in quotes, numbers never. Where a spreadsheet would start to compute, an apostrophe is put in front: at the start
of a text, and after each character in it by which some spreadsheet may split it, for one whose list separator is the semicolon
does not see our quotes. An apostrophe that stands in such a place gets another one, so that the text can be had back: drop one
apostrophe from each of these places, as `as_it_was` does. Lists are JSON. Absent is an empty cell without quotes.

The file starts with a byte order mark, without which Excel takes UTF-8 for another encoding. Spreadsheets still turn a text of
digits into a number when they open a CSV by a double click: import it with the columns of identifiers as text.

Source:
    OWASP, CSV Injection.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TextIO

import pyarrow as pa
from pyarrow import csv

from medmm.files import writing
from medmm.scoring.sinks.base import Row, Writer

SPLITS = ";|\t\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Characters by which a spreadsheet or a reader of lines may split a text; the comma is not among them, for where that splits,
our quotes are seen."""

PLACES = re.compile(f"(?:^|(?<=[{re.escape(SPLITS)}]))", re.DOTALL)
MARKED = re.compile(f"{PLACES.pattern}'")

STARTS = frozenset("=+-@\u2212\u2010\u2011")
"""Characters by which a formula starts, with those that look like a minus; wide and small ones are found by their NFKC form."""

QUOTES = frozenset("'\"`\u00b4\u2018\u2019\u201c\u201d\uff02\uff07")

NUL = "\u2400"
"""Stands for a NUL, at which many programs stop to read."""


def inert(text: str) -> str:
    """Give a text with an apostrophe in each place where a spreadsheet would start to compute."""
    return PLACES.sub(lambda place: "'" if _is_live(text, place.start()) else "", text)


def as_it_was(cell: str) -> str:
    """Give the text of which `inert` made a cell."""
    return MARKED.sub("", cell)


def _is_live(text: str, start: int) -> bool:
    """Tell whether a formula starts here, perhaps after what spreadsheets pass over, or an apostrophe of the text's own."""
    if text.startswith("'", start):
        return True
    for letter in text[start:]:
        if not _is_passed_over(letter):
            return letter in STARTS or unicodedata.normalize("NFKC", letter)[0] in STARTS
        if letter in "\t\r":
            return True
    return False


@cache
def _is_passed_over(letter: str) -> bool:
    return letter.isspace() or letter in QUOTES or unicodedata.category(letter) in {"Cc", "Cf"}


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
