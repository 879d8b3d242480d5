"""PNG and JPEG images: pixels without any physical size.

Source: PNG specification (W3C), sections 5 and 11.2.1; ITU-T T.81, annex B.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medmm.errors import Code, Rejected
from medmm.types import Volume

if TYPE_CHECKING:
    from PIL import Image

FILE_LIMIT_BYTES = 1 << 30
"""More than pillow's limit of pixels takes without compression."""

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
"""Type and check sum of the last chunk."""

CHUNK_FRAME_BYTES = 12
"""Length, type and check sum around the content of a chunk."""

JPEG_END = b"\xff\xd9"
PNG_DEPTH, PNG_COLOUR = 24, 25
"""Bytes of a PNG file that hold bits a sample and the kind of colour."""

GREY_MODES = ("L", "I;16", "I;16B", "I")
TRANSPARENT_MODES = ("LA", "RGBA")


def read_raster(path: Path, where: str) -> Volume:
    """Read a PNG or JPEG file of 8 or 16 bit grey, or of 8 bit colour, turned as its EXIF orientation says.

    Raises:
        Rejected: TRUNCATED, MALFORMED, TOO_LARGE (beyond pillow's limit against decompression bombs), or UNSUPPORTED
            (transparency, colour of 16 bits, several images in one file, CMYK).
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    _check_end(path, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                if getattr(image, "n_frames", 1) > 1:
                    raise _unsupported(where, "several images in one file")
                image.load()
                upright = ImageOps.exif_transpose(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = f"at most {Image.MAX_IMAGE_PIXELS}"
        raise Rejected(Code.TOO_LARGE, where, "more pixels than the limit", limit, "make the image smaller") from None
    except UnidentifiedImageError:
        raise Rejected(Code.MALFORMED, where, "no readable image", "PNG or JPEG", "export it again") from None
    except (OSError, SyntaxError, ValueError):
        raise Rejected(
            Code.MALFORMED, where, "an image that breaks off or contradicts itself", "PNG or JPEG", "copy it again"
        ) from None
    values = _pixels(upright, where)  # (row, column) or (row, column, 3)
    return Volume(values.swapaxes(0, 1)[:, :, None], None, None)


def _check_end(path: Path, where: str) -> None:
    """Refuse a file without its end, and one whose precision pillow would reduce without a word."""
    size = path.stat().st_size
    if size > FILE_LIMIT_BYTES:
        raise Rejected(Code.TOO_LARGE, where, f"{size} bytes", f"at most {FILE_LIMIT_BYTES}", "make the image smaller")
    content = path.read_bytes()
    png = content.startswith(PNG_START)
    if (PNG_END if png else JPEG_END) not in content[-65536:]:
        raise Rejected(Code.TRUNCATED, where, "an image without its end", "the whole file", "copy it again")
    if png:
        _check_chunks(content, where)
    if png and content[PNG_DEPTH] == 16 and content[PNG_COLOUR] != 0:
        raise _unsupported(where, "colour of 16 bits")


def _check_chunks(content: bytes, where: str) -> None:
    """Refuse a chunk that reaches beyond the file: pillow takes as much memory as its length says."""
    place = len(PNG_START)
    while content[place + 4 : place + 12] != PNG_END:
        place += CHUNK_FRAME_BYTES + int.from_bytes(content[place : place + 4], "big")
        if place + CHUNK_FRAME_BYTES > len(content):
            raise Rejected(Code.MALFORMED, where, "a chunk that reaches beyond the file", "whole chunks", "copy it again")


def _pixels(image: Image.Image, where: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.uint16]]:
    if image.mode in TRANSPARENT_MODES and image.getextrema()[-1] != (255, 255):
        raise _unsupported(where, "transparent pixels")
    if image.mode in GREY_MODES:
        return np.asarray(image).astype(np.uint8 if image.mode == "L" else np.uint16)
    if image.mode in ("1", "LA"):
        return np.asarray(image.convert("L"))
    if image.mode in ("RGB", "RGBA", "P"):
        return np.asarray(image.convert("RGB"))
    raise _unsupported(where, f"colour mode {image.mode}")


def _unsupported(where: str, found: str) -> Rejected:
    return Rejected(Code.UNSUPPORTED, where, found, "grey of 8 or 16 bits, or colour of 8", "convert the image")
