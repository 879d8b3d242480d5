"""What the two halves of an export without identifiers tell each other: what is known of a patient, and what was done."""

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class KnownValues:
    """What headers or tables say of one patient: what to strike where it is written, and to look for in what is written.

    Attributes:
        names: Of the patient, in every form that is given, whole and by component; those of other people in the
            headers too.
        identifiers: Patient identifiers, accession numbers and the like.
        birth_dates: As 1950-03-14.
        addresses: As they stand.
        phones: As they stand.
    """

    names: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    birth_dates: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()


@dataclass(frozen=True)
class TablesDone:
    """What was done to tables and notes.

    Attributes:
        cells: Read.
        struck: In which something was replaced.
        shifted: Dates that were moved.
        quarantined: Cells and notes that still hold what may be an identifier, and stayed behind.
        dropped_columns: Columns that stayed behind.
        files: Written.
        behind: Files that stay behind as a whole, below the cohort, and why.
        unread: How many of them are tables that cannot be read, or do not say whose their rows are.
    """

    cells: int = 0
    struck: int = 0
    shifted: int = 0
    quarantined: int = 0
    dropped_columns: int = 0
    files: int = 0
    behind: tuple[tuple[PurePosixPath, str], ...] = ()
    unread: int = 0
