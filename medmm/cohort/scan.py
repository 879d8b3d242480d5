"""What a folder holds: its DICOM series and other images, from headers alone, and what was left and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers.dicom import problem_of
from medmm.readers.dicom_file import Header, read_header
from medmm.readers.dicom_instance import Instance, instance_of
from medmm.readers.formats import Format, files_in, format_of


@dataclass(frozen=True)
class SeriesFound:
    """One DICOM series; the text of its first file stands for all.

    Attributes:
        time: Study Date and Study Time, ISO 8601; "" where there is no date.
        transfer_syntax: Transfer Syntax UID.
        series_number: As text; "" where there is none.
        slices: Images in its files, more than files where a file holds several.
        files: In the order of their names.
        problem: Why it would be refused, as far as headers tell; None where nothing speaks against it.
    """

    study_uid: str
    series_uid: str
    patient_id: str
    accession: str
    time: str
    modality: str
    body_part: str
    description: str
    manufacturer: str
    transfer_syntax: str
    series_number: str
    slices: int
    files: tuple[Path, ...]
    problem: Rejected | None


@dataclass(frozen=True)
class LooseImage:
    """An image that is no DICOM."""

    path: Path
    format: Format


@dataclass(frozen=True)
class Scan:
    """What a folder holds.

    Attributes:
        series: In the order in which their first files were met.
        images: In the order of their paths.
        left: How many files are none of these, by reason.
    """

    series: tuple[SeriesFound, ...]
    images: tuple[LooseImage, ...]
    left: Mapping[Code, int]


@dataclass
class _Gathered:
    """A series while its files come in."""

    first: Header
    files: list[Path] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    problem: Rejected | None = None


def scan(folder: Path, progress: Callable[[int, int], None] | None = None) -> Scan:
    """Look through a folder and all below it, without hidden files and without following links.

    Args:
        folder: Where to look.
        progress: Called after each file with the number of files done and of all.
    """
    files = list(files_in(folder))
    series: dict[tuple[str, str], _Gathered] = {}
    images = []
    left: Counter[Code] = Counter()
    for number, file in enumerate(files, start=1):
        where = f"file {number} of {len(files)}"
        try:
            kind = format_of(file, where)
            if kind is None:
                left[Code.NOT_AN_IMAGE] += 1
            elif kind is Format.DICOM:
                _gather(series, read_header(file, where))
            else:
                images.append(LooseImage(file, kind))
        except Rejected as rejected:
            left[rejected.code] += 1
        if progress is not None:
            progress(number, len(files))
    return Scan(tuple(_found(gathered) for gathered in series.values()), tuple(images), dict(sorted(left.items())))


def _gather(series: dict[tuple[str, str], _Gathered], header: Header) -> None:
    """Put a file into its series; a file of a series that cannot be read right is the series' problem."""
    problem, instance = None, None
    try:
        instance = instance_of(header)
    except Rejected as rejected:
        if rejected.code is Code.NOT_AN_IMAGE:
            raise
        problem = rejected
    key = header.attributes.text("StudyInstanceUID"), header.attributes.text("SeriesInstanceUID")
    gathered = series.setdefault(key, _Gathered(header))
    gathered.files.append(header.file)
    gathered.problem = gathered.problem or problem
    if instance is not None:
        gathered.instances.append(instance)


def _found(gathered: _Gathered) -> SeriesFound:
    text = gathered.first.attributes.text
    clock = text("StudyTime")
    return SeriesFound(
        study_uid=text("StudyInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        patient_id=text("PatientID"),
        accession=text("AccessionNumber"),
        time=text("StudyDate") + (f"T{clock}" if clock else ""),
        modality=text("Modality"),
        body_part=text("BodyPartExamined"),
        description=text("SeriesDescription"),
        manufacturer=text("Manufacturer"),
        transfer_syntax=gathered.first.syntax,
        series_number=text("SeriesNumber"),
        slices=sum(len(instance.frames) for instance in gathered.instances),
        files=tuple(gathered.files),
        problem=gathered.problem or problem_of(gathered.instances),
    )
