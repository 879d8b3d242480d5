"""Waveforms as tables, CSV or parquet: a row a sample, a column a lead.

The convention, which needs no settings:

- A column `time` holds seconds in even steps, which give the rate; it may be written `time [s]`. Parquet may state the rate
  instead (or as well, and then both must agree) as `rate_hz` in the metadata of its schema.
- Every other column is a lead, under its name. Its unit stands in square brackets after the name, `II [mV]`; in parquet it may
  stand as `unit` in the metadata of the field instead. Without either it is "".
- CSV is UTF-8, separated by commas, tabs or semicolons, with a decimal point. Every cell holds a number.

Letters: L leads, T samples.
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.table import PARQUET_MAGIC, SEPARATORS
from medmm.readers.waveform_checks import VALUES_LIMIT, check_finite, check_rate, check_size
from medmm.readers.waveform_leads import said_lead, standard_leads
from medmm.types import Array, Waveform

if TYPE_CHECKING:
    import pyarrow as pa

TIME = "time"
RATE = b"rate_hz"
UNIT = b"unit"

CSV_LIMIT_BYTES = 1 << 28
"""Some 40 million values; more is read faster, and in less space, from parquet."""

PARQUET_LIMIT_BYTES = 8 * VALUES_LIMIT + (1 << 20)
"""As much as the limit of values takes without compression."""

LEADS_LIMIT = 1024
HEAD_LIMIT_BYTES = 1 << 16
ROWS_AT_ONCE = 1 << 16

UNEVEN = 0.22
"""How far a time may lie from its place on the even grid that fits best, in steps. Times rounded to milliseconds are off by up
to 0.18 steps at 360 Hz; where one of n samples is missing, some time is off by 1/2 - 1/n."""

NAMED = re.compile(r"([^\[]*?)\s*\[(.+)\]")


@dataclass(frozen=True)
class Column:
    """What the name of a column, and its metadata, say."""

    name: str
    unit: str


def read_waveform_table(path: Path, where: str) -> Waveform:
    """Read a CSV or parquet file that keeps the convention of this module.

    Raises:
        Rejected: EMPTY, TOO_LARGE, MALFORMED (not UTF-8, a row of another length, broken parquet), LEADS (no lead, or one name
            twice), TYPE (a cell or column that holds no numbers), NOT_FINITE (an empty cell, NaN, infinity), RATE (no rate,
            uneven times, two rates), UNIT (times in another unit than seconds, two units of a lead).
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(PARQUET_MAGIC))
        return _parquet(path, where) if magic == PARQUET_MAGIC else _csv(path, where)
    except UnicodeDecodeError:
        raise _malformed(where, "bytes that are not UTF-8", "UTF-8 text") from None


def is_waveform_csv(path: Path) -> bool:
    """Tell whether a file is text whose first line names a column `time` and others."""
    head = _head_of_csv(path)
    return head is not None and TIME in {_column(name, None).name for name in head[0]}


def _head_of_csv(path: Path) -> tuple[list[str], str] | None:
    """Give the column names and what stands between them; None where the first line is no such line of UTF-8 text."""
    with path.open("rb") as file:
        first = re.split(rb"[\r\n]", file.read(HEAD_LIMIT_BYTES).removeprefix(codecs.BOM_UTF8), maxsplit=1)[0]
    try:
        text = first.decode()
        separator = max(SEPARATORS, key=text.count)
        found = next(csv.reader([text], delimiter=separator, strict=True)) if separator in text and "\0" not in text else None
    except (UnicodeDecodeError, csv.Error):
        return None
    return None if found is None else (found, separator)


def _csv(path: Path, where: str) -> Waveform:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    size = path.stat().st_size
    if size > CSV_LIMIT_BYTES:
        raise Rejected(Code.TOO_LARGE, where, f"{size} bytes of CSV", f"at most {CSV_LIMIT_BYTES}", "write it as parquet")
    head = _head_of_csv(path)
    if head is None:
        raise _malformed(where, "no line of column names", "names with commas, tabs or semicolons between them")
    names, separator = head
    columns = _columns([_column(name, None) for name in names], where)
    numbered = [str(number) for number in range(len(columns))]  # Arrow would take a name that stands twice for one column
    options = {
        "read_options": arrow_csv.ReadOptions(column_names=numbered, skip_rows_after_names=1, use_threads=False),
        "parse_options": arrow_csv.ParseOptions(delimiter=separator),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(numbered, pa.float64()), null_values=[""], strings_can_be_null=True
        ),
    }
    try:
        with arrow_csv.open_csv(path, **options) as batches:
            return _waveform(batches, columns, None, None, where)
    except (pa.ArrowException, OSError, ValueError):
        raise _fault_of_csv(path, separator, columns, where) from None


def _fault_of_csv(path: Path, separator: str, columns: Sequence[Column], where: str) -> Rejected:
    """Say what Arrow did not take, by its line."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=separator, strict=True)
        try:
            for row in lines:
                place = f"{where}, line {lines.line_num}"
                if row and len(row) != len(columns):
                    return _malformed(place, f"{len(row)} cells", f"{len(columns)} as in the first line")
                for number, cell in enumerate(row, start=1):
                    if lines.line_num > 1 and cell and not _is_number(cell):
                        expected = "a number, with a decimal point"
                        return Rejected(Code.TYPE, f"{place}, column {number}", "no number", expected, "correct the cell")
        except csv.Error:
            return _malformed(f"{where}, line {lines.line_num}", "broken quotes", "cells as RFC 4180 writes them")
    return _malformed(where, "a table that cannot be read", "rows of numbers")


def _parquet(path: Path, where: str) -> Waveform:
    import pyarrow as pa
    from pyarrow import parquet

    size = path.stat().st_size
    if size > PARQUET_LIMIT_BYTES:
        raise Rejected(
            Code.TOO_LARGE, where, f"{size} bytes", f"at most {PARQUET_LIMIT_BYTES}", "cut it into shorter recordings"
        )
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            columns = _columns([_column(field.name, field.metadata) for field in schema], where)
            for number, field in enumerate(schema, start=1):
                if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
                    found, repair = "a column of another type than numbers", "write it as float or integer"
                    raise Rejected(Code.TYPE, f"{where}, column {number}", found, "numbers", repair)
            stated = (schema.metadata or {}).get(RATE)
            batches = file.iter_batches(batch_size=ROWS_AT_ONCE, use_threads=False)
            return _waveform(batches, columns, file.metadata.num_rows, stated, where)
    except (pa.ArrowException, OSError, ValueError):
        raise _malformed(where, "a parquet file that cannot be read", "a whole parquet file") from None


def _waveform(
    batches: Iterator[pa.RecordBatch], columns: Sequence[Column], rows: int | None, stated: bytes | None, where: str
) -> Waveform:
    """Put batches of rows together; `rows` is what the file promises, `stated` the rate in words, where it says them."""
    leads = [number for number, column in enumerate(columns) if column.name != TIME]
    names = tuple(columns[number].name for number in leads)
    time = next((number for number, column in enumerate(columns) if column.name == TIME), None)
    if time is None and stated is None:
        expected = f"a column {TIME}, or {RATE.decode()} in the metadata of parquet"
        raise Rejected(Code.RATE, where, "no rate", expected, "add one of them where the recording is exported")
    if rows is not None:
        check_size(len(leads), rows, where)
    pieces: list[Array] = []
    times: list[Array] = []
    done = 0
    for batch in batches:
        done += batch.num_rows
        check_size(len(leads), max(done, 1), where)
        numbers = [_numbers(column) for column in batch.columns]  # each (t,) float64
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
            pieces.append(np.stack([numbers[number] for number in leads]).astype(np.float32))  # (L, t)
        if time is not None:
            times.append(numbers[time])
    check_size(len(leads), done, where)
    if rows is not None and done != rows:
        raise Rejected(Code.TRUNCATED, where, f"{done} rows", str(rows), "copy the file again")
    values = np.concatenate(pieces, axis=1)
    for index, lead in enumerate(values):
        check_finite(lead, f"{where}, {said_lead(names, index)}")
    rate = _rate(np.concatenate(times) if times else None, stated, where)
    return Waveform(values, rate, names, tuple(columns[number].unit for number in leads))


def _numbers(column: Any) -> Array:
    """Give a column as float64, NaN where nothing stands."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _rate(times: Array | None, stated: bytes | None, where: str) -> float:
    """Give the rate that the times have, or that is stated; both where there are both."""
    told = None
    if stated is not None:
        told = float(stated) if _is_number(stated.decode("utf-8", "replace")) else math.nan
        check_rate(told, where)
    if times is None:
        assert told is not None
        return told
    place = f"{where}, column {TIME}"
    check_finite(times, place)
    if told is None and len(times) < 2:
        expected, repair = "two times or more", "export the whole recording"
        raise Rejected(Code.RATE, place, "one time, which tells no rate", expected, repair)
    rate = _even(times, place) if told is None else told
    worst = _deviation(times, rate)
    if worst > UNEVEN:
        expected = f"steps of {1 / rate:g} s"
        repair = "export every sample at its time, or resample to even steps"
        raise Rejected(Code.RATE, place, f"times up to {worst:.2f} steps away from their place", expected, repair)
    return rate


def _even(times: Array, where: str) -> float:
    """Give the rate of times, as a whole number where they are as near to one as they are written."""
    duration = float(times[-1] - times[0])
    check_rate((len(times) - 1) / duration if duration > 0 else 0.0, where)
    rate = (len(times) - 1) / duration
    whole = float(round(rate))
    noise = 2 * _deviation(times, rate) + 1e-6
    return whole if whole and _deviation(times, whole) <= noise else rate


def _deviation(times: Array, rate_hz: float) -> float:
    """Give how far the worst of the times lies from its place on the even grid of a rate that fits best, in steps."""
    return float(np.ptp((times - times[0]) * rate_hz - np.arange(len(times)))) / 2


def _column(name: str, metadata: Mapping[bytes, bytes] | None) -> Column:
    stated = (metadata or {}).get(UNIT)
    bracketed = NAMED.fullmatch(name.strip())
    bare, unit = (bracketed[1], bracketed[2].strip()) if bracketed else (name.strip(), "")
    return Column(bare, unit if stated is None else stated.decode("utf-8").strip())


def _columns(columns: Sequence[Column], where: str) -> list[Column]:
    """Check what the columns are named, and give leads in their one spelling."""
    if len(columns) > LEADS_LIMIT:
        found = f"{len(columns)} columns"
        raise Rejected(
            Code.LEADS, where, found, f"at most {LEADS_LIMIT}", "write a row for each sample, a column for each lead"
        )
    leads = [column for column in columns if column.name != TIME]
    if not leads:
        raise Rejected(Code.LEADS, where, "no column of a lead", "at least one", "export the recording with its leads")
    if len(columns) - len(leads) > 1:
        raise Rejected(Code.LEADS, where, f"two columns {TIME}", "one", "leave one out")
    names = iter(standard_leads([column.name for column in leads], where))
    if any(column.name == TIME and column.unit not in ("", "s") for column in columns):
        place = f"{where}, column {TIME}"
        raise Rejected(Code.UNIT, place, "another unit", "s", "write the times in seconds")
    return [column if column.name == TIME else Column(next(names), column.unit) for column in columns]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _malformed(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.MALFORMED, where, found, expected, "correct the file at its source")
