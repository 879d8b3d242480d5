"""Cells of a row of results as components of an Observation of FHIR R4, each with the name of its column as code."""

from collections.abc import Sequence

from medmm.cohort.target import TargetSettings
from medmm.evaluation.answers import CONTRIBUTION_FOR
from medmm.scoring.sinks.base import Row
from medmm.scoring.sinks.fhir_terms import OWN, Element, absent, coding, concept, is_blank, plain, quantity, share

CONTRIBUTION, NOVELTY = "contribution_", "novelty_"

INFINITE = {"set_low": "negative-infinity", "set_high": "positive-infinity"}
"""An end of an interval -> what it is where it is null."""


class Cells:
    """Writes cells.

    Args:
        target: What is predicted.
    """

    def __init__(self, target: TargetSettings) -> None:
        self._in_unit = target.task == "regression"
        self._unit = target.unit

    def components(self, cells: Row, row: Row) -> list[Element]:
        """Give each cell as a component, and each item of a list as one."""
        found: list[Element] = []
        for column, cell in cells.items():
            values = [self._value(column, one, row) for one in (cell if isinstance(cell, list | tuple) else [cell])]
            found += [{"code": concept(coding(OWN, column)), **value} for value in values if value]
        return found

    def _value(self, column: str, cell: object, row: Row) -> Element:
        """Give the value of a component; nothing for an empty text."""
        if cell is None:
            return absent(INFINITE.get(column) or _why_null(column, row))
        if isinstance(cell, int):
            return {"valueBoolean" if isinstance(cell, bool) else "valueInteger": cell}
        if isinstance(cell, float):
            return {"valueQuantity": self._number(column, cell)}
        return {} if is_blank(str(cell)) else {"valueString": plain(str(cell))}

    def _number(self, column: str, number: float) -> Element:
        if column in INFINITE:
            return self.answer(number)
        if column.startswith(CONTRIBUTION):
            return self.answer(number) if self._in_unit else quantity(number, "log odds", "1")
        return share(number)

    def answer(self, number: float) -> Element:
        """Give an answer, or what is in its unit."""
        return quantity(number, self._unit) if self._in_unit else share(number)

    def shown(self, number: float) -> str:
        """Give an answer for a person to read."""
        return f"{number:.4g} {self._unit}".strip() if self._in_unit else f"{number:.3f}"


def _why_null(column: str, row: Row) -> str:
    """Say why a cell is null: the study lacks the input that it speaks of, or nobody asked, or it cannot be told."""
    if column == CONTRIBUTION_FOR:
        return "not-performed"
    inputs = row.get("inputs")
    for prefix in (CONTRIBUTION, NOVELTY):
        if column.startswith(prefix) and isinstance(inputs, Sequence) and column.removeprefix(prefix) not in inputs:
            return "not-applicable"
    return "not-performed" if column.startswith(CONTRIBUTION) else "unknown"
