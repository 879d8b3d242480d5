"""Each answer of a model as an Observation of FHIR R4, in words too, with the columns of the row that speak of it.

Where the model abstains, an answer has no value but a reason why, and the number that should not be relied on stands in a
component, so that no list of results shows it.
"""

from collections.abc import Mapping
from typing import cast

from medmm.cohort.target import TargetSettings
from medmm.evaluation.answers import CONTRIBUTION_FOR, PREFIXES
from medmm.scoring.sinks.base import Row
from medmm.scoring.sinks.fhir_cells import CONTRIBUTION, INFINITE, Cells
from medmm.scoring.sinks.fhir_terms import INTERPRETATION, MARKED, OWN, Element, absent, coding, concept
from medmm.types import CLASS_TASKS

SAID = {True: ("POS", "Positive"), False: ("NEG", "Negative"), None: ("IND", "Indeterminate")}
"""Decision -> HL7 v3 ObservationInterpretation; None where the model abstains."""

WORDS: Mapping[str, str] = {"probability": "Probability of", "predicted": "Predicted", "risk": "Risk of"}

UNSURE = " (not to be relied on)"


class Answers:
    """Writes answers.

    Args:
        target: What is predicted.
        cells: Writes the cells beside an answer.
    """

    def __init__(self, target: TargetSettings, cells: Cells) -> None:
        self._target = target
        self._cells = cells
        self._prefix = PREFIXES.get(target.task, "probability")

    def column(self, name: str) -> str:
        """Give the column of an answer, which is its code too."""
        return f"{self._prefix}_{name}"

    def code(self, name: str) -> Element:
        """Give the code of an answer."""
        return concept(coding(OWN, self.column(name)), text=self._words(name))

    def take(self, left: dict[str, object], name: str, row: Row) -> Row:
        """Take out of the columns of a row those that speak of one answer, without the answer itself."""
        own = {f"{what}_{name}" for what in ("decision", "raw_probability", "set", "set_has", "set_not")}
        names = self._target.names
        if self._target.task == "regression":
            own |= set(INFINITE)
        if name == (row.get(CONTRIBUTION_FOR) if len(names) > 1 else names[0]):
            own |= {column for column in left if column.startswith(CONTRIBUTION)}
        left.pop(self.column(name))
        return {column: left.pop(column) for column in list(left) if column in own}

    def observation(self, id_: str, row: Row, name: str, common: Element, cells: Row, doubt: str | None) -> Element:
        """Give the Observation of an answer.

        Args:
            id_: Of the resource.
            row: Of `scores`.
            name: Of the answer.
            common: What all observations of the study have.
            cells: Of the columns that speak of it.
            doubt: Why it should not be relied on; None where it may be.
        """
        value = self._cells.answer(cast(float, row[self.column(name)]))
        found: Element = {
            "resourceType": "Observation",
            "id": id_,
            "meta": MARKED,
            **common,
            "code": self.code(name),
        }
        components = self._cells.components(cells, row)
        if doubt is None:
            found["valueQuantity"] = value
        else:
            found |= absent("unknown", text=f"The model abstains: {doubt}")
            components = [{"code": concept(coding(OWN, self.column(name))), "valueQuantity": value}, *components]
        if doubt is not None or self._target.task in CLASS_TASKS:
            decision = None if doubt is not None else bool(row[f"decision_{name}"])
            found["interpretation"] = [concept(coding(INTERPRETATION, *SAID[decision]))]
        return found | ({"component": components} if components else {})

    def said(self, row: Row, name: str, doubt: str | None) -> str:
        """Say an answer to a person."""
        decision = row.get(f"decision_{name}")
        decided = "" if decision is None else f", {SAID[bool(decision)][1].lower()}"
        shown = self._cells.shown(cast(float, row[self.column(name)]))
        return f"{self._words(name)}: {shown}{decided if doubt is None else UNSURE}"

    def _words(self, name: str) -> str:
        return f"{WORDS[self._prefix]} {name}"
