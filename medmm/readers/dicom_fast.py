"""Frames of one sample decoded by imagecodecs, which lets other threads run meanwhile; the other decoders hold them up.

A frame is given only where the result is what pylibjpeg gives too, sample for sample; the tests hold both to each other. That
leaves out lossy JPEG, whose standard does not settle the last bit, and lossless JPEG with restarts, which liblj92 silently gets
wrong. A frame that its decoder here refuses is refused: pylibjpeg fills up most damaged frames of JPEG-LS, lossless JPEG and
RLE without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_codestream import RLE, Codestream
from medmm.readers.dicom_format import JPEG2000, PixelFormat
from medmm.types import Array

JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")


def decode_fast(frame: bytes, stored: PixelFormat, codestream: Codestream | None, where: str) -> Array | None:
    """Decode a compressed frame of one sample to (row, column) words of `bits_allocated` bits and the header's sign.

    Args:
        frame: What `check_codestream` found whole.
        stored: How the header says that it is stored.
        codestream: What the frame says of itself.
        where: Which file it is.

    Returns:
        The words; None where the usual decoder is to decide.

    Raises:
        Rejected: MALFORMED where the frame is damaged.
    """
    decoder = _decoders().get(stored.syntax) if stored.samples == 1 else None
    if decoder is None:
        return None
    if stored.syntax == RLE:
        return _run_lengths(decoder, frame, stored, where)
    if codestream is None:
        return None
    width = 8 if codestream.bits <= 8 else 16
    if codestream.bits > width or width != stored.bits_allocated:
        return None
    if stored.syntax in JPEG_LOSSLESS and (codestream.restarts or not codestream.lossless):
        return None
    words = np.asarray(_decoded(decoder, frame, where))
    if words.shape != (stored.rows, stored.columns) or words.itemsize * 8 != width:
        raise _damaged(where)
    return _signed(words, stored, width - codestream.bits)


def _decoded(decoder: Callable[..., Any], frame: bytes, where: str, **options: Any) -> Any:
    try:
        return decoder(frame, **options)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - each codec has errors of its own
        raise _damaged(where) from None


def _run_lengths(decoder: Callable[..., Any], frame: bytes, stored: PixelFormat, where: str) -> Array:
    kind = np.dtype(f"<{'i' if stored.signed else 'u'}{stored.bits_allocated // 8}")
    content = _decoded(decoder, frame, where, dtype=kind)
    if len(content) != stored.frame_bytes:
        raise _damaged(where)
    return np.frombuffer(content, kind).reshape(stored.rows, stored.columns).astype(kind.newbyteorder("="), copy=False)


def _signed(words: Array, stored: PixelFormat, unused: int) -> Array:
    """Give words the sign of the header: JPEG-LS has none, JPEG 2000 perhaps another one, lossless JPEG fills the word."""
    turned = words.dtype.kind == ("u" if stored.signed else "i")
    words = words.view(np.dtype(f"{'i' if stored.signed else 'u'}{words.itemsize}"))
    return (words << unused) >> unused if turned and unused and stored.syntax not in JPEG_LOSSLESS else words


@cache
def _decoders() -> Mapping[str, Callable[..., Any]]:
    """Give the codecs that are installed, by transfer syntax."""
    import imagecodecs

    found: dict[str, Callable[..., Any]] = {}
    if imagecodecs.JPEGLS.available:
        found |= dict.fromkeys(JPEG_LS, imagecodecs.jpegls_decode)
    if imagecodecs.JPEG2K.available:
        found |= dict.fromkeys(JPEG2000, partial(imagecodecs.jpeg2k_decode, numthreads=1))
    if imagecodecs.LJPEG.available:
        found |= dict.fromkeys(JPEG_LOSSLESS, imagecodecs.ljpeg_decode)
    if imagecodecs.DICOMRLE.available:
        found[RLE] = imagecodecs.dicomrle_decode
    return found


def _damaged(where: str) -> Rejected:
    return Rejected(Code.MALFORMED, where, "pixels that cannot be decoded", "whole pixels", "copy or export the file again")
