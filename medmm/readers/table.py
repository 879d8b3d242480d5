"""Tables of records: every cell as text, exactly as written, so that no identifier is changed by a guess at its type.

Source: RFC 4180 for CSV; the first line names the columns.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmm.errors import Code, Rejected
from medmm.readers.excel import ZIP_MAGIC, excel_rows, refuse_older

if TYPE_CHECKING:
    import pandas as pd

PARQUET_MAGIC = b"PAR1"
TABLE_LIMIT_BYTES = 1 << 30
SEPARATORS = (",", "\t", ";")


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV (comma, tab or semicolon), parquet or Excel file, told apart by content, as text.

    An empty cell, and a missing value of parquet, is "". Parquet numbers are written so that they read back equal, times
    in ISO 8601. Lines without any character are passed over.

    Returns:
        One row a record, every cell a str.

    Raises:
        Rejected: EMPTY, TOO_LARGE, or MALFORMED (not UTF-8, NUL, two columns of one name, a row of another length than the
            first line, broken quotes, a nested parquet column); the message names the line or column by number. Of a
            workbook what `excel_rows` says.
    """
    import pandas as pd

    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(len(PARQUET_MAGIC))
    except OSError as error:
        raise Rejected(
            Code.EMPTY, "the table", f"no readable file ({type(error).__name__})", "a table", "check the path"
        ) from None
    if not size:
        raise Rejected(Code.EMPTY, "the table", "an empty file", "a line of column names", "export the table again")
    if size > TABLE_LIMIT_BYTES:
        raise Rejected(Code.TOO_LARGE, "the table", f"{size} bytes", f"at most {TABLE_LIMIT_BYTES}", "split the table")
    if magic == PARQUET_MAGIC:
        return _read_parquet(path)
    refuse_older(magic)
    (_, names), *rows = excel_rows(path) if magic == ZIP_MAGIC else _csv_rows(_decode(path.read_bytes()))
    _check_names(names)
    for line, row in rows:
        if len(row) != len(names):
            raise _malformed(f"line {line}", f"{len(row)} cells", f"{len(names)} as in the first line")
    return pd.DataFrame([row for _, row in rows], columns=pd.Index(names, dtype=str), dtype=str)


def _decode(content: bytes) -> str:
    if b"\0" in content:
        raise _malformed(f"line {_line_at(content, content.index(0))}", "a NUL byte", "UTF-8 text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _malformed(f"line {_line_at(content, error.start)}", "bytes that are not UTF-8", "UTF-8 text") from None


def _line_at(content: bytes, place: int) -> int:
    return content.count(b"\n", 0, place) + 1


def _csv_rows(text: str) -> list[tuple[int, list[str]]]:
    """Split text into rows, each with the number of its last line."""
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(SEPARATORS, key=first.count), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error:
        raise _malformed(
            f"line {reader.line_num}", "broken quotes or an oversized cell", "cells as RFC 4180 writes them"
        ) from None
    if not rows:
        raise Rejected(Code.EMPTY, "the table", "no line", "a line of column names", "export the table again")
    return rows


def _check_names(names: Sequence[str]) -> None:
    for number, name in enumerate(names, start=1):
        if name in names[: number - 1]:
            raise _malformed("the column names", f"the name of column {number} twice", "a name for each column")


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read()
    except (OSError, ValueError, pa.ArrowException):
        raise _malformed("the table", "a parquet file that cannot be read", "a whole parquet file") from None
    _check_names(table.column_names)
    columns = [_texts(column, number) for number, column in enumerate(table.columns, start=1)]
    rows = list(zip(*columns, strict=True)) if columns else []
    return pd.DataFrame(rows, columns=pd.Index(table.column_names, dtype=str), dtype=str)


def _texts(column: Any, number: int) -> list[str]:
    write = _writer(column.type, number)
    return ["" if value is None else write(value) for value in column.to_pylist()]


def _writer(kind: Any, number: int) -> Callable[[Any], str]:
    """Give how a value of an Arrow type is written."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _writer(kind.value_type, number)
    if pa.types.is_float32(kind):
        return _write_float32
    if pa.types.is_floating(kind):
        return lambda value: "" if math.isnan(value) else repr(value)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        return lambda value: str(value.isoformat())
    if any(is_kind(kind) for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)):
        return str
    if any(is_kind(kind) for is_kind in (pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null)):
        return str
    raise _malformed("the table", f"a nested or binary column, number {number}", "text, numbers and times")


def _write_float32(value: float) -> str:
    """Write the shortest number that reads back as the same float32."""
    import numpy as np

    return "" if math.isnan(value) else str(np.float32(value))


def _malformed(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.MALFORMED, where, found, expected, "correct the table at its source")
