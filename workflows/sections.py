"""What `medmm inspect` answers, in tables for the terminal and for JSON alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from medmm.settings import Plain


@dataclass(frozen=True)
class Section:
    """One table of the answer, for the terminal and for JSON alike.

    Attributes:
        title: What it shows.
        columns: Names.
        rows: Cells; counts and codes, no identifier.
        detail: Whether it has a row a series, too many for a terminal.
        most: Rows that a terminal shows; JSON has all.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    detail: bool = False
    most: int = 40

    def plain(self) -> Plain:
        """Give the rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]
