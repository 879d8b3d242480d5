"""A DICOM Structured Report a study (TID 1500), which an archive files beside the images that the model has read.

Written to `dicom_sr/` in the folder of the results, each file under its SOP Instance UID, which is a hash and names nobody. The
patient in it is that of the images, for an archive could not file it otherwise.

Source: DICOM PS3.3, section A.35.2 (Enhanced SR); PS3.16, TID 1500.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from medmm.files import writing_folder
from medmm.package import Package
from medmm.scoring.sinks.base import Reporter, Row
from medmm.scoring.sinks.dicom_object import (
    FOLDERS,
    Objects,
    complete,
    evidence_of,
    object_uid,
    series_uid,
    writer_of_dicom,
)
from medmm.scoring.sinks.dicom_source import Source, recall_source, remember_sources
from medmm.scoring.sinks.dicom_sr_content import measurement_report
from medmm.types import Study

if TYPE_CHECKING:
    from highdicom.sr import EnhancedSR

FOLDER = FOLDERS["sr"]
SERIES_NUMBER = 9901
"""High, so that no series of a scanner has it."""


def structured_report(source: Source, row: Row, package: Package) -> EnhancedSR:
    """Make the report of a scored study.

    Args:
        source: Its images.
        row: Of `scores`.
        package: The model that said it.
    """
    from highdicom.sr import EnhancedSR

    made = EnhancedSR(
        evidence=evidence_of(source),
        content=measurement_report(source, row, package)[0],
        series_instance_uid=series_uid("sr", source, package),
        series_number=SERIES_NUMBER,
        sop_instance_uid=object_uid("sr", source, package, row),
        instance_number=1,
        manufacturer="medmm",
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    complete(made, source, package, row, "report")
    return made


class _Reports:
    """Writes reports into a folder that appears when all are there."""

    def __init__(self, out: Path, folder: Path, package: Package) -> None:
        self._out = out
        self._package = package
        self._objects = Objects("DICOM reports", folder, out / FOLDER)

    def scored(self, row: Row, study: Study | None) -> None:
        """Write the report of a study; one that says the same as before stays as it was written then."""
        source = recall_source(row, self._out)
        if isinstance(source, str):
            self._objects.leave_out(source)
        else:
            make = partial(structured_report, source, row, self._package)
            self._objects.keep(object_uid("sr", source, self._package, row), make)

    def rejected(self, row: Row, study: Study | None) -> None:
        """Say nothing of a study that must not be scored."""

    def told(self) -> str:
        """Say how many reports there are, and why some are not."""
        return self._objects.told()


class DicomSr:
    """`dicom_sr/UID.dcm`, one a scored study with DICOM images."""

    def look(self, studies: Sequence[Study], out: Path, package: Package) -> None:
        """Read the headers of studies while their files are there."""
        with writer_of_dicom():
            remember_sources(studies, out)

    @contextmanager
    def open(self, out: Path, package: Package) -> Iterator[Reporter]:
        """Start the folder of reports."""
        with writer_of_dicom(), writing_folder(out / FOLDER) as folder:
            yield _Reports(out, folder, package)
