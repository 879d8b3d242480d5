"""Folders of records that no spreadsheet wrote, by what they hold: each becomes the same tables of text."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from medmm.errors import Code, Rejected
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
        read_strict: Reads it and holds each record against its whole definition; None where `read` does already.
    """

    fits: Callable[[Path], bool]
    read: Callable[[Path], Records]
    read_strict: Callable[[Path], Records] | None = None


EXPORTS: Table[Export] = Table(
    "export of records",
    {
        "meds": Export(is_meds, read_meds),
        "hl7": Export(is_hl7, read_hl7),
        "fhir": Export(is_fhir, read_fhir, partial(read_fhir, strict=True)),
    },
)


def open_export(folder: Path, strict: bool = False) -> Records | None:
    """Read a folder of records, None where it is none.

    Args:
        folder: All of its files, in any depth, are one export.
        strict: Hold each record against its whole definition.

    Raises:
        Rejected: The export is broken, or AMBIGUOUS where the folder holds two kinds, of which one would go unread.
    """
    if not folder.is_dir():
        return None
    kinds = [name for name, export in EXPORTS.items() if export.fits(folder)]
    if not kinds:
        return None
    if len(kinds) > 1 and kinds[0] != "meds":  # which keeps JSON beside its data
        raise Rejected(
            Code.AMBIGUOUS, "the export", f"files of {' and '.join(kinds)}", "one kind of records", "give each kind a folder"
        )
    export = EXPORTS[kinds[0]]
    return (export.read_strict or export.read)(folder) if strict else export.read(folder)
