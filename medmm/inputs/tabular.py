"""Cells of a table, wide (a row a study) or long (a row a value): typed, in stated units and ranges; missing stays missing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from medmm.cohort.studies import CohortSettings, Sources
from medmm.encoders import TABULAR_ENCODERS
from medmm.encoders.base import TabularEncoderSettings
from medmm.encoders.ft_transformer import FTTransformer
from medmm.encoders.mlp import MLP
from medmm.errors import Code, DataError, Rejected
from medmm.inputs.base import FEW_PATIENTS, Fields, Found, Input, InputSettings
from medmm.inputs.cells import check_category, check_number, unreadable_time
from medmm.inputs.examples import cells_example
from medmm.inputs.long_table import Column, Names, find_values
from medmm.inputs.perturbation import shake_cells
from medmm.inputs.records import INDEX, ROW, TIME, UNREADABLE, By, known_rows
from medmm.inputs.statistics import NEED_TIMES, Statistic
from medmm.inputs.summary import Summary, summarise
from medmm.settings import Plain, Settings, named_choice
from medmm.types import Array, Evidence, Study

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

Cells = Mapping[str, str]

MISSING = 0  # code of an empty cell
UNSEEN = 1  # code of a category that no or hardly any training patient had

KNOWN = 0.6
"""Chance of a number that is made up to be known."""

LEAST_PATIENTS = 3
"""Of a category that is learned and kept in a package, where the run file does not name them; as of a word of notes."""

LAST: tuple[Statistic, ...] = ("last",)


class NumericColumn(Settings):
    """A number and what it may be."""

    unit: str | None = None
    """The unit (UCUM, such as mg/L) in which it is wanted from a long table. Other units of the same quantity are converted, as
    `[degF]` to `Cel`; a row in any other unit is rejected."""

    molar_mass: float | None = Field(None, gt=0)
    """g/mol of the substance; with it mass and amount become each other, as mg/dL and mmol/L. International units never do."""

    range: tuple[float, float] | None = None
    """Plausible values in that unit, both ends included; a value outside is rejected."""

    statistics: tuple[Statistic, ...] = LAST
    """Long: what is taken from the values of the window. `last` alone is a feature of the code's own name and looks at the last
    value only; otherwise each is a feature, as `crp.mean`, and every value of the window has to be plausible."""

    window_days: float | None = Field(None, gt=0)
    """Long: how long before the study a value of this code counts; the window of the input where left out."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.molar_mass is not None and self.unit is None:
            raise ValueError("molar_mass converts between units: name the unit too")
        if not self.statistics or len(set(self.statistics)) < len(self.statistics):
            raise ValueError("name each of the statistics once, and at least one")
        return self


class TabularSettings(InputSettings):
    """Numbers and categories from a table."""

    kind: Literal["tabular"] = "tabular"
    """Which kind."""

    table: str
    """The table (CSV, TSV, parquet or Excel), inside the export."""

    layout: Literal["wide", "long"] = "wide"
    """Wide: a column a value. Long: a row a value, with its code and time: the last one before the study counts."""

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

    categories: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies it
    """What a category may be; a cell with anything else is rejected. Where left out,
    one that fewer than three training patients have is an unknown one."""

    encoder: Annotated[
        SerializeAsAny[TabularEncoderSettings], BeforeValidator(named_choice("name", lambda: TABULAR_ENCODERS))
    ] = FTTransformer()
    """The network; where left out, ft_transformer, or below 1,000 training patients mlp."""

    @field_validator("numeric")
    @classmethod
    def _in_one_order(cls, numeric: dict[str, NumericColumn]) -> dict[str, NumericColumn]:
        """Sort the columns: JSON keeps no order, and a package has to find each number in the place where it was learned."""
        return dict(sorted(numeric.items()))

    def suited(self, patients: int) -> TabularEncoderSettings:
        """Give the encoder for a run that does not name one."""
        return MLP() if patients < FEW_PATIENTS else FTTransformer()

    @model_validator(mode="after")
    def _reads_something(self) -> Self:
        if not self.numeric and not self.categorical:
            raise ValueError("name at least one column under numeric or categorical")
        both = set(self.numeric) & set(self.categorical)
        if both:
            raise ValueError(f"{', '.join(sorted(both))} stands under numeric and categorical: choose one")
        if strangers := sorted(set(self.categories) - set(self.categorical)):
            raise ValueError(f"categories: {', '.join(strangers)} does not stand under categorical: add it there")
        if empty := sorted(name for name, allowed in self.categories.items() if not any(allowed)):
            raise ValueError(f"categories.{empty[0]}: name at least one")
        return self

    @model_validator(mode="after")
    def _features_are_apart(self) -> Self:
        if self.layout == "wide":
            for name, column in self.numeric.items():
                if column.statistics != LAST or column.window_days is not None:
                    raise ValueError(f"numeric.{name}: statistics and windows are of long tables: set layout to long")
        if len(set(self.features)) < len(self.features):
            raise ValueError("a code and a statistic of another have the same name, such as crp.mean: rename the code")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All columns or codes, numbers first."""
        return (*self.numeric, *self.categorical)

    @property
    def numbers(self) -> dict[str, NumericColumn]:
        """Features that are numbers, and the column of each."""
        columns = (column for column in self.numeric.values() for _ in column.statistics)
        return dict(zip(self.features, columns, strict=False))

    @property
    def features(self) -> tuple[str, ...]:
        """All features, numbers first."""
        numbers = (feature(name, column, one) for name, column in self.numeric.items() for one in column.statistics)
        return (*numbers, *self.categorical)

    def joined_by(self) -> By:
        """Say which identifier joins table and study."""
        return self.by or ("study" if self.layout == "wide" else "patient")

    def stands_in(self, sources: Sources) -> bool:
        """Tell whether an export has the table."""
        return sources.has_table(self.table)

    def meaning(self) -> Mapping[str, Plain]:
        """Tell which features there are, in which order and units."""
        numbers = [[name, column.unit] for name, column in self.numbers.items()]
        return {"kind": self.kind, "numeric": numbers, "categorical": list(self.categorical)}

    def open(self, name: str, state: Plain = None) -> Input[object]:
        """Make the input."""
        return TabularInput(name, self, state)  # type: ignore[return-value]


class TabularInput(Input[Cells]):
    """Cells of a table. State: centre and scale of each number, the categories of each category."""

    meanings: ClassVar[Mapping[str, str]] = {
        "number": "(value - centre) / scale, both of `state.scale`, in the order of `meaning.numeric`; 0 where not known",
        "known": "1 where the value of `number` is known",
        "category": "in the order of `meaning.categorical`: 0 no value, 1 a value that stands not in `state.categories`, else "
        "2 + its place there",
    }

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
        return self._wide(sources, studies) if self.settings.layout == "wide" else self._long(sources, studies)

    def read(self, evidence: Evidence) -> Cells:
        """Check types, ranges and categories."""
        assert evidence.cells is not None
        for name, column in self.settings.numbers.items():
            # Of statistics, `gather` has seen the values; rounding may lead a mean out of their range.
            check_number(evidence.cells[name], name, column.range if column.statistics == LAST else None)
        for name, allowed in self.settings.categories.items():
            check_category(evidence.cells[name], name, allowed)
        return evidence.cells

    def fit(self, raws: Iterable[tuple[str, Cells]]) -> Self:
        """Learn centre, scale, and the categories of several patients: what one cell holds may be a name."""
        known = list(raws)
        cells = [raw for _, raw in known]
        if not cells:
            raise DataError(f"no training study has the input {self.name!r}: correct its table, or leave the input out")
        scale = {name: _centre_and_scale([float(raw[name]) for raw in cells if raw[name]]) for name in self.settings.numbers}
        categories = {name: _common([(raw[name], patient) for patient, raw in known]) for name in self.settings.categorical}
        return type(self)(self.name, self.settings, {"scale": scale, "categories": categories})

    def prepare(self, raw: Cells) -> Fields:
        """Scale numbers and code categories: {"number": (F,), "known": (F,), "category": (G,)}."""
        number = np.zeros(len(self.settings.numbers), np.float32)
        known = np.zeros(len(self.settings.numbers), np.uint8)
        for i, name in enumerate(self.settings.numbers):
            if raw[name]:
                centre, scale = self.state["scale"][name]
                number[i], known[i] = (float(raw[name]) - centre) / scale, 1
        codes = [self._code(name, raw[name]) for name in self.settings.categorical]
        return {"number": number, "known": known, "category": np.array(codes, np.int32)}

    def perturb(self, fields: Mapping[str, Array], rng: np.random.Generator) -> Mapping[str, Array]:
        """Hide some cells and shake numbers."""
        return shake_cells(fields, rng)

    def example(self, rng: np.random.Generator, folder: Path) -> Evidence:
        """Draw cells as they were in training, some of them empty."""
        within = {name: column.range for name, column in self.settings.numbers.items()}
        known = {
            name: self.settings.categories.get(name) or self.state["categories"][name] for name in self.settings.categorical
        }
        scale = {name: self.state["scale"][name] for name in self.settings.numbers}
        return Evidence(cells=cells_example(rng, scale, within, known))

    def made_up(self, rng: np.random.Generator) -> Fields:
        """Draw numbers and codes, some of them unknown, never all: a study without any cell lacks the input."""
        known = rng.random(len(self.settings.numbers)) < KNOWN
        codes = [int(rng.integers(0, len(self.state["categories"][name]) + 2)) for name in self.settings.categorical]
        if not known.any() and not any(codes):
            if len(known):
                known[0] = True
            else:
                codes[0] = UNSEEN
        number = np.where(known, rng.standard_normal(len(known)), 0.0).astype(np.float32)
        return {"number": number, "known": known.astype(np.uint8), "category": np.array(codes, np.int32)}

    def encoder(self, width: int) -> "nn.Module":
        """Build the network."""
        sizes = [len(self.state["categories"][name]) + 2 for name in self.settings.categorical]
        return self.settings.encoder.build(width, len(self.settings.numbers), sizes)

    def _wide(self, sources: Sources, studies: Sequence[Study]) -> list[Found]:
        s = self.settings
        rows = known_rows(sources, studies, s.table, s.names, s.joined_by(), s.time)
        if s.window_days is not None:
            rows = rows[rows[UNREADABLE] | (rows[TIME] >= rows[INDEX] - timedelta(days=s.window_days))]
        groups = {int(str(row)): part for row, part in rows.groupby(ROW, sort=False)}
        found: list[Found] = []
        for study in studies:
            try:
                cells = self._last(groups[study.row], f"{study.key}, input {self.name}") if study.row in groups else {}
            except Rejected as reason:
                found.append(reason)
            else:
                found.append(Evidence(cells=cells) if any(cells.values()) else None)
        return found

    def _last(self, rows: "pd.DataFrame", where: str) -> Cells:
        if rows[UNREADABLE].any():
            raise unreadable_time(where)
        last = rows[rows[TIME] == rows[TIME].iloc[-1]] if rows[TIME].notna().all() else rows
        if len(last) > 1 and (last[TIME].isna().any() or len(last[list(self.settings.names)].drop_duplicates()) > 1):
            raise Rejected(
                Code.AMBIGUOUS,
                where,
                f"{len(last)} rows",
                "one row",
                "keep one row, or add a column with the time of recording",
            )
        return {name: str(last[name].iloc[-1]).strip() for name in self.settings.names}

    def _long(self, sources: Sources, studies: Sequence[Study]) -> list[Found]:
        s = self.settings
        key = sources.settings.study if s.joined_by() == "study" else sources.settings.patient
        if sources.settings.time is None and any(set(column.statistics) & set(NEED_TIMES) for column in s.numeric.values()):
            raise DataError(f"{', '.join(NEED_TIMES)} need the time of the studies: name its column under cohort.time")
        columns = [
            Column(name, True, one.unit, one.molar_mass, one.window_days or s.window_days) for name, one in s.numeric.items()
        ]
        columns += [Column(name, False, window_days=s.window_days) for name in s.categorical]
        names = Names(key, s.time, s.code, s.value, s.unit)
        values = find_values(sources, studies, s.table, s.joined_by(), names, columns)
        summaries = [Summary(one.statistics, one.range, one.statistics != LAST) for one in s.numeric.values()]
        summaries += [Summary(LAST, None, False) for _ in s.categorical]
        wheres = [f"{study.key}, input {self.name}" for study in studies]
        return summarise(values, columns, summaries, s.features, wheres)

    def _code(self, name: str, cell: str) -> int:
        known = self.state["categories"][name]
        if not cell:
            return MISSING
        return known.index(cell) + 2 if cell in known else UNSEEN


def _common(cells: Iterable[tuple[str, str]]) -> list[str]:
    """Give the categories among cells, each with its patient, that enough patients have."""
    holders: dict[str, set[str]] = {}
    for cell, patient in cells:
        holders.setdefault(cell, set()).add(patient)
    return sorted(cell for cell, who in holders.items() if cell and len(who) >= LEAST_PATIENTS)


def with_checked_cells(study: Study, tabular: Iterable[TabularInput]) -> Study:
    """Reject what the cells of a study would be rejected for once they are prepared, so that nothing else counts on it."""
    for one in tabular:
        if one.name in study.evidence:
            try:
                one.read(study.evidence[one.name])
            except Rejected as reason:
                study = study.with_input(one.name, reason.at(f"{study.key}, input {one.name}"))
    return study


def feature(name: str, column: NumericColumn, statistic: Statistic) -> str:
    """Name the feature of a statistic."""
    return name if column.statistics == LAST else f"{name}.{statistic}"


def _centre_and_scale(values: Sequence[float]) -> list[float]:
    """Give mean and standard deviation; 0 and 1 where there is nothing to learn from."""
    if not values:
        return [0.0, 1.0]
    return [float(np.mean(values)), float(np.std(values)) or 1.0]
