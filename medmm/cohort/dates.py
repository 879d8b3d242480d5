"""Dates among the inputs that lie after their study: what was recorded when the diagnosis was known already."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from medmm.cohort.leakage import Finding

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


def _date(cell: str) -> datetime | None:
    if len(cell) < DATE_DIGITS or cell[4] != "-":
        return None
    try:
        found = datetime.fromisoformat(cell)
    except ValueError:
        return None
    return found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)
