"""Frames that imagecodecs decodes are, sample for sample, those of pylibjpeg."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.data import get_testdata_files
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless
from test_readers_dicom import encapsulated, save

from medmm.errors import Code, Rejected
from medmm.readers import dicom_pixels, read_series
from medmm.readers.dicom_fast import decode_fast
from medmm.readers.dicom_format import PixelFormat
from medmm.types import Array

ROWS, COLUMNS = 24, 31
ENCODERS: dict[str, Callable[[Array], bytes]] = {
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEGLSNearLossless: lambda image: bytes(imagecodecs.jpegls_encode(image, level=3)),
    JPEG2000Lossless: lambda image: bytes(imagecodecs.jpeg2k_encode(image, level=0, codecformat="j2k", reversible=True)),
    JPEG2000: lambda image: bytes(imagecodecs.jpeg2k_encode(image, level=40, codecformat="j2k")),
    JPEGLossless: imagecodecs.ljpeg_encode,
    JPEGLosslessSV1: imagecodecs.ljpeg_encode,
}


def words(bits: int, signed: bool) -> Array:
    """Give an image of smooth and of rough parts that uses all of its bits."""
    rng = np.random.default_rng(bits)
    smooth = np.add.outer(np.arange(ROWS), np.arange(COLUMNS)) * ((1 << bits) // (ROWS + COLUMNS))
    image = np.where(np.arange(COLUMNS) < 12, smooth, rng.integers(0, 1 << bits, (ROWS, COLUMNS)))
    image[0, :2] = 0, (1 << bits) - 1
    return (image - (1 << (bits - 1) if signed else 0)).astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")


def both_ways(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, int]:
    """Read a file with imagecodecs and without it; and count the frames that imagecodecs gave."""
    given = 0

    def counted(frame: bytes, stored: PixelFormat) -> Array | None:
        nonlocal given
        decoded = decode_fast(frame, stored)
        given += decoded is not None
        return decoded

    def read() -> Any:
        try:
            return [volume.values for volume in read_series(path)]
        except Rejected as reason:
            return reason.code

    monkeypatch.setattr(dicom_pixels, "decode_fast", counted)
    fast = read()
    monkeypatch.setattr(dicom_pixels, "decode_fast", lambda frame, stored: None)
    return fast, read(), given


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Code) or isinstance(other, Code):
        return one is other
    return len(one) == len(other) and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("syntax", ENCODERS)
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (16, False), (16, True), (12, True)])
def test_every_word_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, bits: int, signed: bool) -> None:
    image = words(bits, signed)
    as_coded = image if syntax in (JPEG2000Lossless, JPEG2000) else image.view(f"u{image.itemsize}") & ((1 << bits) - 1)
    allocated = 8 * image.itemsize
    header = {"Rows": ROWS, "Columns": COLUMNS, "BitsAllocated": allocated, "BitsStored": bits}
    header["PixelRepresentation"] = int(signed)
    path = save(tmp_path / "a", encapsulated([bytes(ENCODERS[syntax](as_coded))]), syntax, **header)
    fast, slow, given = both_ways(path, monkeypatch)
    assert given == 1
    assert same(fast, slow)
    if syntax not in (JPEG2000, JPEGLSNearLossless):
        np.testing.assert_array_equal(fast[0][:, :, 0].T, image)


def compressed() -> list[Path]:
    return [path for path in map(Path, sorted(get_testdata_files())) if path.is_file()]


def test_bundled_files_are_the_same_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = 0
    for path in compressed():
        fast, slow, given = both_ways(path, monkeypatch)
        assert same(fast, slow), path.name
        frames += given
    assert frames >= 6


def test_what_imagecodecs_cannot_decode_is_left_to_the_usual_decoder() -> None:
    stored = PixelFormat(JPEGLSLossless, 4, 4, 1, 1, "MONOCHROME2", 0, 16, 16, False, None, False)
    assert decode_fast(b"no codestream", stored) is None
    image = np.zeros((4, 5), np.uint16)  # another size than the header's
    assert decode_fast(bytes(imagecodecs.jpegls_encode(image)), stored) is None
    assert decode_fast(bytes(imagecodecs.jpegls_encode(image[:, :4])), stored) is not None
