"""The whole of a table beside what the run file says of it: every violation by row with its repair, nothing coerced.

The schema is derived from the settings and checked by pandera. It looks at all rows, while a study is rejected only for those
that it would read; what is found here is for the person who repairs the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medmm.cohort.studies import Sources
from medmm.errors import Code, DataError
from medmm.inputs.base import InputSettings
from medmm.inputs.long_table import Column, read_cells, read_times
from medmm.inputs.tabular import TabularSettings
from medmm.readers.units import conversion
from medmm.tables import nearest

if TYPE_CHECKING:
    import pandas as pd

LISTED = 10_000
CODES = {"column_in_dataframe": Code.EMPTY, "not_nullable": Code.TYPE, "field_uniqueness": Code.AMBIGUOUS}
"""Checks that pandera names itself; all others are named by their code."""


@dataclass(frozen=True)
class Violation:
    """One cell, or one column, that is not as the run file says. It holds nothing that stands in a cell.

    Attributes:
        row: Number of the row, from 1 below the names; None where the whole column is meant.
        column: Of the table; of a long one the code.
        code: Why.
        expected: What would have been right.
        repair: What the user can do about it.
    """

    row: int | None
    column: str
    code: Code
    expected: str
    repair: str


@dataclass(frozen=True)
class Findings:
    """What was found in a table.

    Attributes:
        violations: By row; the first `LISTED` of them.
        counts: Of each column and code, all of them.
    """

    violations: tuple[Violation, ...]
    counts: Mapping[tuple[str, Code], int]


@dataclass(frozen=True)
class _Rule:
    """What cells of one kind must be: a pandera schema for their values, and the words for what fails."""

    column: str
    schema: Any
    expected: str
    repair: str


def check_tables(sources: Sources, inputs: Mapping[str, InputSettings]) -> dict[str, Findings]:
    """Check the table of each tabular input, before anything of it is used.

    Args:
        sources: The opened export.
        inputs: By name, of any kind.

    Raises:
        DataError: A table is missing, or columns of it; all of them are named.
        Rejected: A table cannot be read.
    """
    found: dict[str, Findings] = {}
    for name, settings in inputs.items():
        if isinstance(settings, TabularSettings):
            found[name] = check_table(sources, settings)
            missing = [one.column for one in found[name].violations if one.row is None]
            if missing:
                known = [str(column) for column in sources.table(settings.table, [])]
                words = "; ".join(f"no column {column!r}: {nearest(column, known)}" for column in missing)
                raise DataError(f"table {settings.table!r} has {words}")
    return found


def check_table(sources: Sources, settings: TabularSettings) -> Findings:
    """Check a table of the export: columns, identifiers, times, types, units, ranges, categories, one row a study.

    Raises:
        DataError: There is no such table.
        Rejected: It cannot be read.
    """
    frame = sources.table(settings.table, [])
    frame = frame.set_axis(np.arange(1, len(frame) + 1), axis=0)
    found: list[tuple[int | None, Code, _Rule]] = []
    for rule, values in _rules(sources, settings, frame):
        found += [(row, code, rule) for row, code in _failures(values, rule.schema)]
    found.sort(key=lambda one: (one[0] or 0, one[2].column, one[1]))
    counts = Counter((rule.column, code) for _, code, rule in found)
    listed = (Violation(row, rule.column, code, rule.expected, rule.repair) for row, code, rule in found[:LISTED])
    return Findings(tuple(listed), counts)


def _rules(sources: Sources, settings: TabularSettings, frame: pd.DataFrame) -> Iterator[tuple[_Rule, Any]]:
    """Give each rule with the values that it is for; row numbers are their index."""
    import pandera.pandas as pandera

    cohort = sources.settings
    key = cohort.study if settings.joined_by() == "study" else cohort.patient
    if settings.layout == "wide":
        wanted = [key, *settings.names]
    else:
        wanted = [key, settings.time, settings.code, settings.value, settings.unit]
    schema: Any
    for name in wanted:
        schema = pandera.DataFrameSchema({name: pandera.Column(str)})
        yield _Rule(name, schema, "the column", "add it, or correct its name in the run file"), frame
    timed = cohort.time is not None and settings.time in frame
    if key in frame:
        schema = pandera.SeriesSchema(str, pandera.Check.str_length(min_value=1, error=Code.EMPTY))
        yield _Rule(key, schema, "an identifier", "fill the cell, or delete the row"), frame[key]
    if key in frame and settings.layout == "wide" and not timed:
        given = frame[key][frame[key] != ""]
        repair = "keep one row, or add a column with the time of recording"
        yield _Rule(key, pandera.SeriesSchema(str, unique=True, report_duplicates="all"), "one row", repair), given
    if timed:
        rule = _Rule(settings.time, pandera.SeriesSchema(nullable=False), "ISO 8601", "write it as 2024-05-31T14:30:00")
        yield rule, _times(frame[settings.time])
    if set(wanted) <= set(frame.columns):
        yield from _cells(settings, frame)


def _cells(settings: TabularSettings, frame: pd.DataFrame) -> Iterator[tuple[_Rule, Any]]:
    """Give the rules of the cells, column by column or code by code."""
    import pandas as pd
    import pandera.pandas as pandera

    long = settings.layout == "long"
    for name in settings.names:
        mine = frame[frame[settings.code] == name] if long else frame
        column = settings.numeric.get(name)
        texts = (mine[settings.value] if long else mine[name]).str.strip()
        given = texts[texts != ""]
        if column is None:
            if name in settings.categories:
                allowed = settings.categories[name]
                schema = pandera.SeriesSchema(str, pandera.Check.isin(allowed, error=Code.CATEGORY))
                yield _Rule(name, schema, " or ".join(allowed), "correct the cell, or add it to categories"), given
            continue
        unit = column.unit if long else None
        units = mine[settings.unit][given.index] if long else given
        if unit is not None:
            known = [one for one in units.unique() if conversion(one, unit, column.molar_mass) is not None]
            schema = pandera.SeriesSchema(str, pandera.Check.isin(known, error=Code.UNIT))
            yield _Rule(name, schema, unit, "convert the value, or correct the run file"), units
            units = units[units.isin(known)]
        numbers = read_cells(given[units.index], units, Column(name, True, unit, column.molar_mass))
        low, high = column.range or (-np.inf, np.inf)
        schema = pandera.SeriesSchema(float, nullable=False)
        yield _Rule(name, schema, "a number or an empty cell", "correct the cell"), pd.Series(numbers, units.index)
        schema = pandera.SeriesSchema(float, pandera.Check.in_range(low, high, error=Code.RANGE), nullable=True)
        rule = _Rule(name, schema, f"{low:g} to {high:g}", "correct the value or its unit")
        yield rule, pd.Series(numbers, units.index)


def _times(texts: pd.Series) -> pd.Series:
    import pandas as pd
    import pyarrow as pa

    times, readable = read_times(pa.array(texts, pa.large_string()))
    return pd.Series(times.astype("datetime64[us]"), texts.index).where(readable)


def _failures(values: Any, schema: Any) -> list[tuple[int | None, Code]]:
    """Give row and code of each failure; what stands in the cell is left where it is."""
    from pandera.errors import SchemaErrors

    try:
        schema.validate(values, lazy=True)
    except SchemaErrors as problem:
        cases = problem.failure_cases
        rows = [None if row is None or row != row else int(row) for row in cases["index"].tolist()]  # noqa: PLR0124
        return [(row, CODES.get(check) or Code(check)) for row, check in zip(rows, cases["check"].tolist(), strict=True)]
    return []
