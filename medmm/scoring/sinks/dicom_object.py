"""What every DICOM object that a scoring makes has in common: patient and study of its images, who made it and when, its name.

Its UIDs follow from what it says, so that the same answer is the same object: an archive that gets it twice keeps one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from medmm import __version__
from medmm.errors import ConfigError
from medmm.files import write_bytes
from medmm.package import Package
from medmm.readers.quiet import quiet
from medmm.scoring.sinks.base import SCORED_AT, Row
from medmm.scoring.sinks.dicom_codes import SCHEME, SCHEME_NAME, uid_of
from medmm.scoring.sinks.dicom_source import LONG, Source, one_line
from medmm.scoring.sinks.dicom_sr_content import model_name
from medmm.settings import Plain

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LAYOUT = 1
"""Of what an object says of an answer; another layout is another object."""

IDENTIFIERS = ("patient_id", "study_id")
"""Columns of whose study it is, which the header says better."""

FOLDERS = {"sr": "dicom_sr", "saliency": "dicom_saliency"}
"""Kind -> folder for objects of it, in that of the results."""

WARNING = "research use only"

UTF_8 = "ISO_IR 192"


@contextmanager
def writer_of_dicom() -> Iterator[None]:
    """Make sure that highdicom is there, and that neither it nor pydicom tells anybody what stands in headers.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise ConfigError("DICOM reports need a package that is not here: pip install medmm[clinic]") from None
    logging.getLogger("highdicom").setLevel(logging.CRITICAL)  # it logs UIDs, and names that it finds odd
    with quiet():
        yield


def cells_of(row: Row) -> Plain:
    """Give what a row says, but for whose study it is and when that was said."""
    cells = {name: cell for name, cell in row.items() if name not in {*IDENTIFIERS, SCORED_AT}}
    return {name: list(cell) if isinstance(cell, list | tuple) else cell for name, cell in cells.items()}


def object_uid(kind: str, source: Source, package: Package, row: Row) -> str:
    """Give the SOP Instance UID of what is said of a study."""
    return uid_of(kind, LAYOUT, __version__, source.plain(), package.digest, package.name, cells_of(row))


def series_uid(kind: str, source: Source, package: Package) -> str:
    """Give the UID of the series of one model's objects of a kind in a study."""
    return uid_of("series", kind, source.study, package.digest)


def evidence_of(source: Source) -> list[Dataset]:
    """Give the images as far as an object refers to them, those of its own study first; they say nothing of the patient."""
    from pydicom.dataset import Dataset

    made = []
    for one in sorted(source.images, key=lambda image: (image.study != source.study, image)):
        image = Dataset()
        image.StudyInstanceUID, image.SeriesInstanceUID = one.study, one.series
        image.SOPClassUID, image.SOPInstanceUID = one.sop_class, one.uid
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
            setattr(image, keyword, "")
        image.StudyDate = image.StudyTime = image.ReferringPhysicianName = ""
        made.append(image)
    return made


def complete(made: Dataset, source: Source, package: Package, row: Row, what: str) -> None:
    """Put in an object what all have in common.

    Args:
        made: The object, with its UIDs and its content.
        source: Its images.
        package: The model.
        row: What it says.
        what: It is, in a word or two.
    """
    from pydicom.dataset import Dataset

    made.SpecificCharacterSet = UTF_8
    for keyword, text in source.header.items():
        if text or keyword in made:
            setattr(made, keyword, text)
    when = _when(row, source.header.get("TimezoneOffsetFromUTC", ""))
    day, clock = f"{when:%Y%m%d}", f"{when:%H%M%S}"
    for name in ("Content", "Series", "InstanceCreation"):
        setattr(made, f"{name}Date", day)
        setattr(made, f"{name}Time", clock)
    for item in made.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = day + clock
    made.SeriesDescription = one_line(f"medmm {what}, {WARNING}: {model_name(package)}", LONG)
    made.Manufacturer = "medmm"
    made.ManufacturerModelName = model_name(package)
    made.DeviceSerialNumber = package.digest[:LONG]
    made.SoftwareVersions = __version__
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeUID = SCHEME, uid_of("coding scheme", SCHEME)
    scheme.CodingSchemeName, scheme.CodingSchemeResponsibleOrganization = SCHEME_NAME, "medmm"
    made.CodingSchemeIdentificationSequence = [scheme]


def content_of(made: Dataset) -> bytes:
    """Give the bytes of an object as a file (PS3.10)."""
    from pydicom import dcmwrite

    buffer = BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()


class Objects:
    """The objects of one report, each written once: what says the same as before stays as it was written then.

    Args:
        what: They are, for the closing line.
        folder: Where they are written.
        before: Where those of the scoring before lie, and these will.
    """

    def __init__(self, what: str, folder: Path, before: Path) -> None:
        self._what = what
        self._folder = folder
        self._before = before
        self._written = 0
        self._without: Counter[str] = Counter()

    def keep(self, uid: str, make: Callable[[], Dataset]) -> None:
        """Write an object under its UID, made only where it was not there before."""
        before = self._before / f"{uid}.dcm"
        known = before.read_bytes() if before.is_file() else None
        write_bytes(self._folder / before.name, known or content_of(make()))
        self._written += 1

    def leave_out(self, reason: str) -> None:
        """Count a study that has none."""
        self._without[reason] += 1

    def told(self) -> str:
        """Say how many objects there are, and why some studies have none."""
        why = ", ".join(f"{reason}: {count}" for reason, count in sorted(self._without.items()))
        none = f"; {self._without.total()} studies have none ({why})" if why else ""
        return f"{self._written} {self._what}: {self._before}{none}"


def _when(row: Row, offset: str) -> datetime:
    """Give the time of scoring by the clock of the images: that of their header, else that of this machine."""
    when = datetime.fromisoformat(str(row[SCORED_AT]))
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    if not offset:
        return when.astimezone()
    sign = -1 if offset[0] == "-" else 1
    return when.astimezone(timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5]))))
