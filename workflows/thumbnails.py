"""`medmm inspect --thumbnails`: the images and signals of an export as a contact sheet to look at."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from medmm.dataset.decode import LOST
from medmm.errors import Code, Rejected
from medmm.preview.pictures import Preview
from medmm.preview.sheet import Tile, contact_sheet
from medmm.preview.sketch import Sketch, sketch
from medmm.preview.thumbnails import shown
from medmm.privacy.gate import write_page
from medmm.readers.reading import AS_STORED, Reading
from medmm.workers import answers, cores

from .screen import Screen, Step


@dataclass(frozen=True)
class Subject:
    """What a tile is to show.

    Attributes:
        title: Which image or signal it is, in words that hold no patient.
        note: What else is known of it.
        files: Of the image or the recording.
        problem: Why it must not be read; None where nothing speaks against it.
        reading: What of DICOM is turned into something else, as in the run.
        signal: Whether it is a recording and no image.
    """

    title: str
    note: str
    files: tuple[Path, ...]
    problem: Rejected | None
    reading: Reading = AS_STORED
    signal: bool = False


Shown: TypeAlias = Preview | Sketch | Rejected


def write_thumbnails(title: str, subjects: Sequence[Subject], most: int, out: Path, screen: Screen) -> None:
    """Read the images and signals in worker processes and write the sheet.

    Args:
        title: Its headline.
        subjects: What there is to show.
        most: Tiles of the sheet at most; the first are shown.
        out: File to write.
        screen: Where to show progress.
    """
    first = subjects[:most]
    notes = [f"These are the first of {len(subjects)}; --tiles shows more."] if len(subjects) > len(first) else []
    with screen.step("drawing thumbnails") as step:
        page = contact_sheet(title, _tiles(first, step), notes)
    write_page(out, page)


def _tiles(subjects: Sequence[Subject], step: Step) -> Iterator[Tile]:
    readable = [subject for subject in subjects if subject.problem is None]
    read = answers(readable, _setup, min(cores(), len(readable))) if readable else iter(())
    for number, subject in enumerate(subjects, start=1):
        drawn: Shown | Code = subject.problem or next(islice(read, 1))[1]
        if isinstance(drawn, Code):
            drawn = Rejected(drawn, "the reader", *LOST[drawn])
        yield Tile(subject.title, subject.note, drawn)
        step(number, len(subjects))


def _setup() -> Callable[[Subject], Shown]:
    """Make a process ready to draw."""
    return _draw


def _draw(subject: Subject) -> Shown:
    try:
        return sketch(subject.files) if subject.signal else shown(subject.files, subject.reading)
    except Rejected as reason:
        return reason
