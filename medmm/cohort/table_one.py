"""Table 1: who is in a cohort, by part of the split and by label, with what is missing and how far the groups differ.

Letters: S studies, L levels of a category, G groups.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from medmm.types import Array

Kind: TypeAlias = Literal["number", "category", "presence"]
"""What the cells of a characteristic are: numbers, levels of a category, or of matter only as far as they are there."""

if TYPE_CHECKING:
    import pandas as pd

LEAST_PATIENTS = 5
"""Of a level that is named, and of a group whose numbers are told, for what few patients have may tell who they are."""

MOST_LEVELS = 10
"""Of a category that are shown, the most frequent ones."""

RARE = "rarer ones together"
FEW = f"fewer than {LEAST_PATIENTS} patients"
STUDIES, PATIENTS = "studies", "patients"


@dataclass(frozen=True)
class Variable:
    """One characteristic of the studies.

    Attributes:
        name: What the table calls it.
        cells: (S,) "" where missing.
        kind: What they are.
    """

    name: str
    cells: Sequence[str]
    kind: Kind


@dataclass(frozen=True)
class Contrast:
    """Two groups whose difference is told.

    Attributes:
        name: What its column is called.
        one, other: (S,) who is in them.
    """

    name: str
    one: Array
    other: Array


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: Of the characteristic; "" for the further levels of one.
        level: Of a category; "" for a number.
        cells: Group -> "median [first quartile, third quartile]", or `FEW` instead of that of few patients, or "count (percent
            of the known)".
        missing: Group -> how many studies lack it; empty for the further levels of one.
        differences: Contrast -> standardised difference; infinite where two groups share nothing, NaN where it is not defined;
            empty for the further levels of one.
        kind: Of the characteristic.
    """

    name: str
    level: str
    cells: Mapping[str, str]
    missing: Mapping[str, int]
    differences: Mapping[str, float]
    kind: Kind = "number"


@dataclass(frozen=True)
class TableOne:
    """The whole table.

    Attributes:
        groups: Names of its columns.
        contrasts: Names of its columns of differences.
        rows: Numbers of studies and patients first.
    """

    groups: tuple[str, ...]
    contrasts: tuple[str, ...]
    rows: tuple[Row, ...]

    def table(self) -> pd.DataFrame:
        """Give a row a characteristic or level, as text and numbers."""
        import pandas as pd

        table = pd.DataFrame(
            [
                {
                    "characteristic": row.name,
                    "level": row.level,
                    **{group: row.cells[group] for group in self.groups},
                    **{f"missing, {group}": row.missing.get(group) for group in self.groups},
                    **{f"difference, {name}": row.differences.get(name) for name in self.contrasts},
                }
                for row in self.rows
            ]
        )
        return table.astype(dict.fromkeys((name for name in table if str(name).startswith("missing, ")), "Int64"))


def make_table_one(
    variables: Sequence[Variable], groups: Mapping[str, Array], contrasts: Sequence[Contrast], patient: Array
) -> TableOne:
    """Describe studies.

    Args:
        variables: What is known of them.
        groups: Name -> (S,) who is in it.
        contrasts: Groups whose difference is told.
        patient: (S,) whole numbers that tell patients apart.
    """
    counts = {group: (int(members.sum()), len(np.unique(patient[members]))) for group, members in groups.items()}
    rows = [
        Row(name, "", {group: f"{count[place]:,}" for group, count in counts.items()}, {}, {})
        for place, name in enumerate((STUDIES, PATIENTS))
    ]
    for variable in variables:
        if variable.kind == "number":
            rows.append(_of_number(variable, groups, contrasts, patient))
        elif variable.kind == "presence":
            rows.append(_of_presence(variable, groups, contrasts))
        else:
            rows += _of_category(variable, groups, contrasts, patient)
    return TableOne(tuple(groups), tuple(one.name for one in contrasts), tuple(rows))


def difference_of_means(one: Array, other: Array) -> float:
    """Give the standardised difference of two samples of numbers: of their means, in units of their mean variance's root.

    Source:
        Austin, Statistics in Medicine 28 (2009) 3083-3107, section 2.
    """
    if min(len(one), len(other)) < 2:
        return float("nan")
    spread = np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 2)
    return float((one.mean() - other.mean()) / spread) if spread > 0 else (0.0 if one.mean() == other.mean() else float("nan"))


def difference_of_shares(one: Array, other: Array) -> float:
    """Give the standardised difference of two samples of one category: the Mahalanobis distance of the shares of its levels.

    Args:
        one: (L,) how many have each level.
        other: (L,) the same of the other sample.

    Source:
        Yang & Dalton, A unified approach to measuring the effect size between two groups using SAS (2012), section 3.
    """
    if not one.sum() or not other.sum():
        return float("nan")
    kept = (one + other) > 0
    first, second = (counts[kept][1:] / counts.sum() for counts in (one, other))  # the shares add up to 1: one is left out
    apart = first - second
    covariance = sum(np.diag(share) - np.outer(share, share) for share in (first, second)) / 2
    if not apart.any():
        return 0.0
    if not (one[kept] * other[kept]).any() or np.linalg.matrix_rank(covariance) < len(apart):
        return float("inf")  # no sample has two of the levels, so they lie apart beyond measure
    return float(np.sqrt(apart @ np.linalg.solve(covariance, apart)))


def _of_number(variable: Variable, groups: Mapping[str, Array], contrasts: Sequence[Contrast], patient: Array) -> Row:
    values = np.array([float(cell) if cell else np.nan for cell in variable.cells], dtype=np.float64)
    known = ~np.isnan(values)
    cells = {group: _quartiles(values[members & known], patient[members & known]) for group, members in groups.items()}
    differences = {one.name: difference_of_means(values[one.one & known], values[one.other & known]) for one in contrasts}
    return Row(variable.name, "", cells, _missing(known, groups), differences)


def _of_presence(variable: Variable, groups: Mapping[str, Array], contrasts: Sequence[Contrast]) -> Row:
    has = np.array([bool(cell) for cell in variable.cells], dtype=bool)
    states = np.array([has, ~has])  # (2, S)
    cells = {group: _share(int((has & members).sum()), int(members.sum())) for group, members in groups.items()}
    differences = {
        one.name: difference_of_shares(states[:, one.one].sum(axis=1), states[:, one.other].sum(axis=1)) for one in contrasts
    }
    return Row(variable.name, "", cells, {}, differences, "presence")


def _of_category(variable: Variable, groups: Mapping[str, Array], contrasts: Sequence[Contrast], patient: Array) -> list[Row]:
    cells = np.array(without_rare(variable.cells, patient.tolist(), MOST_LEVELS), dtype=object)
    known = cells != ""
    levels = sorted(set(cells[known]), key=lambda level: (level == RARE, -(cells == level).sum(), level))
    is_level = np.array([cells == level for level in levels], dtype=bool).reshape(len(levels), len(cells))  # (L, S)
    counts = {group: is_level[:, members].sum(axis=1) for group, members in groups.items()}
    differences = {
        one.name: difference_of_shares(is_level[:, one.one].sum(axis=1), is_level[:, one.other].sum(axis=1))
        for one in contrasts
    }
    rows = [
        Row("", level, {group: _share(count[place], count.sum()) for group, count in counts.items()}, {}, {}, "category")
        for place, level in enumerate(levels)
    ]
    first = rows[0] if rows else Row("", "", dict.fromkeys(groups, ""), {}, {}, "category")
    return [Row(variable.name, first.level, first.cells, _missing(known, groups), differences, "category"), *rows[1:]]


def without_rare(cells: Sequence[str], patients: Sequence[Hashable], most: int | None = None) -> list[str]:
    """Give the cells of a column with the levels that few patients have put together: a level may be anybody's name.

    Args:
        cells: "" where empty.
        patients: Whose each is.
        most: Levels that are named at most, the commonest; all where left out.
    """
    holders: dict[str, set[Hashable]] = {}
    for cell, who in zip(cells, patients, strict=True):
        if cell:
            holders.setdefault(cell, set()).add(who)
    common = sorted(
        (level for level, some in holders.items() if len(some) >= LEAST_PATIENTS), key=lambda one: -len(holders[one])
    )
    named = set(common[:most])
    return [cell if cell in named or not cell else RARE for cell in cells]


def _missing(known: Array, groups: Mapping[str, Array]) -> dict[str, int]:
    return {group: int((members & ~known).sum()) for group, members in groups.items()}


def _quartiles(values: Array, patient: Array) -> str:
    if len(np.unique(patient)) < LEAST_PATIENTS:
        return FEW if len(values) else ""
    first, median, third = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{_short(median)} [{_short(first)}, {_short(third)}]"


def _short(value: float) -> str:
    """Write a number with three digits, and with those before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _share(count: int, whole: int) -> str:
    return f"{count:,} ({count / whole:.0%})" if whole else ""
