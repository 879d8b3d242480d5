"""What a cell must be to be used, and the words of its rejection; never the cell itself, but for a number out of range."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medmm.errors import Code, Rejected


def check_number(cell: str, name: str, within: tuple[float, float] | None) -> None:
    """Check that a cell is empty or a plausible number.

    Raises:
        Rejected: TYPE, RANGE.
    """
    if not cell:
        return
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in cell:
        raise Rejected(Code.TYPE, f"column {name}", "no number", "a number or an empty cell", "correct the cell")
    if within is not None and not within[0] <= value <= within[1]:
        low, high = within
        raise Rejected(Code.RANGE, f"column {name}", f"{value:g}", f"{low:g} to {high:g}", "correct the value or its unit")


def check_category(cell: str, name: str, allowed: Sequence[str]) -> None:
    """Check that a cell is empty or one of the categories.

    Raises:
        Rejected: CATEGORY.
    """
    if cell and cell not in allowed:
        repair = "correct the cell, or add it to categories"
        raise Rejected(Code.CATEGORY, f"column {name}", "another category", " or ".join(allowed), repair)


def unreadable_time(where: str) -> Rejected:
    """Say that a time cannot be read."""
    return Rejected(Code.TYPE, where, "a time that cannot be read", "ISO 8601", "write it as 2024-05-31T14:30:00")
