"""Headers of files that nobody has vouched for, read in processes with limits; what comes back is small, checked and typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from medmm.cohort.ages import age_of_header
from medmm.cohort.persons import person_mark
from medmm.cohort.traits import Traits, traits_of
from medmm.errors import Code, Rejected
from medmm.readers.dicom_file import Header, read_header
from medmm.readers.dicom_instance import Instances
from medmm.readers.formats import DICOM_SUFFIXES, Format, format_of
from medmm.readers.waveform_dicom import WAVEFORMS, check_dicom_waveform
from medmm.workers import Limits, answers, cores

if TYPE_CHECKING:
    from medmm.readers.dicom_attributes import Attributes
    from medmm.readers.dicom_instance import Instance

HEADERS = Path("cache", "headers")
"""Where, in the folder of a run or of scores, the headers of image folders are remembered."""

LIMITS = Limits(seconds=20, memory_bytes=1 << 30, answer_bytes=64 << 20)
"""Of some headers, and of each of them again where these were too much; a header takes less than a millisecond and 1 MB."""

CHUNK = 64
"""Headers that travel together: enough to make the way cheap, few enough to spread over the processes."""

LETTERS = 1024
"""Most of a text; the standard allows 64 in one of these (PS3.5, section 6.2), but several of them."""

TEXTS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "AccessionNumber",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "SeriesNumber",
)
"""Attributes whose text is kept of a file."""

Place: TypeAlias = tuple[Path, str]
"""A file, and which one it is in words that hold no patient."""


@dataclass(frozen=True, slots=True)
class DicomImage:
    """What the header of a DICOM image says.

    Attributes:
        texts: Keyword of `TEXTS` -> text; "" where there is none.
        syntax: Transfer Syntax UID.
        instance: The checked image; None where it cannot be read right.
        traits: What a choice among series can rest on.
        acquired: Digits of date and time at which it was acquired or, where that is not stated, its series begun; "" where
            neither is.
        slices: Its images; those of one that cannot be read right as far as it tells.
        rows, columns: Of an image; 0 where it cannot be read right.
        person: The same for the same name and date of birth, from which neither can be read; "" where one is missing.
        age_years: Of the patient; None where it is not stated.
        problem: Why it cannot; None where nothing speaks against it.
    """

    texts: Mapping[str, str]
    syntax: str
    instance: Instance | None
    traits: frozenset[Traits]
    acquired: str
    slices: int
    rows: int
    columns: int
    person: str
    age_years: float | None
    problem: Rejected | None

    @property
    def key(self) -> tuple[str, str]:
        """StudyInstanceUID and SeriesInstanceUID."""
        return self.texts["StudyInstanceUID"], self.texts["SeriesInstanceUID"]


@dataclass(frozen=True, slots=True)
class WaveformFound:
    """A DICOM waveform, which is a recording of its own, and what its header says.

    Attributes:
        sop_class: SOP Class UID.
        problem: Why it would be refused, as far as all but its values tells; None where nothing speaks against it.
    """

    file: Path
    study_uid: str
    patient_id: str
    accession: str
    modality: str
    sop_class: str
    problem: Rejected | None


Look: TypeAlias = DicomImage | WaveformFound | Format | Code
"""What a file is: a DICOM image or waveform, an image of another format, or why it is none of these."""


def look(file: Path, where: str, check: Instances) -> Look:
    """Look at one file, after others with the same `check`."""
    try:
        kind = format_of(file, where)
        if kind is not Format.DICOM:
            return kind or (Code.MALFORMED if file.suffix.lower() in DICOM_SUFFIXES else Code.NOT_AN_IMAGE)
        header = read_header(file, where)
        if header.attributes.text("SOPClassUID").startswith(WAVEFORMS):
            return _waveform(header)
        instance, problem = None, None
        try:
            instance = check.instance(header)
        except Rejected as rejected:
            if rejected.code is Code.NOT_AN_IMAGE:
                raise
            problem = rejected
        image = DicomImage(
            texts={key: _text(header.attributes, key) for key in TEXTS},
            syntax=header.syntax,
            instance=instance,
            traits=traits_of(header.attributes, instance),
            acquired=_acquired(header.attributes),
            slices=_promised_frames(header.attributes) if instance is None else len(instance.frames),
            rows=0 if instance is None else instance.format.rows,
            columns=0 if instance is None else instance.format.columns,
            person=person_mark(_text(header.attributes, "PatientName"), _text(header.attributes, "PatientBirthDate")),
            age_years=age_of_header(*(header.attributes.text(key) for key in ("PatientAge", "PatientBirthDate", "StudyDate"))),
            problem=problem,
        )
        if problem is not None and not (all(image.key) and (header.pixels or header.attributes.has("Rows"))):
            return problem.code  # cut off before, or within, what says which series it is of
        return image
    except Rejected as rejected:
        return rejected.code
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever a reader did not foresee costs this file alone
        return Code.CRASH


def look_at(places: Sequence[Place], limits: Limits = LIMITS) -> Iterator[Look]:
    """Look at files in processes, a core each, and give what each is, in their order.

    A file that hangs, kills its process or takes too much memory ends as TIMEOUT, CRASH or MEMORY, and the others go on.
    """
    source = iter(places)
    chunks = iter(lambda: tuple(islice(source, CHUNK)), ())
    workers = min(cores(), len(places) // CHUNK + 1)
    for chunk, found in answers(chunks, _setup, workers, limits):
        if isinstance(found, Code):
            yield from (
                one if isinstance(one, Code) else one[0] for _, one in answers(((p,) for p in chunk), _setup, 1, limits)
            )
        else:
            yield from found


def _setup() -> Callable[[Sequence[Place]], list[Look]]:
    return _look_at_all


def _look_at_all(places: Sequence[Place]) -> list[Look]:
    check = Instances()
    return [look(file, where, check) for file, where in places]


def _waveform(header: Header) -> WaveformFound:
    """Tell who and what a waveform is of, and read it but for its values."""
    problem = None
    try:
        if not header.attributes.text("StudyInstanceUID"):
            found, expected = "no StudyInstanceUID", "the study that the waveform belongs to"
            raise Rejected(Code.HEADER, header.where, found, expected, "export it again")
        check_dicom_waveform(header.file, header.where)
    except Rejected as rejected:
        problem = rejected
    return WaveformFound(
        file=header.file,
        study_uid=_text(header.attributes, "StudyInstanceUID"),
        patient_id=_text(header.attributes, "PatientID"),
        accession=_text(header.attributes, "AccessionNumber"),
        modality=_text(header.attributes, "Modality"),
        sop_class=_text(header.attributes, "SOPClassUID"),
        problem=problem,
    )


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


def _text(attributes: Attributes, keyword: str) -> str:
    text = attributes.text(keyword)
    if len(text) > LETTERS:
        raise attributes.impossible(keyword, f"{len(text)} letters", f"at most {LETTERS}")
    return text
