"""Statistics of a study's values over a window before it: one pass over sorted values, the same in whatever order they came.

N values, G groups: the values of one column of one study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from medmm.inputs.long_table import Values
from medmm.types import Array

Statistic: TypeAlias = Literal["last", "first", "min", "max", "mean", "count", "slope", "time_since"]
"""first, last, min, max and mean are in the unit of the column, slope in that unit a day, time_since in days."""

STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
NEED_TIMES: tuple[Statistic, ...] = ("first", "slope", "time_since")
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Groups:
    """Sorted values, each once: two records of one value at one time are one.

    Attributes:
        place: (N,) index into the values, by study, column, time and number.
        start: (G,) first value of each group.
        end: (G,) one behind its last.
        study: (G,)
        column: (G,)
        first_clashes: (G,) whether two different values stand at the first time.
        last_clashes: (G,) the same of the last time.
    """

    place: Array
    start: Array
    end: Array
    study: Array
    column: Array
    first_clashes: Array
    last_clashes: Array


def group(values: Values) -> Groups:
    """Sort the values and find the groups."""
    columns = values.other_unit.shape[1]
    owner = values.study * np.int64(columns) + values.column
    place = _sorted(owner, values.time_us, values.number)
    owner, time, number = owner[place], values.time_us[place], values.number[place]
    new_time = _changes(owner) | _changes(time)
    once = new_time | _changes(number)
    place, owner, new_time = place[once], owner[once], new_time[once]
    start = np.flatnonzero(_changes(owner))
    end = np.append(start, place.size)[1:]
    clashes = ~new_time
    first = np.minimum(start + 1, place.size - 1)
    return Groups(place, start, end, owner[start] // columns, owner[start] % columns, clashes[first], clashes[end - 1])


def statistics(values: Values, groups: Groups, wanted: frozenset[Statistic]) -> Mapping[Statistic, Array]:
    """Give each statistic of each group, (G,); NaN where there is none: a slope needs two times."""
    number, time = values.number[groups.place], values.time_us[groups.place]
    start, end = groups.start, groups.end
    if not start.size:
        return {name: np.empty(0) for name in wanted}
    made: dict[Statistic, Array] = {}
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused where it is read
        for name in wanted:
            if name == "last":
                made[name] = number[end - 1]
            elif name == "first":
                made[name] = number[start]
            elif name == "min":
                made[name] = np.minimum.reduceat(number, start)
            elif name == "max":
                made[name] = np.maximum.reduceat(number, start)
            elif name == "mean":
                made[name] = _means(number, start, end)
            elif name == "count":
                made[name] = (end - start).astype(float)
            elif name == "slope":
                made[name] = _slopes(number, time, start, end)
            else:
                made[name] = (values.index_us[groups.study] - time[end - 1]) / DAY_US
    return made


def _means(number: Array, start: Array, end: Array) -> Array:
    means: Array = np.add.reduceat(number, start) / (end - start)
    return means


def _slopes(number: Array, time: Array, start: Array, end: Array) -> Array:
    """Fit a line to each group by least squares, in units a day."""
    count = end - start
    days = (time - np.repeat(time[end - 1], count)) / DAY_US
    days -= np.repeat(_means(days, start, end), count)
    number = number - np.repeat(_means(number, start, end), count)
    slopes: Array = np.add.reduceat(days * number, start) / np.add.reduceat(days * days, start)  # one time gives 0 / 0
    return slopes


def _sorted(owner: Array, time: Array, number: Array) -> Array:
    """Give the order by owner, then time, then number; what is no number comes last."""
    key = _joined(owner, time)
    if key is None:
        return np.lexsort((number, time, owner))
    order = np.argsort(key)
    key = key[order]
    same = ~_changes(key)[1:]
    tied = np.zeros(order.size, bool)
    tied[1:] |= same
    tied[:-1] |= same
    places = np.flatnonzero(tied)
    rows = order[places]
    order[places] = rows[np.lexsort((number[rows], key[places]))]
    return order


def _joined(owner: Array, time: Array) -> Array | None:
    """Give one whole number that sorts as owner and time do, for one sort is faster than two; None where 64 bits do not do."""
    if not owner.size:
        return None
    earliest, latest = int(time.min()), int(time.max())
    step = 1_000_000 if not (time % 1_000_000).any() else 1
    span = (latest - earliest) // step + 1
    if (int(owner.max()) + 1) * span > np.iinfo(np.int64).max:
        return None
    key: Array = owner * np.int64(span) + (time - earliest) // step
    return key


def _changes(sorted_: Array) -> Array:
    """Tell where a value is another than the one before it; the first one is."""
    changes = np.ones(sorted_.size, bool)
    np.not_equal(sorted_[1:], sorted_[:-1], out=changes[1:])
    return changes
