"""Grey frames decoded by imagecodecs, which lets other threads run meanwhile; where in doubt, the usual decoder decides.

A frame is given only where the result is what pylibjpeg gives too, sample for sample; the tests hold both to each other. What
imagecodecs cannot decode, or decodes to another size or type, is left to pylibjpeg, which then reads or refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

import numpy as np

from medmm.readers.dicom_format import PixelFormat
from medmm.types import Array

JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")


def decode_fast(frame: bytes, stored: PixelFormat) -> Array | None:
    """Decode a compressed grey frame to (row, column) words of `bits_allocated` bits and the header's sign.

    Args:
        frame: A codestream that `check_codestream` found whole.
        stored: How the header says that it is stored.

    Returns:
        The words; None where the usual decoder is to decide.
    """
    decoder = _decoders().get(stored.syntax) if stored.samples == 1 else None
    if decoder is None:
        return None
    try:
        words = np.asarray(decoder(frame))
    except Exception:  # noqa: BLE001 - each codec has errors of its own; the usual decoder says what is wrong
        return None
    bits = stored.bits_allocated
    signed_alike = words.dtype.kind == ("i" if stored.signed else "u") or stored.syntax not in JPEG_2000
    if words.shape != (stored.rows, stored.columns) or words.dtype.kind not in "iu" or not signed_alike:
        return None
    if words.itemsize * 8 > bits or bits > 16:
        return None
    unsigned = words if words.itemsize * 8 == bits else words.astype(np.dtype(f"{words.dtype.kind}{bits // 8}"))
    return unsigned.view(np.dtype(f"{'i' if stored.signed else 'u'}{bits // 8}"))


@cache
def _decoders() -> Mapping[str, Callable[[bytes], Array]]:
    """Give the codecs that are installed, by transfer syntax."""
    import imagecodecs

    found: dict[str, Callable[[bytes], Array]] = {}
    if imagecodecs.JPEGLS.available:
        found |= dict.fromkeys(JPEG_LS, imagecodecs.jpegls_decode)
    if imagecodecs.JPEG2K.available:
        found |= dict.fromkeys(JPEG_2000, partial(imagecodecs.jpeg2k_decode, numthreads=1))
    if imagecodecs.LJPEG.available:
        found |= dict.fromkeys(JPEG_LOSSLESS, imagecodecs.ljpeg_decode)
    return found
