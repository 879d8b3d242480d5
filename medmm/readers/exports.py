"""Folders of records that no spreadsheet wrote, by what they hold: each becomes the same tables of text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medmm.readers.facts import TABLES, Records
from medmm.readers.fhir import is_fhir, read_fhir
from medmm.readers.hl7 import is_hl7, read_hl7
from medmm.readers.meds import is_meds, read_meds
from medmm.tables import Table

__all__ = ["EXPORTS", "TABLES", "Export", "Records", "open_export"]


@dataclass(frozen=True)
class Export:
    """One way in which systems export records.

    Attributes:
        fits: Tells whether a folder is one.
        read: Reads it.
    """

    fits: Callable[[Path], bool]
    read: Callable[[Path], Records]


EXPORTS: Table[Export] = Table(
    "export of records",
    {
        "meds": Export(is_meds, read_meds),
        "hl7": Export(is_hl7, read_hl7),
        "fhir": Export(is_fhir, read_fhir),
    },
)
"""In the order in which a folder is asked: MEDS keeps JSON beside its data."""


def open_export(folder: Path, exports: Mapping[str, Export] = EXPORTS) -> Records | None:
    """Read a folder of records, None where it is none.

    Raises:
        Rejected: The export is broken.
    """
    if not folder.is_dir():
        return None
    for export in exports.values():
        if export.fits(folder):
            return export.read(folder)
    return None
