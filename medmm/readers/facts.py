"""What every export of records becomes: plain tables of text, the patients whose records are broken, and counts.

An export (FHIR, HL7 version 2, MEDS) is read as a whole into the tables below, so that every input reads it like a CSV file.
"""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from medmm.errors import Code, Rejected

if TYPE_CHECKING:
    import pandas as pd

TABLES: Mapping[str, tuple[str, ...]] = {
    "facts": ("patient_id", "encounter_id", "time", "code", "value", "unit", "system", "kind", "token"),
    "notes": ("patient_id", "study_id", "time", "text", "kind"),
    "studies": ("patient_id", "study_id", "study_uid", "time"),
    "patients": ("patient_id", "birth_date", "sex"),
}
"""Table -> columns. `token` is `system|code`, as FHIR searches write it: exact where two systems share a code."""

PRESENT = "true"
"""Value of a fact that says no more than that something was there: a diagnosis, a procedure, an order, an allergy."""


@dataclass(frozen=True)
class Records:
    """An export as it was read.

    Attributes:
        tables: Name -> table, each cell a str.
        faults: Table -> patient -> the first reason why that patient's rows in it must not be used: one of them is broken,
            so what is there is less than there was.
        counts: What was left out on purpose, in words that hold no patient -> how often.
    """

    tables: Mapping[str, pd.DataFrame]
    faults: Mapping[str, Mapping[str, Rejected]]
    counts: Mapping[str, int]


class Rows:
    """The tables while they grow."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, ...]] = []
        self.notes: list[tuple[str, ...]] = []
        self.studies: list[tuple[str, ...]] = []
        self.patients: list[tuple[str, ...]] = []
        self.counts: Counter[str] = Counter()
        self._faults: dict[str, dict[str, Rejected]] = {name: {} for name in TABLES}

    def fault(self, tables: Sequence[str], patient: str, reason: Rejected) -> None:
        """Note that a record of this patient is broken; the first reason stays."""
        for table in tables:
            self._faults[table].setdefault(patient, reason)

    def records(self) -> Records:
        """Give the tables. A code that two systems share stands as `system|code`, so that they are never taken for one."""
        import pandas as pd

        systems: dict[str, str] = {}
        shared: set[str] = set()
        for _, _, _, code, _, _, system, _, _ in self.facts:
            if systems.setdefault(code, system) != system:
                shared.add(code)
        if shared:
            self.counts["codes that two systems share, written as system|code"] = len(shared)
            self.facts = [(*row[:3], row[8], *row[4:]) if row[3] in shared else row for row in self.facts]
        tables = {
            name: pd.DataFrame(getattr(self, name), columns=pd.Index(columns, dtype=str), dtype=str)
            for name, columns in TABLES.items()
        }
        return Records(tables, self._faults, dict(self.counts))


def token(system: str, code: str) -> str:
    """Write a code with its system, as FHIR searches do."""
    return f"{system}|{code}"


def last_moment(text: str) -> str:
    """Write a date without its day, month or hour as the last moment that it can mean, for it was not known before.

    Args:
        text: YYYY, YYYY-MM, YYYY-MM-DD, or any of these with T and hours, or hours and minutes.

    Raises:
        ValueError: No such date.
    """
    day, _, clock = text.partition("T")
    parts = day.split("-")
    if len(parts) == 1:
        parts.append("12")
    if len(parts) == 2:
        parts.append(str(calendar.monthrange(int(parts[0]), int(parts[1]))[1]))
    missing = {0: "23:59:59", 2: ":59:59", 5: ":59"}[len(clock)]
    whole = f"{'-'.join(parts)}T{clock}{missing}"
    datetime.fromisoformat(whole)
    return whole


def latest(times: Sequence[str]) -> str:
    """Give the latest of some ISO 8601 times as it is written; one without a zone counts as UTC, as in every table."""
    if len(times) == 1 or len(set(times)) == 1:
        return times[0]
    return max(times, key=_instant) if times else ""


def _instant(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def malformed(where: str, found: str, expected: str) -> Rejected:
    """Make the refusal of a record that breaks its standard."""
    return Rejected(Code.MALFORMED, where, found, expected, "correct the export at its source")
