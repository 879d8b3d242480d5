"""From values of a long table to the cells of each study, or why they must not be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmm.errors import Code, Rejected
from medmm.inputs.cells import check_number, unreadable_time
from medmm.inputs.long_table import Column, Values
from medmm.inputs.statistics import Groups, Statistic, group, statistics
from medmm.types import Array, Evidence


@dataclass(frozen=True)
class Summary:
    """What becomes of the values of a column.

    Attributes:
        statistics: A feature each.
        range: Plausible numbers.
        all_checked: Whether every value of the window has to be a plausible number, and not the last one alone.
    """

    statistics: tuple[Statistic, ...]
    range: tuple[float, float] | None
    all_checked: bool


def summarise(
    values: Values, columns: Sequence[Column], summaries: Sequence[Summary], features: Sequence[str], wheres: Sequence[str]
) -> list[Evidence | Rejected | None]:
    """Give the cells of each study.

    A study without any value lacks the input; a column without a value is counted as 0 where another has one.

    Args:
        values: Of all studies.
        columns: Of the values.
        summaries: Of each column.
        features: Names of the cells, column by column.
        wheres: Of each study, for the reason of a rejection.
    """
    groups = group(values)
    rejected = _implausible(values, groups, columns, summaries, wheres)
    rejected |= _clashes(groups, columns, summaries, wheres, set(rejected))
    for study in np.flatnonzero(values.other_unit.any(axis=1)).tolist():
        column = columns[int(values.other_unit[study].argmax())]
        rejected[study] = Rejected(
            Code.UNIT,
            f"{wheres[study]}, {column.name}",
            "another unit",
            column.unit or "",
            "convert the value, or correct the run file",
        )
    rejected |= {study: unreadable_time(wheres[study]) for study in np.flatnonzero(values.unreadable).tolist()}
    present = np.zeros(len(wheres), bool)
    present[groups.study] = True
    cells = _cells(values, groups, summaries, len(wheres))
    return [
        rejected[study] if study in rejected else Evidence(cells=dict(zip(features, row, strict=True))) if here else None
        for study, (here, row) in enumerate(zip(present.tolist(), cells, strict=True))
    ]


def _cells(values: Values, groups: Groups, summaries: Sequence[Summary], studies: int) -> Sequence[Sequence[str]]:
    """Give the cells of every study: (S, F)."""
    made = statistics(values, groups, frozenset(name for one in summaries for name in one.statistics if one.all_checked))
    cells: list[list[str]] = []
    for column, one in enumerate(summaries):
        mine = np.flatnonzero(groups.column == column)
        for name in one.statistics:
            cell = np.full(studies, "0" if name == "count" else "", object)
            texts = _written(made[name][mine]) if one.all_checked else _as_written(values, groups.place[groups.end[mine] - 1])
            cell[groups.study[mine]] = texts
            cells.append(cell.tolist())
    return list(zip(*cells, strict=True))


def _written(numbers: Array) -> list[str]:
    texts = list(map(repr, numbers.tolist()))
    for none in np.flatnonzero(np.isnan(numbers)):
        texts[none] = ""
    return texts


def _as_written(values: Values, places: Array) -> list[str]:
    """Give cells as they stand, or the converted number."""
    texts = values.cells(places)
    for i in np.flatnonzero(values.converted[places] & ~np.isnan(values.number[places])):
        texts[i] = repr(float(values.number[places[i]]))
    return texts


def _implausible(
    values: Values, groups: Groups, columns: Sequence[Column], summaries: Sequence[Summary], wheres: Sequence[str]
) -> dict[int, Rejected]:
    """Find the first value of each study that is no plausible number, where all are looked at."""
    bounds = [one.range or (-np.inf, np.inf) for one in summaries]
    low, high = (np.array([bound[side] for bound in bounds])[values.column] for side in (0, 1))
    checked = np.array([one.all_checked for one in summaries], bool)[values.column]
    wrong = (checked & ~((values.number >= low) & (values.number <= high)))[groups.place]
    places = groups.place[wrong]
    _, first = np.unique(values.study[places], return_index=True)
    rejected = {}
    for place in places[first]:
        study, column = int(values.study[place]), int(values.column[place])
        try:
            check_number(repr(float(values.number[place])), columns[column].name, summaries[column].range)
        except Rejected as reason:
            rejected[study] = reason.at(wheres[study])
    return rejected


def _clashes(
    groups: Groups, columns: Sequence[Column], summaries: Sequence[Summary], wheres: Sequence[str], left: set[int]
) -> dict[int, Rejected]:
    """Find the studies where two values answer for the first or the last."""
    needed = {side: np.array([side in one.statistics for one in summaries], bool)[groups.column] for side in ("first", "last")}
    clashing = (needed["first"] & groups.first_clashes) | (needed["last"] & groups.last_clashes)
    found: dict[int, list[str]] = {}
    for study, column in zip(groups.study[clashing].tolist(), groups.column[clashing].tolist(), strict=True):
        found.setdefault(study, []).append(columns[column].name)
    return {
        study: Rejected(
            Code.AMBIGUOUS,
            wheres[study],
            f"two values of {', '.join(sorted(names))} at one time",
            "one",
            "correct the time or the value",
        )
        for study, names in found.items()
        if study not in left
    }
