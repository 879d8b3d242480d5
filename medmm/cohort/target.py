"""What is predicted: from the text of a table's cells to the numbers of a label.

| task | label (T,) | answer (C,) |
| --- | --- | --- |
| binary | 1 for the positive class, else 0 | its probability |
| multiclass, multilabel | 0 or 1 a class | a probability a class |
| ordinal | 0 or 1 for each grade but the lowest: reached or not | the probability that it is reached |
| regression | the value, in its unit | the value |
| survival | time and event | the risk of the event by each horizon |
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from medmm.errors import Code, Rejected
from medmm.settings import Settings
from medmm.types import Array, Task

KEYS: Mapping[Task, tuple[str, ...]] = {
    "binary": ("column", "positive"),
    "multiclass": ("column", "classes"),
    "multilabel": ("column", "classes"),
    "ordinal": ("column", "classes"),
    "regression": ("column",),
    "survival": ("time", "event", "unit", "horizons"),
}
"""Task -> what it needs."""

MAY: Mapping[str, tuple[Task, ...]] = {"unit": ("regression", "survival"), "range": ("regression",)}
"""What some tasks may have beside it."""

FEWEST_CLASSES = {"ordinal": 3}
"""Of two grades a binary task tells all."""

EVENTS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}


class TargetSettings(Settings):
    """The column, or of a survival task the columns, that hold the truth, and how to read them."""

    column: str | None = None
    """Column of the studies table. An empty cell is a study without a label."""

    task: Task = "binary"
    """One of two, one of several, any number of several classes; a grade; a number; the time to an event."""

    positive: str | None = None
    """For a binary task: the value that counts as positive; every other value is negative."""

    classes: tuple[str, ...] = ()
    """For multiclass and multilabel: the values, in the order of the scores. For ordinal: the grades, the lowest first."""

    separator: str = Field(";", min_length=1)
    """For a multilabel task: what stands between two classes in a cell; a single separator means none of them."""

    unit: str = ""
    """Of a value, such as "%", or of the time to an event, such as days."""

    range: tuple[float, float] | None = None
    """For a regression: the plausible values; a study with another one is left out by code."""

    time: str | None = None
    """For survival: column with the time from the study to the event, or to the end of the observation."""

    event: str | None = None
    """For survival: column with 1 where the event happened at that time, 0 where the observation ended without it."""

    horizons: tuple[float, ...] = ()
    """For survival: the times by which the risk of the event is told, in rising order."""

    @model_validator(mode="after")
    def _keys_fit_the_task(self) -> Self:
        needed = KEYS[self.task]
        for key in needed:
            if not getattr(self, key):
                raise ValueError(f"a {self.task} target needs {key!r}")
        for key in {key for keys in KEYS.values() for key in keys} | set(MAY):
            if getattr(self, key) not in (None, "", ()) and key not in needed and self.task not in MAY.get(key, ()):
                raise ValueError(f"a {self.task} target takes no {key!r}")
        return self

    @model_validator(mode="after")
    def _values_are_possible(self) -> Self:
        least = FEWEST_CLASSES.get(self.task, 2)
        if "classes" in KEYS[self.task] and len(self.classes) < least:
            raise ValueError(f"a {self.task} target needs {least} or more 'classes'")
        if len(set(self.classes)) < len(self.classes) or not all(name.strip() for name in self.classes):
            raise ValueError("every class has a name, and no two have the same")
        if self.task == "multilabel" and any(self.separator in name for name in self.classes):
            raise ValueError(f"a class holds the separator {self.separator!r}: set another separator")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("the range goes from its lower to its upper end")
        if any(one <= 0 for one in self.horizons) or sorted(set(self.horizons)) != list(self.horizons):
            raise ValueError("horizons are above 0, in rising order")
        if self.time is not None and self.time == self.event:
            raise ValueError("time and event stand in two columns")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the studies table that hold the truth, in the order that `encode` takes their cells."""
        return tuple(name for name in (self.column, self.time, self.event) if name is not None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the C columns of an answer: the positive class alone for a binary task."""
        if self.positive is not None:
            return (self.positive,)
        if self.task == "ordinal":
            return tuple(f"at_least_{name}" for name in self.classes[1:])
        if self.column is not None and self.task == "regression":
            return (self.column,)
        return self.classes or tuple(f"{self.event}_by_{horizon:g}_{self.unit}" for horizon in self.horizons)

    def encode(self, *cells: str) -> tuple[float, ...] | None:
        """Give the label (T,) for the cells of `columns`; None where all are empty.

        Raises:
            Rejected: `CATEGORY`, a class or event that is not declared; `TYPE`, no number; `RANGE`, an implausible number;
                `EMPTY`, a time without its event or an event without its time.
        """
        if not any(cells):
            return None
        if self.task == "survival":
            return self._time_and_event(*cells)
        (cell,) = cells
        if self.task == "regression":
            return (_number(cell, self.range or (-np.inf, np.inf)),)
        if self.task == "binary":
            return (float(cell == self.positive),)
        parts = [part.strip() for part in cell.split(self.separator) if part.strip()] if self.task == "multilabel" else [cell]
        if not set(parts) <= set(self.classes):
            raise Rejected(
                Code.CATEGORY, "target", "a class that is not declared", " or ".join(self.classes), "add it to target.classes"
            )
        if self.task == "ordinal":
            return tuple(float(self.classes.index(cell) > below) for below in range(len(self.classes) - 1))
        return tuple(float(name in parts) for name in self.classes)

    def _time_and_event(self, time: str, event: str) -> tuple[float, float]:
        if not time or not event:
            found = "a time without an event" if time else "an event without a time"
            raise Rejected(Code.EMPTY, "target", found, "both cells or none", "fill both, or empty both")
        if event not in EVENTS:
            raise Rejected(Code.CATEGORY, "target", "an event that is neither 0 nor 1", "0 or 1", "correct the cell")
        return _number(time, (0, np.inf)), EVENTS[event]

    @property
    def mark_names(self) -> tuple[str, ...]:
        """Names of the columns of `marks`."""
        if self.task == "regression":
            return (f"{self.column}_above_median",)
        return (self.event,) if self.event is not None else self.names

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """Give for each mark what else a note may call it: a grade by its own name."""
        if self.task == "ordinal":
            return {name: (grade,) for name, grade in zip(self.names, self.classes[1:], strict=True)}
        return dict.fromkeys(self.mark_names, ())

    def marks(self, label: Array) -> Array:
        """Give 0 or 1 for what tells the studies of a task apart, where it is a class or is none.

        Args:
            label: (S, T), NaN where there is none.

        Returns:
            (S, M): the classes; for a regression whether the value is above the median of these; for survival the event.
        """
        if self.task == "regression":
            middle = np.nanmedian(label) if np.isfinite(label).any() else np.nan
            return np.where(np.isnan(label), np.nan, label > middle)
        return label[:, 1:] if self.task == "survival" else label

    def strata(self, label: Array) -> Array:
        """Give the marks (S, M) in which the parts of a split are to be alike; of an event that all have, an early one."""
        marks = self.marks(label)
        if self.task == "survival" and len(label) and marks.min() == 1:
            return np.asarray(label[:, :1] <= np.median(label[:, 0]), np.float64)
        return marks


def _number(cell: str, limits: tuple[float, float]) -> float:
    try:
        value = float(cell.replace("_", "x"))  # Python reads 1_000 as a number
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise Rejected(Code.TYPE, "target", "no number", "a number", "correct the cell, or empty it")
    if not limits[0] <= value <= limits[1]:
        expected = f"{limits[0]:g} or more" if limits[1] == np.inf else f"{limits[0]:g} to {limits[1]:g}"
        raise Rejected(Code.RANGE, "target", "an implausible number", expected, "correct the cell, or empty it")
    return value
