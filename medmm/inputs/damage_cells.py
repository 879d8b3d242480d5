"""What goes wrong with laboratory values: noise, and a number that stands in another unit than the table says.

Damaged cells are read as any others, so a value that is implausible is refused, which is the right answer to it.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from medmm.inputs.cells import check_number
from medmm.inputs.statistics import Statistic
from medmm.inputs.tabular import LAST, Cells, NumericColumn, TabularInput, feature
from medmm.readers.units import conversion

OTHER_UNITS = (
    "g/L", "g/dL", "mg/L", "mg/dL", "ug/L", "ug/dL", "ng/mL", "mol/L", "mmol/L", "umol/L", "nmol/L", "pmol/L", "10*9/L",
    "10*6/L", "10*3/uL", "10*12/L", "/uL", "[IU]/L", "m[IU]/L", "U/L", "kat/L", "ukat/L", "Cel", "[degF]", "K", "kPa",
    "mm[Hg]", "kg", "g", "[lb_av]", "m", "cm", "[in_i]", "%", "1", "mmol/mol", "s", "min", "h", "d", "a", "mo",
)  # fmt: skip
"""Units of laboratories and charts; of these a column is mistaken for those into which its own can be converted."""

LARGEST = 1000.0
"""Between units that stand further apart nobody errs unseen."""

SLIPS: tuple[Callable[[float], float], ...] = (lambda value: value * 10, lambda value: value / 10)
"""What a slip of the decimal point makes, of a column of which no unit is known."""

AT_MOST_DEVIATIONS = 2.0
"""Noise is cut here, so that it alone never turns the sign of a value."""

LEVELS: tuple[Statistic, ...] = ("last", "first", "min", "max", "mean")
"""Statistics that are values of the column."""


def noisy(one: TabularInput, cells: Cells, share: float, rng: np.random.Generator) -> dict[str, str]:
    """Add Gaussian noise to every number.

    Its standard deviation is a share of the training studies' own, or of the value itself where that is smaller, as of a
    laboratory whose error grows with what it measures.
    """
    shaken = dict(cells)
    for name in _values(one):
        drawn = float(np.clip(rng.standard_normal(), -AT_MOST_DEVIATIONS, AT_MOST_DEVIATIONS))
        number = _number(cells[name])
        if number is not None:
            shaken[name] = repr(number + drawn * share * min(one.state["scale"][name][1], abs(number)))
    return shaken


def in_another_unit(one: TabularInput, cells: Cells, share: float, rng: np.random.Generator) -> dict[str, str]:
    """Give a share of the numbers as they would stand in another unit; all statistics of a number change together.

    Raises:
        Rejected: RANGE, of statistics, whose values are checked as they are gathered.
    """
    mistaken = dict(cells)
    for name, column in one.settings.numeric.items():
        chance, drawn = rng.random(), rng.random()
        if chance >= share:
            continue
        mistakes = mistakes_of(column)
        change = mistakes[int(drawn * len(mistakes))]
        for statistic in column.statistics:
            cell = feature(name, column, statistic)
            number = _number(cells[cell]) if statistic in LEVELS else None
            if number is not None:
                mistaken[cell] = repr(change(number))
                check_number(mistaken[cell], cell, None if column.statistics == LAST else column.range)
    return mistaken


def mistakes_of(column: NumericColumn) -> tuple[Callable[[float], float], ...]:
    """Give what a number of a column may be mistaken for."""
    return SLIPS if column.unit is None else _mistaken_units(column.unit, column.molar_mass) or SLIPS


@cache
def _mistaken_units(unit: str, molar_mass: float | None) -> tuple[Callable[[float], float], ...]:
    found = [conversion(unit, other, molar_mass) for other in OTHER_UNITS]
    changes = {(one(0.0), one(1.0)): one for one in found if one is not None}
    return tuple(
        one for (zero, unity), one in changes.items() if (zero, unity) != (0, 1) and 1 / LARGEST <= unity - zero <= LARGEST
    )


def _values(one: TabularInput) -> list[str]:
    """Name the cells that are values, not counts or times."""
    numeric: Mapping[str, NumericColumn] = one.settings.numeric
    return [feature(name, column, kind) for name, column in numeric.items() for kind in column.statistics if kind in LEVELS]


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
