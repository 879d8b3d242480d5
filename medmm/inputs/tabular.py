"""Cells of a table, wide (a row a study) or long (a row a value): typed, in stated units and ranges; missing stays missing."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from medmm.cohort.studies import CohortSettings, Sources
from medmm.encoders import TABULAR_ENCODERS
from medmm.encoders.base import TabularEncoderSettings
from medmm.encoders.ft_transformer import FTTransformer
from medmm.errors import Code, DataError, Rejected
from medmm.inputs.base import Fields, Found, Input, InputSettings
from medmm.inputs.records import INDEX, ROW, TIME, UNREADABLE, By, known_rows
from medmm.settings import Plain, Settings, named_choice
from medmm.types import Evidence, Study

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

Cells = Mapping[str, str]

MISSING = 0  # code of an empty cell
UNSEEN = 1  # code of a category that no training study had


class NumericColumn(Settings):
    """A number and what it may be."""

    unit: str | None = None
    """The unit in which a long table states it; a row in another unit is rejected."""

    range: tuple[float, float] | None = None
    """Plausible values, both ends included; a value outside is rejected."""


class TabularSettings(InputSettings):
    """Numbers and categories from a table."""

    kind: Literal["tabular"] = "tabular"
    """Which kind."""

    table: str
    """The table (CSV, TSV or parquet), inside the export."""

    layout: Literal["wide", "long"] = "wide"
    """Wide: a column a value. Long: a row a value, with its code and time; the last one before the study counts."""

    by: By | None = None
    """Which identifier joins table and study; a wide table's rows are a study's, a long table's a patient's, unless said."""

    time: str = "time"
    """Column with the time of recording; what is later than the study is not read."""

    window_days: float | None = Field(None, gt=0)
    """How long before the study a value still counts; without a limit where left out. Needs times."""

    code: str = "code"
    """Long: column that says what was measured."""

    value: str = "value"
    """Long: column with the value."""

    unit: str = "unit"
    """Long: column with the unit."""

    numeric: dict[str, NumericColumn] = {}  # noqa: RUF012 - pydantic copies it
    """Numbers: columns of a wide table, codes of a long one."""

    categorical: tuple[str, ...] = ()
    """Categories: columns or codes."""

    encoder: Annotated[
        SerializeAsAny[TabularEncoderSettings], BeforeValidator(named_choice("name", lambda: TABULAR_ENCODERS))
    ] = FTTransformer()
    """The network."""

    @model_validator(mode="after")
    def _reads_something(self) -> Self:
        if not self.numeric and not self.categorical:
            raise ValueError("name at least one column under numeric or categorical")
        both = set(self.numeric) & set(self.categorical)
        if both:
            raise ValueError(f"{', '.join(sorted(both))} stands under numeric and categorical: choose one")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All features, numbers first."""
        return (*self.numeric, *self.categorical)

    def open(self, name: str, state: Plain = None) -> Input[object]:
        """Make the input."""
        return TabularInput(name, self, state)  # type: ignore[return-value]


class TabularInput(Input[Cells]):
    """Cells of a table. State: centre and scale of each number, the categories of each category."""

    def __init__(self, name: str, settings: TabularSettings, state: Plain = None) -> None:
        super().__init__(name, state)
        self._settings = settings

    @property
    def settings(self) -> TabularSettings:
        """The settings, as the run file gave them."""
        return self._settings

    def study_columns(self, cohort: CohortSettings) -> Sequence[str]:
        """Name the columns that stand in the studies table itself."""
        return self.settings.names if self.settings.table == cohort.studies else ()

    def gather(self, sources: Sources, studies: Sequence[Study]) -> list[Found]:
        """Find the cells of every study that were known at its time."""
        s = self.settings
        by: By = s.by or ("study" if s.layout == "wide" else "patient")
        if s.layout == "wide":
            rows = known_rows(sources, studies, s.table, s.names, by, s.time)
        else:
            rows = known_rows(sources, studies, s.table, [s.code, s.value, s.unit, s.time], by, s.time)
            rows = rows[rows[s.code].isin(s.names)]
        if s.window_days is not None:
            rows = rows[rows[UNREADABLE] | (rows[TIME] >= rows[INDEX] - timedelta(days=s.window_days))]
        groups = {int(str(row)): part for row, part in rows.groupby(ROW, sort=False)}
        collect = self._wide if s.layout == "wide" else self._long
        found: list[Found] = []
        for study in studies:
            try:
                cells = collect(groups[study.row], f"{study.key}, input {self.name}") if study.row in groups else {}
            except Rejected as reason:
                found.append(reason)
            else:
                found.append(Evidence(cells=cells) if any(cells.values()) else None)
        return found

    def read(self, evidence: Evidence) -> Cells:
        """Check types and ranges."""
        assert evidence.cells is not None
        for name, column in self.settings.numeric.items():
            _number(evidence.cells[name], name, column)
        return evidence.cells

    def fit(self, raws: Iterable[tuple[str, Cells]]) -> Self:
        """Learn centre, scale and categories."""
        cells = [raw for _, raw in raws]
        if not cells:
            raise DataError(f"no training study has the input {self.name!r}: correct its table, or leave the input out")
        scale = {name: _centre_and_scale([float(raw[name]) for raw in cells if raw[name]]) for name in self.settings.numeric}
        categories = {name: sorted({raw[name] for raw in cells if raw[name]}) for name in self.settings.categorical}
        return type(self)(self.name, self.settings, {"scale": scale, "categories": categories})

    def prepare(self, raw: Cells) -> Fields:
        """Scale numbers and code categories: {"number": (F,), "known": (F,), "category": (G,)}."""
        number = np.zeros(len(self.settings.numeric), np.float32)
        known = np.zeros(len(self.settings.numeric), np.uint8)
        for i, name in enumerate(self.settings.numeric):
            if raw[name]:
                centre, scale = self.state["scale"][name]
                number[i], known[i] = (float(raw[name]) - centre) / scale, 1
        codes = [self._code(name, raw[name]) for name in self.settings.categorical]
        return {"number": number, "known": known, "category": np.array(codes, np.int32)}

    def encoder(self, width: int) -> "nn.Module":
        """Build the network."""
        sizes = [len(self.state["categories"][name]) + 2 for name in self.settings.categorical]
        return self.settings.encoder.build(width, len(self.settings.numeric), sizes)

    def _wide(self, rows: "pd.DataFrame", where: str) -> Cells:
        _times_are_readable(rows, where)
        if len(rows) > 1 and rows[TIME].isna().any():
            raise Rejected(
                Code.AMBIGUOUS,
                where,
                f"{len(rows)} rows",
                "one row",
                "keep one row, or add a column with the time of recording",
            )
        last = rows.iloc[-1]
        return {name: str(last[name]).strip() for name in self.settings.names}

    def _long(self, rows: "pd.DataFrame", where: str) -> Cells:
        _times_are_readable(rows, where)
        cells = dict.fromkeys(self.settings.names, "")
        at: dict[str, object] = {}
        clashing: set[str] = set()
        columns = [self.settings.code, self.settings.value, self.settings.unit, TIME]
        for code, value, unit, time in rows[columns].itertuples(index=False, name=None):
            wanted = self.settings.numeric[code].unit if code in self.settings.numeric else None
            if wanted is not None and unit != wanted and value:
                raise Rejected(
                    Code.UNIT, f"{where}, {code}", "another unit", wanted, "convert the value, or correct the run file"
                )
            if not value.strip():
                continue
            if at.get(code) != time:
                clashing.discard(code)
            elif value.strip() != cells[code]:
                clashing.add(code)
            at[code], cells[code] = time, value.strip()
        if clashing:
            names = ", ".join(sorted(clashing))
            raise Rejected(Code.AMBIGUOUS, where, f"two values of {names} at one time", "one", "correct the time or the value")
        return cells

    def _code(self, name: str, cell: str) -> int:
        known = self.state["categories"][name]
        if not cell:
            return MISSING
        return known.index(cell) + 2 if cell in known else UNSEEN


def _number(cell: str, name: str, column: NumericColumn) -> None:
    if not cell:
        return
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in cell:
        raise Rejected(Code.TYPE, f"column {name}", "no number", "a number or an empty cell", "correct the cell")
    if column.range is not None and not column.range[0] <= value <= column.range[1]:
        low, high = column.range
        raise Rejected(Code.RANGE, f"column {name}", f"{value:g}", f"{low:g} to {high:g}", "correct the value or its unit")


def _times_are_readable(rows: "pd.DataFrame", where: str) -> None:
    if rows[UNREADABLE].any():
        raise Rejected(Code.TYPE, where, "a time that cannot be read", "ISO 8601", "write it as 2024-05-31T14:30:00")


def _centre_and_scale(values: Sequence[float]) -> list[float]:
    """Give mean and standard deviation; 0 and 1 where there is nothing to learn from."""
    if not values:
        return [0.0, 1.0]
    return [float(np.mean(values)), float(np.std(values)) or 1.0]
