"""Long tables, a row a value: which values belong to which study, as numbers in the unit of the run file.

The table is gone through in blocks, and its texts are compared and read where they lie, so that ten million rows cost little
more than their numbers. N values of studies, S studies, C columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from medmm.cohort.studies import Sources
from medmm.errors import DataError
from medmm.inputs.records import By
from medmm.readers.threads import in_threads
from medmm.readers.units import conversion
from medmm.types import Array, Study

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 1 << 20
LONG_AGO = np.iinfo(np.int64).min
MICROSECOND = timedelta(microseconds=1)
PLAIN_TIME = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?$"
PLAIN_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$"


@dataclass(frozen=True)
class Column:
    """What is wanted of one code.

    Attributes:
        name: The code.
        numeric: A number; a category otherwise.
        unit: In which it is wanted; None takes every number as it stands.
        molar_mass: g/mol, where mass and amount may become each other.
        window_days: How long before the study a value counts; None without limit.
    """

    name: str
    numeric: bool
    unit: str | None = None
    molar_mass: float | None = None
    window_days: float | None = None


@dataclass(frozen=True)
class Names:
    """Columns of the table: the identifier that joins it, the time, the code, the value and its unit."""

    key: str
    time: str
    code: str
    value: str
    unit: str


@dataclass(frozen=True)
class Values:
    """Values of studies, in the order of the table.

    Attributes:
        study: (N,) index in the list of studies.
        column: (N,) index in the list of columns.
        time_us: (N,) microseconds since 1970; 0 where studies have no times.
        number: (N,) in the unit of its column, NaN where the cell is no number; of a category a number in place of its text.
        converted: (N,) whether the number is another than the cell says.
        row: (N,) index of the row.
        index_us: (S,) time of each study.
        unreadable: (S,) whether a time of the study's rows cannot be read.
        other_unit: (S, C) whether a value has a unit that cannot become the one of its column.
        texts: Cells of the table's values.
    """

    study: Array
    column: Array
    time_us: Array
    number: Array
    converted: Array
    row: Array
    index_us: Array
    unreadable: Array
    other_unit: Array
    texts: Any

    def cells(self, places: Array) -> list[str]:
        """Give the cells of some values, without the white space around them."""
        return [cell.strip() for cell in self.texts.take(_indices(self.row[places])).to_pylist()]


def find_values(
    sources: Sources, studies: Sequence[Study], table: str, by: By, names: Names, columns: Sequence[Column]
) -> Values:
    """Find the values that were known at the time of each study, and were recorded within the window of their column.

    A row belongs to all studies of its patient; it is no matter in which order the rows stand.

    Args:
        sources: The opened export.
        studies: Whose values.
        table: Name of the table.
        by: Which identifier joins the two.
        names: Its columns.
        columns: What is wanted.

    Raises:
        DataError: The table or a column is missing, or there is a window and studies have no times.
    """
    timeless = sources.settings.time is None
    if timeless and any(column.window_days is not None for column in columns):
        raise DataError("window_days needs the time of the studies: name its column under cohort.time")
    frame = sources.table(table, [names.key, names.code, names.value, names.unit, names.time])
    ids = [study.study_id if by == "study" else study.patient_id for study in studies]
    index_us = np.array([0 if timeless else _microseconds(study) for study in studies], np.int64)
    texts = {name: _texts(frame[name]) for name in (names.key, names.code, names.value, names.unit, names.time)}
    unreadable = np.zeros(len(studies), bool)
    other_unit = np.zeros((len(studies), len(columns)), bool)
    reader = _Reader(texts, names, columns, _Join.of(ids), index_us, timeless, unreadable, other_unit)
    empty = tuple(np.empty(0, kind) for kind in (np.int32, np.int32, np.int64, float, bool, np.int64))
    parts = in_threads(reader.read, range(0, len(frame), BLOCK_ROWS))
    study, column, time_us, number, converted, row = (np.concatenate(part) for part in zip(empty, *parts, strict=True))
    category = np.flatnonzero(~np.array([one.numeric for one in columns], bool)[column])
    number[category] = _coded(texts[names.value], row[category])
    return Values(study, column, time_us, number, converted, row, index_us, unreadable, other_unit, texts[names.value])


@dataclass(frozen=True)
class _Reader:
    """Reads blocks of the table; what is wrong with a study is written down on the way."""

    texts: Mapping[str, Any]
    names: Names
    columns: Sequence[Column]
    join: _Join
    index_us: Array
    timeless: bool
    unreadable: Array
    other_unit: Array

    def read(self, start: int) -> tuple[Array, ...]:
        """Give study, column, time, number, whether converted, and row of the values from one row on."""
        block = {name: text.slice(start, BLOCK_ROWS) for name, text in self.texts.items()}
        person = _places(block[self.names.key], self.join.ids)
        column = _places(block[self.names.code], [one.name for one in self.columns])
        rows = np.flatnonzero((person >= 0) & (column >= 0))
        time_us = np.zeros(rows.size, np.int64)
        if not self.timeless:
            time_us, readable = read_times(block[self.names.time].take(_indices(rows)))
            self.unreadable[self.join.studies(person[rows[~readable]])[1]] = True
            rows, time_us = rows[readable], time_us[readable]
        person, column = person[rows], column[rows]
        value, unit = (block[name].take(_indices(rows)) for name in (self.names.value, self.names.unit))
        number, converted, wrong, given = _numbers(value, unit, column, self.columns)
        place, study = self.join.studies(person)
        known = (time_us[place] <= self.index_us[study]) & given[place]
        known &= _within(time_us, self.index_us, column, self.columns, place, study)
        place, study = place[known], study[known]
        self.other_unit[study[wrong[place]], column[place[wrong[place]]]] = True
        return study, column[place], time_us[place], number[place], converted[place], rows[place] + start


@dataclass(frozen=True)
class _Join:
    """One to many, checked by its making: an identifier has a place, each place its studies, each study one place."""

    ids: Sequence[str]
    first: Array
    count: Array
    order: Array

    @classmethod
    def of(cls, ids: Sequence[str]) -> _Join:
        places = {one: place for place, one in enumerate(dict.fromkeys(ids))}
        place = np.array([places[one] for one in ids], np.int64)
        count = np.bincount(place, minlength=len(places))
        return cls(list(places), np.cumsum(count) - count, count, np.argsort(place, kind="stable").astype(np.int32))

    def studies(self, person: Array) -> tuple[Array, Array]:
        """Give, for each study of each person, the index of the person in the list and the index of the study."""
        count = self.count[person]
        index = np.repeat(np.arange(person.size), count)
        within = np.arange(index.size) - np.repeat(np.cumsum(count) - count, count)
        return index, self.order[self.first[person][index] + within]


def read_times(texts: pa.Array) -> tuple[Array, Array]:
    """Read times in ISO 8601: (n,) microseconds since 1970 in UTC, and (n,) whether each could be read."""
    import pandas as pd

    plain = _plain_times(texts)
    if plain is not None:
        return plain, np.ones(len(texts), bool)
    read = pd.to_datetime(pd.Series(texts.to_pylist(), dtype=object), format="ISO8601", errors="coerce", utc=True)
    times = read.dt.tz_localize(None).to_numpy()
    if np.datetime_data(times.dtype)[0] == "ns":  # later by a nanosecond is later
        micro = times.astype("datetime64[us]")
        times = micro + (micro < times)
    return times.astype("datetime64[us]").astype(np.int64), read.notna().to_numpy()


def _plain_times(texts: pa.Array) -> Array | None:
    """Read times that are all written plainly, which is much faster; None where one is not, or is a day of no calendar."""
    import pyarrow as pa
    from pyarrow import compute

    if compute.all(compute.match_substring_regex(texts, PLAIN_TIME)).as_py() is False:
        return None
    try:
        return np.asarray(texts.cast(pa.timestamp("us")).cast(pa.int64()))
    except pa.ArrowInvalid:
        return None


def _within(time_us: Array, index_us: Array, column: Array, columns: Sequence[Column], value: Array, study: Array) -> Array:
    """Tell which values are not too old."""
    windows = [LONG_AGO if one.window_days is None else timedelta(days=one.window_days) // MICROSECOND for one in columns]
    window = np.array(windows, np.int64)[column[value]]
    kept: Array = (window == LONG_AGO) | (time_us[value] >= index_us[study] - np.maximum(window, 0))
    return kept


def _numbers(values: pa.Array, units: pa.Array, column: Array, columns: Sequence[Column]) -> tuple[Array, Array, Array, Array]:
    """Read the cells of a block: number, whether converted, whether of a wrong unit, whether there is anything."""
    from pyarrow import compute

    texts = compute.utf8_trim_whitespace(values)
    given = np.asarray(compute.not_equal(texts, ""))
    number = read_numbers(texts)
    converted, wrong = np.zeros(column.size, bool), np.zeros(column.size, bool)
    encoded = units.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    pair = column * np.int64(len(found)) + np.asarray(encoded.indices)
    pairs, member = np.unique(pair, return_inverse=True)
    times, over, offset = np.ones(pairs.size), np.ones(pairs.size), np.zeros(pairs.size)
    bad, other = np.zeros(pairs.size, bool), np.zeros(pairs.size, bool)
    for i, (which, unit) in enumerate(zip(*np.divmod(pairs, max(1, len(found))), strict=True)):
        one = columns[which]
        if one.unit is None or found[unit] == one.unit:
            continue
        made = conversion(found[unit], one.unit, one.molar_mass)
        if made is None:
            bad[i] = True
        else:
            other[i], times[i], over[i], offset[i] = True, made.times, made.over, made.offset
    if other.any():
        converted = other[member]
        place = member[converted]
        with np.errstate(over="ignore"):  # what is no number any more is refused where it is read
            number[converted] = number[converted] * times[place] / over[place] + offset[place]
    if bad.any():
        wrong = bad[member] & given
    return number, converted, wrong, given


def read_cells(values: Any, units: Any, column: Column) -> Array:
    """Read cells of one column, texts with the unit of each, as numbers in its unit: (n,), NaN where a cell is no number."""
    return _numbers(_texts(values), _texts(units), np.zeros(len(values), np.int32), [column])[0]


def read_numbers(texts: pa.Array) -> Array:
    """Read numbers as Python does: (n,), NaN where the text is none, or is not finite."""
    import pyarrow as pa
    from pyarrow import compute

    plain = compute.match_substring_regex(texts, PLAIN_NUMBER)
    number = np.array(compute.if_else(plain, texts, None).cast(pa.float64()).fill_null(np.nan))
    rare = np.flatnonzero(~np.asarray(plain))
    if rare.size:
        encoded = texts.take(_indices(rare)).dictionary_encode()
        number[rare] = np.array([_number(text) for text in encoded.dictionary.to_pylist()], float)[np.asarray(encoded.indices)]
    number[~np.isfinite(number)] = np.nan
    return number


def _number(text: str) -> float:
    try:
        return np.nan if "_" in text else float(text)
    except ValueError:
        return np.nan


def _coded(values: Any, rows: Array) -> Array:
    """Give each text a number, the same for the same text."""
    from pyarrow import compute

    return np.asarray(compute.utf8_trim_whitespace(values.take(_indices(rows))).dictionary_encode().indices, float)


def _texts(column: Any) -> pa.Array:
    import pyarrow as pa

    array = pa.array(column, pa.large_string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _places(texts: pa.Array, wanted: Sequence[str]) -> Array:
    """Give the place of each text among those wanted; -1 where it is none."""
    import pyarrow as pa
    from pyarrow import compute

    return np.asarray(compute.index_in(texts, pa.array(wanted, pa.large_string())).fill_null(-1))


def _indices(rows: Array) -> pa.Array:
    import pyarrow as pa

    return pa.array(rows)


def _microseconds(study: Study) -> int:
    return LONG_AGO if study.time is None else int(np.datetime64(study.time, "us").astype(np.int64))
