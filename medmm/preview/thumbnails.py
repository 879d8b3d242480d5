"""Images and signals as small pictures, drawn in child processes within limits: a bad one costs its own picture alone.

The pictures hold no text of a header, but what is burned into the pixels is shown as it is.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from medmm.errors import Code, MedmmError, Rejected
from medmm.preview.pictures import Preview, preview
from medmm.preview.sketch import sketch
from medmm.readers import read_image
from medmm.readers.reading import AS_STORED, Reading
from medmm.workers import Limits, answers, cores

SCREEN_WINDOW = (0.0, 1.0)
"""Range of values of presentation."""

IMAGE_SECONDS = 20.0
"""Most that one image may take; a picture is not worth the time that a score is."""

JPEG_QUALITY = 80

SIGNAL_STEP_MM = 1.0
"""Within which only the lowest and highest sample of a signal are drawn: a pixel of a worklist is about as wide."""


@dataclass(frozen=True)
class Wanted:
    """One image or recording of which pictures are wanted.

    Attributes:
        files: Of the image or recording.
        reading: What of DICOM is turned into something else, as in the run.
        most: Pictures of it at most.
        name: Stands in their captions.
        signal: Whether it is a recording and no image.
    """

    files: tuple[Path, ...]
    reading: Reading = AS_STORED
    most: int = 1
    name: str = ""
    signal: bool = False


@dataclass(frozen=True)
class Thumbnail:
    """A picture that is ready for a page.

    Attributes:
        jpeg: Its file; b"" of a recording.
        size: Its columns and rows.
        caption: What it shows, in words that hold no text of a header.
        sides: Letters at the left, right, top and bottom; "" where the image does not state its place.
        svg: The picture of a recording.
    """

    jpeg: bytes
    size: tuple[int, int]
    caption: str
    sides: tuple[str, str, str, str]
    svg: str = ""


def shown(files: Sequence[Path], reading: Reading) -> Preview:
    """Read an image and show it.

    Raises:
        Rejected: It must not be read.
    """
    return preview(read_image(tuple(files), reading), SCREEN_WINDOW if reading.values == "presentation" else None)


def thumbnails(
    images: Sequence[Wanted], seconds: float, each: float = IMAGE_SECONDS
) -> Generator[tuple[Thumbnail, ...], None, None]:
    """Draw images, one after the other.

    Args:
        images: What is wanted.
        seconds: For all of them; those that would begin later have no picture, nor have any where no child process can start.
        each: For one of them.

    Returns:
        The pictures of each image, in their order; none of one that cannot be drawn.
    """
    until = time.monotonic() + seconds
    done = 0
    if images and seconds > 0:
        drawn = answers(images, _setup, min(cores(), len(images)), Limits(seconds=min(each, seconds)))
        # Where no process can start, the rest have no picture, and the page says so of each: results must not hang on pictures.
        with closing(drawn), suppress(MedmmError):  # type: ignore[type-var]
            for _, found in drawn:
                yield () if isinstance(found, Code) else found
                done += 1
                if time.monotonic() > until:
                    break
    yield from ((),) * (len(images) - done)


def _setup() -> Callable[[Wanted], tuple[Thumbnail, ...]]:
    """Make a process ready to draw."""
    return _draw


def _draw(wanted: Wanted) -> tuple[Thumbnail, ...]:
    from PIL import Image

    try:
        if wanted.signal:
            drawn = sketch(wanted.files, SIGNAL_STEP_MM)
            caption = ": ".join(filter(None, [wanted.name, ", ".join(drawn.facts)]))
            return (Thumbnail(b"", (0, 0), caption, ("", "", "", ""), drawn.svg),)
        found = shown(wanted.files, wanted.reading)
    except Rejected:
        return ()
    ready = []
    for picture in found.pictures[: wanted.most]:
        content = io.BytesIO()
        Image.fromarray(picture.pixels).save(content, "JPEG", quality=JPEG_QUALITY)
        rows, columns = picture.pixels.shape[:2]
        caption = ": ".join(filter(None, [wanted.name, picture.caption]))
        ready.append(Thumbnail(content.getvalue(), (columns, rows), caption, picture.sides))
    return tuple(ready)
