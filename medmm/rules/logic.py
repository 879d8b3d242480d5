"""Whether a condition is true of a study, false, or cannot be told.

Source: Kleene, Introduction to Metamathematics (1952), section 64: what cannot be told stays so, unless the rest decides.
"""

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

from medmm.rules.columns import STUDY
from medmm.rules.condition import Between, Compare, Condition, Every, Known, Leaf, Not, Ref, Same, Some
from medmm.types import Study

Values: TypeAlias = Callable[[Ref], str | None]
"""Gives the cell of a column; None where it is empty, or its input absent."""


def values_of(study: Study) -> Values:
    """Give the cells of a study, as its inputs read them: numbers of a long table are in the unit of the run file."""

    def value(ref: Ref) -> str | None:
        if ref.source == STUDY:
            return study.cells.get(ref.column, "").strip() or None
        evidence = study.evidence.get(ref.source)
        if evidence is None or not ref.column:
            return None if evidence is None else "present"
        return (evidence.cells or {}).get(ref.column) or None

    return value


def truth(condition: Condition, values: Values) -> bool | None:
    """Tell whether a bound condition is true; None where an absent value leaves that open."""
    if isinstance(condition, Every):
        return _every(truth(part, values) for part in condition.parts)
    if isinstance(condition, Some):
        return _not(_every(_not(truth(part, values)) for part in condition.parts))
    if isinstance(condition, Not):
        return _not(truth(condition.part, values))
    return _leaf(condition, values(condition.ref))


def _leaf(leaf: Leaf, cell: str | None) -> bool | None:
    if isinstance(leaf, Known):
        return (cell is not None) != leaf.negated
    if cell is None:
        return None
    return (cell in leaf.texts) != leaf.negated if isinstance(leaf, Same) else _holds(leaf, number(cell))


def number(cell: str) -> float | None:
    """Read a number as the inputs do; None where it is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def _holds(condition: Compare | Between, value: float | None) -> bool | None:
    if value is None:
        return None
    if isinstance(condition, Between):
        return condition.low.value <= value <= condition.high.value
    limit = condition.limit.value
    return {"<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit}[condition.comparison]


def _every(parts: Iterable[bool | None]) -> bool | None:
    known = set(parts)
    return False if False in known else None if None in known else True


def _not(part: bool | None) -> bool | None:
    return None if part is None else not part
