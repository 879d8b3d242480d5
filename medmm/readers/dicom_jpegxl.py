"""Frames of JPEG XL, which imagecodecs alone decodes.

Source: DICOM PS3.5, section 8.2 and annex A.4 (JPEG XL); ISO/IEC 18181-1.
"""

from __future__ import annotations

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_format import PixelFormat
from medmm.types import Array


def decode_jpegxl(frame: bytes, stored: PixelFormat, where: str) -> Array:
    """Decode a frame to (row, column) words as stored, or to (row, column, 3) RGB.

    Raises:
        Rejected: NO_DECODER; UNSUPPORTED for signed pixels, which JPEG XL does not have; MALFORMED where the frame is damaged,
            or of another size or width than the header states.
    """
    import imagecodecs

    if not imagecodecs.JPEGXL.available:
        repair = "install imagecodecs with libjxl, as its wheels on PyPI are"
        raise Rejected(Code.NO_DECODER, where, "JPEG XL pixels", "a decoder for them", repair)
    if stored.signed:
        found = "signed pixels in JPEG XL, which has none"
        raise Rejected(Code.UNSUPPORTED, where, found, "unsigned pixels", "leave the image out, or convert it")
    try:
        words = np.asarray(imagecodecs.jpegxl_decode(frame, numthreads=1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the codec has errors of its own
        found = "pixels that cannot be decoded"
        raise Rejected(Code.MALFORMED, where, found, "whole pixels", "copy or export the file again") from None
    shape = (stored.rows, stored.columns, 3)[: 2 if stored.samples == 1 else 3]
    kind = np.dtype(f"u{stored.bits_allocated // 8}")
    if words.shape != shape or words.dtype != kind:
        found = f"a compressed frame of {' x '.join(map(str, words.shape))}, {words.dtype}"
        expected = f"{' x '.join(map(str, shape))}, {kind} as in the header"
        raise Rejected(Code.MALFORMED, where, found, expected, "export the file again")
    return words
