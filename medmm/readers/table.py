"""Tables of records: every cell as text, exactly as written, so that no identifier is changed by a guess at its type.

Source: RFC 4180 for CSV; the first line names the columns.
"""

from __future__ import annotations

import codecs
import csv
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medmm.errors import Code, Rejected
from medmm.readers.excel import ZIP_MAGIC, excel_rows, refuse_older
from medmm.readers.quotes import quotes_stand_right

if TYPE_CHECKING:
    import pandas as pd

PARQUET_MAGIC = b"PAR1"
TABLE_LIMIT_BYTES = 1 << 30
PIECE_BYTES = 1 << 20
ROWS_AT_ONCE = 1 << 16
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
    if magic == ZIP_MAGIC:
        (_, names), *rows = excel_rows(path)
        _check_names(names)
        return _frame(names, iter(rows))
    quoted = _check_text(path)
    with path.open(encoding="utf-8-sig") as file:
        first = next((line for line in file if line.strip()), "")
    separator = max(SEPARATORS, key=first.count)
    lines = _csv_rows(path, separator)
    _, names = next(lines)
    _check_names(names)
    fast = None if quoted and not quotes_stand_right(path, separator) else _fast_frame(path, separator, names, quoted)
    return _frame(names, lines) if fast is None else fast


def _fast_frame(path: Path, separator: str, names: Sequence[str], quoted: bool) -> pd.DataFrame | None:
    """Read a file whose quotes stand right by Arrow's parser; None where it finds a fault, which the slower one can name."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    kinds = arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False)
    quotes = arrow_csv.ParseOptions(delimiter=separator, quote_char='"' if quoted else False, newlines_in_values=quoted)
    try:
        with path.open("rb") as file:  # Arrow itself opens no file whose name is not UTF-8
            table = arrow_csv.read_csv(file, parse_options=quotes, convert_options=kinds)
    except pa.ArrowException:
        return None
    if table.column_names != list(names):
        return None
    texts = [pd.Series(column, dtype=str) for column in table.columns]
    return pd.concat(texts, axis=1).set_axis(pd.Index(names, dtype=str), axis=1)


def _frame(names: Sequence[str], rows: Iterator[tuple[int, list[str]]]) -> pd.DataFrame:
    """Put rows into columns of Arrow texts, some at a time: as objects they would take ten times the memory."""
    import pandas as pd
    import pyarrow as pa

    columns: list[list[pa.Array]] = [[] for _ in names]
    while some := list(islice(rows, ROWS_AT_ONCE)):
        for line, row in some:
            if len(row) != len(names):
                raise _malformed(f"line {line}", f"{len(row)} cells", f"{len(names)} as in the first line")
        for column, cells in zip(columns, zip(*(row for _, row in some), strict=True), strict=True):
            column.append(pa.array(cells, pa.large_string()))
    texts = [pd.Series(pa.chunked_array(column, pa.large_string()), dtype=str) for column in columns]
    return pd.concat(texts, axis=1).set_axis(pd.Index(names, dtype=str), axis=1)


def _check_text(path: Path) -> bool:
    """Check that a file is UTF-8 without NUL, piece by piece; tell whether a quote stands in it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, quoted = 1, False
    with path.open("rb") as file:
        more = True
        while more:
            piece = file.read(PIECE_BYTES)
            more = bool(piece)
            if (place := piece.find(b"\0")) >= 0:
                line += piece.count(b"\n", 0, place)
                raise _malformed(f"line {line}", "a NUL byte", "UTF-8 text")
            try:
                decoder.decode(piece, final=not more)
            except UnicodeDecodeError as error:
                line += error.object.count(b"\n", 0, error.start)
                raise _malformed(f"line {line}", "bytes that are not UTF-8", "UTF-8 text") from None
            line += piece.count(b"\n")
            quoted = quoted or b'"' in piece
    return quoted


def _csv_rows(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Split text into rows, each with the number of its last line."""
    empty = True
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            for row in reader:
                if row:
                    empty = False
                    yield reader.line_num, row
        except csv.Error:
            raise _malformed(
                f"line {reader.line_num}", "broken quotes or an oversized cell", "cells as RFC 4180 writes them"
            ) from None
    if empty:
        raise Rejected(Code.EMPTY, "the table", "no line", "a line of column names", "export the table again")


def _check_names(names: Sequence[str]) -> None:
    for number, name in enumerate(names, start=1):
        if name in names[: number - 1]:
            raise _malformed("the column names", f"the name of column {number} twice", "a name for each column")


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with path.open("rb") as file:
            table = parquet.ParquetFile(file).read()
        table.validate(full=True)  # or texts that are not UTF-8 would be found by whoever reads them
    except (OSError, ValueError, pa.ArrowException):
        raise _malformed("the table", "a parquet file that cannot be read", "a whole parquet file") from None
    _check_names(table.column_names)
    columns = [pd.Series(_texts(column, number), dtype=str) for number, column in enumerate(table.columns, start=1)]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(table.num_rows), dtype=str)
    return frame.set_axis(pd.Index(table.column_names, dtype=str), axis=1)


def _texts(column: Any, number: int) -> Any:
    """Give a column as an Arrow array of texts; what is text already is not gone through value by value."""
    import pyarrow as pa

    kind = pa.large_string()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = column.cast(kind).fill_null("")
    else:
        write = _writer(column.type, number)
        written = [pa.array(["" if one is None else write(one) for one in part.to_pylist()], kind) for part in column.chunks]
        texts = pa.chunked_array(written, kind)
    return texts


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
