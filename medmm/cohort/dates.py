"""Dates that lie after their study: what was recorded when the diagnosis was known already."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from medmm.cohort.leakage import Finding

if TYPE_CHECKING:
    import pandas as pd

DATE_DIGITS = len("2024-05-31")


def later_dates(columns: Mapping[str, Sequence[str]], times: Sequence[datetime | None]) -> list[Finding]:
    """Look for dates after the time of their study, such as that of a discharge.

    Args:
        columns: Name -> (S,) cells, "" where missing.
        times: (S,) of the studies.

    Returns:
        One for each column with a date in it; it leaks where any lies after its study. A date without a time of day counts as
        the beginning of that day.
    """
    found = []
    for name, cells in columns.items():
        dated = [
            (at, when) for cell, at in zip(cells, times, strict=True) if at is not None and (when := _date(cell)) is not None
        ]
        if dated:
            later = sum(when > at for at, when in dated)
            found.append(Finding("later", name, f"{later} of {len(dated)} dates lie after their study", later > 0))
    return found


def later_rows(name: str, table: "pd.DataFrame", key: str, times: Mapping[str, datetime]) -> list[Finding]:
    """Look for dates after the time of a study in a table of which no column is known to say when a row was recorded.

    Args:
        name: Of the input that reads the table.
        table: All cells text.
        key: Its column that joins it to the studies.
        times: Cell of that column -> time of the first of its studies.

    Returns:
        One for each column with such a date, all of which leak: the row is read though it says that it was written later.
    """
    import pandas as pd

    at = pd.to_datetime(table[key].map(times))
    found = []
    for column in table.columns:
        cells = table[column]
        first = next(filter(None, cells), "")
        if column != key and _date(first) is not None:
            when = pd.to_datetime(cells, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
            later = int((when > at).sum())
            if later:
                said = f"{later} of {int((when.notna() & at.notna()).sum())} rows that are read have a date after their study"
                found.append(Finding("later", f"{name}.{column}", f"{said}: name it as inputs.{name}.time", True))
    return found


def _date(cell: str) -> datetime | None:
    if len(cell) < DATE_DIGITS or cell[4] != "-":
        return None
    try:
        found = datetime.fromisoformat(cell)
    except ValueError:
        return None
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)
