"""Headers of files that nobody has vouched for, read in processes with limits; what comes back is small, checked and typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from medmm.errors import Code, Rejected
from medmm.readers.dicom_file import read_header
from medmm.readers.dicom_instance import instance_of
from medmm.readers.formats import DICOM_SUFFIXES, Format, format_of
from medmm.workers import Limits, answers, cores

if TYPE_CHECKING:
    from medmm.readers.dicom_attributes import Attributes
    from medmm.readers.dicom_instance import Instance

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
    "StudyDate",
    "StudyTime",
    "Modality",
    "BodyPartExamined",
    "SeriesDescription",
    "Manufacturer",
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
        problem: Why it cannot; None where nothing speaks against it.
    """

    texts: Mapping[str, str]
    syntax: str
    instance: Instance | None
    problem: Rejected | None

    @property
    def key(self) -> tuple[str, str]:
        """StudyInstanceUID and SeriesInstanceUID."""
        return self.texts["StudyInstanceUID"], self.texts["SeriesInstanceUID"]


Look: TypeAlias = DicomImage | Format | Code
"""What a file is: a DICOM image, an image of another format, or why it is neither."""


def look(file: Path, where: str) -> Look:
    """Look at one file."""
    try:
        kind = format_of(file, where)
        if kind is None:
            return Code.MALFORMED if file.suffix.lower() in DICOM_SUFFIXES else Code.NOT_AN_IMAGE
        if kind is not Format.DICOM:
            return kind
        header = read_header(file, where)
        instance, problem = None, None
        try:
            instance = instance_of(header)
        except Rejected as rejected:
            if rejected.code is Code.NOT_AN_IMAGE:
                raise
            problem = rejected
        image = DicomImage({key: _text(header.attributes, key) for key in TEXTS}, header.syntax, instance, problem)
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
    return [look(file, where) for file, where in places]


def _text(attributes: Attributes, keyword: str) -> str:
    text = attributes.text(keyword)
    if len(text) > LETTERS:
        raise attributes.impossible(keyword, f"{len(text)} letters", f"at most {LETTERS}")
    return text
