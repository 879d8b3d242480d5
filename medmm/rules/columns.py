"""The columns that a rule may name: what each of them is, and whether a condition asks of it what it can answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from medmm.cohort.studies import CohortSettings
from medmm.cohort.target import TargetSettings
from medmm.inputs.base import InputSettings
from medmm.inputs.tabular import NumericColumn, TabularSettings, feature
from medmm.readers.units import AFFINE, conversion, read_unit
from medmm.rules.condition import (
    Between,
    Compare,
    Condition,
    ConditionError,
    Every,
    Known,
    Leaf,
    Not,
    Quantity,
    Ref,
    Same,
    Some,
    leaves,
)
from medmm.tables import nearest

STUDY = "study"
"""Stands before the columns of the studies table."""

UNIT_WORDS = {
    "year": "a", "years": "a", "month": "mo", "months": "mo", "week": "wk", "weeks": "wk", "day": "d", "days": "d", "hour": "h",
    "hours": "h", "minute": "min", "minutes": "min",
}  # fmt: skip
"""Words that a rule may use -> UCUM."""


@dataclass(frozen=True)
class Column:
    """What a column is.

    Attributes:
        kind: A number, a category, a cell of the studies table (of which nothing is known), or a whole input.
        unit: Of the number; None where none is declared.
        molar_mass: g/mol, where mass and amount may become each other.
        range: Plausible numbers.
        categories: What it may be; empty where that is not declared.
    """

    kind: Literal["number", "category", "cell", "input"]
    unit: str | None = None
    molar_mass: float | None = None
    range: tuple[float, float] | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Columns:
    """The columns of a run.

    Attributes:
        known: By name, as `labs.crp`; inputs too.
        withheld: Columns of the studies table that no rule may read -> why.
        declared: Whether a run file says what they are; where none does, they are what the first rule takes them for.
    """

    known: Mapping[str, Column]
    withheld: Mapping[str, str] = field(default_factory=dict)
    declared: bool = True

    def pick(self, ref: Ref) -> Column:
        """Give the column of a name.

        Raises:
            ConditionError: There is none, or no rule may read it.
        """
        if ref.source == STUDY and ref.column in self.withheld:
            raise ConditionError(f"{ref.name} is {self.withheld[ref.column]}: no rule may read it", ref.offset)
        if ref.name in self.known:
            return self.known[ref.name]
        if ref.source == STUDY and ref.column:
            return Column("cell")
        shown = ref.name if ref.name.isascii() else f"{ref.name} (in ASCII {ascii(ref.name)[1:-1]})"
        alike = [name for name in self.known if name.endswith(f".{ref.source}")] or [f"{STUDY}.{ref.source}"]
        meant = nearest(ref.name, self.known) if ref.column else f"write its input too, as {alike[0]}"
        raise ConditionError(f"unknown column {shown}: {meant}", ref.offset)


def declared_columns(inputs: Mapping[str, InputSettings], cohort: CohortSettings, target: TargetSettings) -> Columns:
    """Give the columns that a run file declares."""
    known: dict[str, Column] = {}
    for name, one in inputs.items():
        known[name] = Column("input")
        if isinstance(one, TabularSettings):
            for code, number in one.numeric.items():
                for statistic in number.statistics:
                    known[f"{name}.{feature(code, number, statistic)}"] = _number(number, statistic)
            known |= {f"{name}.{code}": Column("category", categories=one.categories.get(code, ())) for code in one.categorical}
    withheld = dict.fromkeys((cohort.patient, cohort.study, *cohort.person), "an identifier")
    return Columns(known, {**withheld, **dict.fromkeys(target.columns, "the target")})


def inferred_columns(conditions: Iterable[Condition]) -> Columns:
    """Give the columns that rules speak of, as the first of them does; for rules without a run file."""
    known: dict[str, Column] = {}
    for leaf in (leaf for condition in conditions for leaf in leaves(condition)):
        if leaf.ref.name not in known or known[leaf.ref.name].kind == "cell":
            known[leaf.ref.name] = _inferred(leaf)
    return Columns(known, declared=False)


def check_units(condition: Condition) -> None:
    """Check the units of a condition where nobody declares any.

    Raises:
        ConditionError: A unit is no UCUM code.
    """
    for leaf in leaves(condition):
        limits = (leaf.limit,) if isinstance(leaf, Compare) else (leaf.low, leaf.high) if isinstance(leaf, Between) else ()
        for one in limits:
            if one.unit and _ucum(one.unit) not in AFFINE and read_unit(_ucum(one.unit)) is None:
                raise ConditionError(f"unit {one.unit!r} is not known: write a UCUM code such as mg/L", one.offset)


def bind(condition: Condition, columns: Columns) -> Condition:
    """Check a condition against the columns, and give it with every limit in the unit of its column.

    Raises:
        ConditionError: A column is unknown, or cannot be asked that.
    """
    if isinstance(condition, Every | Some):
        return replace(condition, parts=tuple(bind(part, columns) for part in condition.parts))
    if isinstance(condition, Not):
        return Not(bind(condition.part, columns))
    column = columns.pick(condition.ref)
    if isinstance(condition, Known):
        return condition
    if column.kind == "input":
        raise ConditionError(
            f"{condition.ref.name} is a whole input: name a column, or ask known(...) or missing(...)", condition.ref.offset
        )
    if isinstance(condition, Same):
        return _same(condition, column)
    if isinstance(condition, Compare):
        limit = convert(condition.limit, condition.ref, column)
        low, high = column.range or (float("-inf"), float("inf"))
        possible = {"<": low < limit.value, "<=": low <= limit.value, ">": high > limit.value, ">=": high >= limit.value}
        if not possible[condition.comparison]:
            raise _never(condition.ref, column, condition.limit.offset)
        return replace(condition, limit=limit)
    low_limit, high_limit = (convert(one, condition.ref, column) for one in (condition.low, condition.high))
    if low_limit.value > high_limit.value:
        raise ConditionError("the lower limit is above the upper one: exchange them", condition.low.offset)
    if column.range and (low_limit.value > column.range[1] or high_limit.value < column.range[0]):
        raise _never(condition.ref, column, condition.low.offset)
    return replace(condition, low=low_limit, high=high_limit)


def convert(quantity: Quantity, ref: Ref, column: Column) -> Quantity:
    """Give a quantity in the unit of a column.

    Raises:
        ConditionError: The column is no number, or the unit is missing, too much, or of something else.
    """
    if column.kind == "category":
        raise ConditionError(f'{ref.name} is a category: compare it as {ref.name} is "..."', quantity.offset)
    if column.unit is None:
        if quantity.unit:
            how = "leave the unit out, or declare the column with its unit in a tabular input"
            raise ConditionError(f"{ref.name} has no declared unit, found {quantity.unit!r}: {how}", quantity.offset)
        return quantity
    if not quantity.unit:
        raise ConditionError(f"no unit, {ref.name} is in {column.unit}: write the unit", quantity.offset)
    made = conversion(_ucum(quantity.unit), _ucum(column.unit), column.molar_mass)
    if made is None:
        raise ConditionError(
            f"unit {quantity.unit!r} cannot become {column.unit}, the unit of {ref.name}: write that, or one of its kind",
            quantity.offset,
        )
    return replace(quantity, value=made(quantity.value), unit=column.unit)


def _same(condition: Same, column: Column) -> Same:
    if column.kind == "number":
        raise ConditionError(f"{condition.ref.name} is a number: compare it with <, <=, >, >= or between", condition.offsets[0])
    for text, offset in zip(condition.texts, condition.offsets, strict=True):
        if column.categories and text not in column.categories:
            what = f"{condition.ref.name} has no category {text!r}"
            raise ConditionError(f"{what}: {nearest(text, column.categories)}", offset)
    return condition


def _number(number: NumericColumn, statistic: str) -> Column:
    """Say what a statistic of a number is: counts have no unit, times are in days, slopes in the unit a day."""
    if statistic == "count":
        return Column("number")
    if statistic == "time_since":
        return Column("number", "d")
    if statistic == "slope":
        return Column("number", number.unit and f"{number.unit}/d", number.molar_mass)
    return Column("number", number.unit, number.molar_mass, number.range)


def _inferred(leaf: Leaf) -> Column:
    if isinstance(leaf, Known):
        return Column("cell" if leaf.ref.column else "input")
    if leaf.ref.source == STUDY:
        return Column("cell")
    if isinstance(leaf, Same):
        return Column("category")
    return Column("number", (leaf.limit if isinstance(leaf, Compare) else leaf.low).unit or None)


def _never(ref: Ref, column: Column, offset: int) -> ConditionError:
    assert column.range is not None
    low, high = column.range
    unit = f" {column.unit}" if column.unit else ""
    return ConditionError(
        f"this can never be true, {ref.name} lies between {low:g} and {high:g}{unit}: check the number", offset
    )


def _ucum(unit: str) -> str:
    return UNIT_WORDS.get(unit, unit)
