"""What a folder holds: its DICOM series, waveforms and other images, from headers alone, and what was left and why.

A folder that was looked at before is looked at again only where it has changed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from medmm.cohort.headers import DicomImage, Look, WaveformFound, look_at
from medmm.cohort.index import End, Index, Key, Stamp, plain_problem, problem_of_plain, recall, remember, stamp_of
from medmm.cohort.spacing import pixel_mm, slice_mm
from medmm.cohort.traits import Plane, Traits
from medmm.errors import Code, Rejected
from medmm.readers.dicom import problem_of
from medmm.readers.dicom_instance import Instance
from medmm.readers.formats import Format, entries_in
from medmm.settings import Plain


@dataclass(frozen=True)
class SeriesFound:
    """One DICOM series; the text of its first file stands for all.

    Attributes:
        transfer_syntax: Transfer Syntax UID.
        series_number: As text; "" where there is none.
        acquired: Digits of date and time at which its first file was acquired or, where that is not stated, its series begun;
            their order is that of time. "" where no file states either.
        traits: What a choice can rest on; several where its files differ in it.
        slices: Images in its files, more than files where a file holds several; those of a broken file as far as it tells.
        scanner: Manufacturer and model.
        rows, columns: Of an image of its first file; 0 where that cannot be read right.
        person: The same for the same name and date of birth, from which neither can be read; "" where one is missing.
        age_years: Of the patient; None where it is not stated.
        pixel_mm: Smallest and largest distance of pixels within its images; None where none is stated.
        slice_mm: Distance of neighbouring slices, the median; None where fewer than two have a place.
        files: In the order of their names.
        problem: Why it would be refused, as far as headers tell; None where nothing speaks against it.
    """

    __pydantic_config__: ClassVar = ConfigDict(arbitrary_types_allowed=True)

    study_uid: str
    series_uid: str
    patient_id: str
    accession: str
    modality: str
    manufacturer: str
    transfer_syntax: str
    series_number: str
    acquired: str
    traits: frozenset[Traits]
    slices: int
    scanner: str
    rows: int
    columns: int
    person: str
    age_years: float | None
    pixel_mm: tuple[float, float] | None
    slice_mm: float | None
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
        waveforms: In the order of their paths.
    """

    series: tuple[SeriesFound, ...]
    images: tuple[LooseImage, ...]
    left: Mapping[Code, int]
    waveforms: tuple[WaveformFound, ...] = ()


@dataclass
class _Gathered:
    """A series while its files come in."""

    first: DicomImage
    instances: list[Instance] = field(default_factory=list)
    traits: set[Traits] = field(default_factory=set)
    acquired: str = ""
    slices: int = 0
    problem: Rejected | None = None


def scan(folder: Path, progress: Callable[[int, int], None] | None = None, memory: Path | None = None) -> Scan:
    """Look through a folder and all below it, without hidden files and without following links.

    Args:
        folder: Where to look.
        progress: Called with the number of files done and of all.
        memory: Folder for what is remembered, which holds identifiers of patients; None remembers nothing.
    """
    now_ns = time.time_ns()
    top = f"{folder}/"
    stamps = {entry.path.removeprefix(top): stamp_of(entry.stat(follow_symlinks=False), now_ns) for entry in entries_in(folder)}
    known = Index() if memory is None else recall(memory, folder)
    ends, gathered = _look(folder, stamps, known.holding(stamps), progress)
    series: dict[Key, SeriesFound] = {}
    for end in ends.values():
        if isinstance(end, tuple) and end not in series:
            series[end] = _found(gathered[end]) if end in gathered else _from_plain(known.series[end])
    if memory is not None and (gathered or ends != known.ends or stamps != known.stamps):
        plain = {key: _plain(found) for key, found in series.items()}
        numbered = frozenset(key for key, found in series.items() if found.problem is not None)
        remember(memory, folder, Index(stamps, ends, plain, numbered))
    files: dict[Key, list[Path]] = {key: [] for key in series}
    for name, end in ends.items():
        if isinstance(end, tuple):
            files[end].append(folder / name)
    beside = _unreadable_beside(ends)
    return Scan(
        series=tuple(
            replace(found, files=tuple(files[key]), problem=found.problem or beside.get(key)) for key, found in series.items()
        ),
        images=tuple(LooseImage(folder / name, end) for name, end in ends.items() if isinstance(end, Format)),
        left=dict(sorted(Counter(end for end in ends.values() if isinstance(end, Code)).items())),
        waveforms=tuple(end for end in ends.values() if isinstance(end, WaveformFound)),
    )


def _look(
    folder: Path, stamps: Mapping[str, Stamp], holding: Mapping[str, End], progress: Callable[[int, int], None] | None
) -> tuple[dict[str, End], dict[Key, _Gathered]]:
    """Look at the files of which nothing holds, and at all of a series to which one of them belongs."""
    numbers = {name: number for number, name in enumerate(stamps, start=1)}
    looked: dict[str, Look] = {}
    waiting = [name for name in stamps if name not in holding]
    done = len(stamps) - len(waiting)
    while waiting:
        places = [(folder / name, f"file {numbers[name]} of {len(stamps)}") for name in waiting]
        for name, seen in zip(waiting, look_at(places), strict=True):
            looked[name] = seen
            done += name not in holding
            if progress is not None:
                progress(done, len(stamps))
        touched = {_end(seen) for seen in looked.values() if isinstance(seen, DicomImage)}
        waiting = [name for name, end in holding.items() if end in touched and name not in looked]
    ends = {name: _end(looked[name]) if name in looked else holding[name] for name in stamps}
    gathered: dict[Key, _Gathered] = {}
    for name in stamps:
        image = looked.get(name)
        if isinstance(image, DicomImage):
            _gather(gathered.setdefault(image.key, _Gathered(image)), image)
    return ends, gathered


def _end(seen: Look) -> End:
    return seen.key if isinstance(seen, DicomImage) else seen


def _gather(gathered: _Gathered, image: DicomImage) -> None:
    """Put a file into its series; a file of a series that cannot be read right is the series' problem."""
    gathered.traits |= image.traits
    gathered.acquired = min(filter(None, (gathered.acquired, image.acquired)), default="")
    gathered.slices += image.slices
    gathered.problem = gathered.problem or image.problem
    if image.instance is not None:
        gathered.instances.append(image.instance)


def _found(gathered: _Gathered) -> SeriesFound:
    text = gathered.first.texts.__getitem__
    return SeriesFound(
        study_uid=text("StudyInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        patient_id=text("PatientID"),
        accession=text("AccessionNumber"),
        modality=text("Modality"),
        manufacturer=text("Manufacturer"),
        transfer_syntax=gathered.first.syntax,
        series_number=text("SeriesNumber"),
        acquired=gathered.acquired,
        traits=frozenset(gathered.traits),
        slices=gathered.slices,
        scanner=" ".join(filter(None, (text("Manufacturer"), text("ManufacturerModelName")))),
        rows=gathered.first.rows,
        columns=gathered.first.columns,
        person=gathered.first.person,
        age_years=gathered.first.age_years,
        pixel_mm=pixel_mm(gathered.instances),
        slice_mm=slice_mm(gathered.instances),
        files=(),
        problem=gathered.problem or problem_of(gathered.instances),
    )


def _unreadable_beside(ends: Mapping[str, End]) -> dict[Key, Rejected]:
    """Give the series that may lack a slice: those of a folder's only study, where a file of the folder cannot be read.

    What the file was nobody knows. In a folder with files of several studies it would cost all of them, so there it is only
    counted. An empty file is suspected where it is named like the others.
    """
    series: dict[str, set[Key]] = {}
    suffixes: set[tuple[str, str]] = set()
    for name, end in ends.items():
        if isinstance(end, tuple):
            series.setdefault(_folder(name), set()).add(end)
            suffixes.add((_folder(name), Path(name).suffix))
    beside: dict[Key, Rejected] = {}
    for number, (name, end) in enumerate(ends.items(), start=1):
        if not isinstance(end, Code) or end is Code.NOT_AN_IMAGE:
            continue
        if end is Code.EMPTY and (_folder(name), Path(name).suffix) not in suffixes:
            continue
        keys = series.get(_folder(name), set())
        if len({study for study, _ in keys}) == 1:
            where = f"file {number} of {len(ends)}"
            found = "an unreadable file, beside those of the series"
            reason = Rejected(end, where, found, "readable files, for it may be a slice", "restore the file, or remove it")
            beside |= {key: reason for key in keys if key not in beside}
    return beside


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


@cache
def _adapter() -> TypeAdapter[SeriesFound]:
    return TypeAdapter(SeriesFound)


def _plain(found: SeriesFound) -> Plain:
    """Give a series without its files as JSON can say it."""
    series = _adapter().dump_python(replace(found, problem=None), mode="json")
    return {"series": series, "problem": plain_problem(found.problem)}


def _from_plain(plain: Plain) -> SeriesFound:
    found = _adapter().validate_python(plain["series"], strict=False)
    return replace(found, problem=problem_of_plain(plain["problem"]))
