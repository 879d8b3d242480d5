"""What a sink owes: rows in, one standard format out, whole or not at all.

There are two kinds. A table takes rows of any schema; a report is for people and systems of a clinic, and sees each row with
the study that it speaks of.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from medmm.types import Study

if TYPE_CHECKING:
    from medmm.package import Package

Row: TypeAlias = Mapping[str, object]

SCORED_AT = "scored_at"
"""Column of the time (UTC) at which a study ended; the only one that another scoring of the same study changes."""


@dataclass(frozen=True)
class NumberRanges:
    """Of which number ranges the identifiers of the studies table are, as URIs; "" where nobody said.

    Attributes:
        patients: Of patients.
        studies: Of studies.
    """

    patients: str = ""
    studies: str = ""


UNKNOWN_RANGES = NumberRanges()


class Writer(Protocol):
    """Takes rows while scoring goes on."""

    def write(self, rows: Sequence[Row]) -> None:
        """Take some rows, with the columns of the schema."""


class Sink(Protocol):
    """A format of results."""

    def open(self, folder: Path, name: str, schema: pa.Schema) -> AbstractContextManager[Writer]:
        """Start the result `name` in a folder. It appears when the block ends well, and not at all otherwise."""


class Reporter(Protocol):
    """Takes rows of a scoring at its end, in the order of the studies, the scored ones first."""

    def scored(self, row: Row, study: Study | None) -> None:
        """Take a row of `scores`.

        Args:
            row: As in the table.
            study: What it speaks of; None where this scoring was not asked for it and only its row is known.
        """

    def rejected(self, row: Row, study: Study | None) -> None:
        """Take a row of `rejected`."""


class Report(Protocol):
    """A format for a clinic: files of its own beside the tables."""

    def open(self, out: Path, package: "Package") -> AbstractContextManager[Reporter]:
        """Start the report in the output folder. It appears, or replaces an older one, when the block ends well."""


@runtime_checkable
class Looks(Protocol):
    """What a report may have beside `open`, when it needs more of a study than its row: the files may be gone at the end."""

    def look(self, studies: Sequence[Study], out: Path, package: "Package") -> None:
        """Look at studies that have ended in rows, while their files are there, and keep what is needed."""


@runtime_checkable
class Numbers(Protocol):
    """What a report may have beside `open`, when it says of which number range an identifier is."""

    def numbered(self, ranges: NumberRanges) -> Report:
        """Give the report for identifiers of these number ranges."""


@runtime_checkable
class Tells(Protocol):
    """What a reporter may have beside its rows: something to tell the user when it has them all."""

    def told(self) -> str:
        """Say in a line what became of the studies."""
