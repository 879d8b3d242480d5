"""What a folder holds: its DICOM series and other images, from headers alone, and what was left and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medmm.cohort.traits import Plane, Traits, traits_of
from medmm.errors import Code, Rejected
from medmm.readers.dicom import problem_of
from medmm.readers.dicom_attributes import Attributes
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
        acquired: Digits of date and time at which its first file was acquired or, where that is not stated, its series begun;
            their order is that of time. "" where no file states either.
        traits: What a choice can rest on; several where its files differ in it.
        slices: Images in its files, more than files where a file holds several; those of a broken file as far as it tells.
        files: In the order of their names.
        problem: Why it would be refused, as far as headers tell; None where nothing speaks against it.
    """

    study_uid: str
    series_uid: str
    patient_id: str
    accession: str
    time: str
    modality: str
    manufacturer: str
    transfer_syntax: str
    series_number: str
    acquired: str
    traits: frozenset[Traits]
    slices: int
    files: tuple[Path, ...]
    problem: Rejected | None

    @property
    def thickness_mm(self) -> float | None:
        """Slice thickness, the largest where files differ; None where one of them states none."""
        stated = [traits.thickness_mm for traits in self.traits if traits.thickness_mm is not None]
        return max(stated) if len(stated) == len(self.traits) else None

    @property
    def plane(self) -> Plane | None:
        """The plane nearest to its images; None where they differ in it or state none."""
        planes = {traits.plane for traits in self.traits}
        return planes.pop() if len(planes) == 1 else None


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
    traits: set[Traits] = field(default_factory=set)
    acquired: str = ""
    slices: int = 0
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
    gathered.traits |= traits_of(header.attributes, instance)
    gathered.acquired = min(filter(None, (gathered.acquired, _acquired(header.attributes))), default="")
    gathered.slices += len(instance.frames) if instance is not None else _promised_frames(header.attributes)
    gathered.problem = gathered.problem or problem
    if instance is not None:
        gathered.instances.append(instance)


def _acquired(attributes: Attributes) -> str:
    """Give the digits of the first time that stands in a header (DICOM PS3.5, section 6.2: DT, DA and TM)."""
    whole = re.split("[+-]", attributes.text("AcquisitionDateTime"))[0]
    if not whole:
        stated = (event for event in ("Acquisition", "Series") if attributes.text(f"{event}Date"))
        event = next(stated, "")
        whole = attributes.text(f"{event}Date") + attributes.text(f"{event}Time") if event else ""
    return "".join(filter(str.isdecimal, whole))


def _promised_frames(attributes: Attributes) -> int:
    """Count the images of a file that cannot be read right: a broken series is no shorter than it was."""
    try:
        return max(1, attributes.whole("NumberOfFrames") or 1)
    except Rejected:
        return 1


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
        manufacturer=text("Manufacturer"),
        transfer_syntax=gathered.first.syntax,
        series_number=text("SeriesNumber"),
        acquired=gathered.acquired,
        traits=frozenset(gathered.traits),
        slices=gathered.slices,
        files=tuple(gathered.files),
        problem=gathered.problem or problem_of(gathered.instances),
    )
