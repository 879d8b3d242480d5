"""`medmm inspect --thumbnails`: the images of an export as a contact sheet to look at."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from medmm.dataset.decode import LOST
from medmm.errors import Code, Rejected
from medmm.preview.pictures import Preview, preview
from medmm.preview.sheet import Tile, contact_sheet
from medmm.privacy.gate import write_page
from medmm.readers import read_image
from medmm.readers.reading import AS_STORED, Reading
from medmm.workers import answers, cores

from .screen import Screen, Step

SCREEN_WINDOW = (0.0, 1.0)
"""Range of values of presentation."""


@dataclass(frozen=True)
class Subject:
    """What a tile is to show.

    Attributes:
        title: Which image it is, in words that hold no patient.
        note: What else is known of it.
        files: Of the image.
        problem: Why it must not be read; None where nothing speaks against it.
        reading: What of DICOM is turned into something else, as in the run.
    """

    title: str
    note: str
    files: tuple[Path, ...]
    problem: Rejected | None
    reading: Reading = AS_STORED


Shown: TypeAlias = Preview | Rejected


def write_thumbnails(title: str, subjects: Sequence[Subject], most: int, out: Path, screen: Screen) -> None:
    """Read the images in worker processes and write the sheet.

    Args:
        title: Its headline.
        subjects: What there is to show.
        most: Tiles of the sheet at most; the first are shown.
        out: File to write.
        screen: Where to show progress.
    """
    shown = subjects[:most]
    notes = [f"These are the first of {len(subjects)}; --tiles shows more."] if len(subjects) > len(shown) else []
    with screen.step("drawing thumbnails") as step:
        page = contact_sheet(title, _tiles(shown, step), notes)
    write_page(out, page)


def _tiles(subjects: Sequence[Subject], step: Step) -> Iterator[Tile]:
    readable = [subject for subject in subjects if subject.problem is None]
    read = answers(readable, _setup, min(cores(), len(readable))) if readable else iter(())
    for number, subject in enumerate(subjects, start=1):
        shown: Shown | Code = subject.problem or next(islice(read, 1))[1]
        if isinstance(shown, Code):
            shown = Rejected(shown, "the reader", *LOST[shown])
        yield Tile(subject.title, subject.note, shown)
        step(number, len(subjects))


def _setup() -> Callable[[Subject], Shown]:
    """Make a process ready to draw."""
    return _draw


def _draw(subject: Subject) -> Shown:
    try:
        volume = read_image(subject.files, subject.reading)
        return preview(volume, SCREEN_WINDOW if subject.reading.values == "presentation" else None)
    except Rejected as reason:
        return reason
