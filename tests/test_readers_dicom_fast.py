"""Frames that imagecodecs decodes are, sample for sample, those of pylibjpeg."""

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_files
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.uid import (
    JPEG2000,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from test_readers_dicom import encapsulated, save

from medmm.errors import Code, Rejected
from medmm.readers import dicom_fast, dicom_pixels, read_series
from medmm.readers.dicom_codestream import Codestream, check_codestream
from medmm.readers.dicom_fast import decode_fast
from medmm.readers.dicom_format import PixelFormat
from medmm.types import Array

ROWS, COLUMNS = 24, 31


def run_lengths(image: Array) -> bytes:
    return bytes(
        RLELosslessEncoder.encode(
            image.view(f"u{image.itemsize}"),
            rows=ROWS,
            columns=COLUMNS,
            samples_per_pixel=1,
            number_of_frames=1,
            bits_allocated=8 * image.itemsize,
            bits_stored=8 * image.itemsize,
            photometric_interpretation="MONOCHROME2",
            pixel_representation=0,
            encoding_plugin="pylibjpeg",
        )
    )


ENCODERS: dict[str, Callable[[Array], bytes]] = {
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEGLSNearLossless: lambda image: bytes(imagecodecs.jpegls_encode(image, level=3)),
    JPEG2000Lossless: lambda image: bytes(imagecodecs.jpeg2k_encode(image, level=0, codecformat="j2k", reversible=True)),
    JPEG2000: lambda image: bytes(imagecodecs.jpeg2k_encode(image, level=40, codecformat="j2k")),
    HTJ2KLossless: imagecodecs.htj2k_encode,
    JPEGLossless: imagecodecs.ljpeg_encode,
    JPEGLosslessSV1: imagecodecs.ljpeg_encode,
    RLELossless: run_lengths,
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

    def counted(frame: bytes, stored: PixelFormat, codestream: Codestream | None, where: str) -> Array | None:
        nonlocal given
        decoded = decode_fast(frame, stored, codestream, where)
        given += decoded is not None
        return decoded

    def read() -> Any:
        try:
            return [volume.values for volume in read_series(path)]
        except Rejected as reason:
            return reason.code

    monkeypatch.setattr(dicom_pixels, "decode_fast", counted)
    fast = read()
    monkeypatch.setattr(dicom_pixels, "decode_fast", lambda *_: None)
    return fast, read(), given


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Code) or isinstance(other, Code):
        return one is other
    return len(one) == len(other) and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("syntax", ENCODERS)
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (16, False), (16, True), (12, True)])
def test_every_word_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, bits: int, signed: bool) -> None:
    image = words(bits, signed)
    as_coded = (
        image if syntax in (JPEG2000Lossless, JPEG2000, HTJ2KLossless) else image.view(f"u{image.itemsize}") & ((1 << bits) - 1)
    )
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


def save_frame(path: Path, syntax: str, frame: bytes, bits: int, **header: Any) -> Path:
    sizes = {"Rows": ROWS, "Columns": COLUMNS, "BitsAllocated": 8 if bits <= 8 else 16, "BitsStored": bits}
    return save(path, encapsulated([bytes(frame)]), syntax, **(sizes | {"PixelRepresentation": 0} | header))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("coded_signed", [False, True])
def test_jpeg_2000_takes_the_sign_of_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed: bool, coded_signed: bool
) -> None:
    image = words(12, signed)
    kind = np.int16 if coded_signed else np.uint16
    coded = (((image & 0xFFF) ^ 0x800) - 0x800).astype(kind) if coded_signed else (image & 0xFFF).astype(kind)
    frame = imagecodecs.jpeg2k_encode(coded, level=0, codecformat="j2k", reversible=True, bitspersample=12)
    path = save_frame(tmp_path / "a", JPEG2000Lossless, frame, 12, PixelRepresentation=int(signed))
    fast, slow, given = both_ways(path, monkeypatch)
    assert given == 1
    assert same(fast, slow)
    np.testing.assert_array_equal(fast[0][:, :, 0].T, image)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLossless])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("coded_signed", [False, True])
def test_words_of_fewer_bits_than_the_header_says_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, signed: bool, coded_signed: bool
) -> None:
    image = words(12, coded_signed)
    if syntax == JPEG2000Lossless:
        frame = imagecodecs.jpeg2k_encode(image, level=0, codecformat="j2k", reversible=True, bitspersample=12)
    else:
        frame = lossless_jpeg(image.view(np.uint16) & 0xFFF, 12)
    header = {"BitsAllocated": 16, "BitsStored": 16, "PixelRepresentation": int(signed)}
    fast, slow, given = both_ways(save_frame(tmp_path / "a", syntax, frame, 12, **header), monkeypatch)
    assert given == 1
    assert same(fast, slow)


def test_other_jpeg_than_lossless_is_left_to_the_usual_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for syntax, progressive in ((JPEGLossless, False), (JPEGBaseline8Bit, True)):
        stream = io.BytesIO()
        Image.fromarray(words(8, False)).save(stream, "JPEG", progressive=progressive)
        fast, slow, given = both_ways(save_frame(tmp_path / "a", syntax, stream.getvalue(), 8), monkeypatch)
        assert given == 0
        assert same(fast, slow)
        assert not isinstance(fast, Code)


@pytest.mark.parametrize("syntax", ENCODERS)
@pytest.mark.parametrize("signed", [False, True])
def test_frames_of_fewer_bytes_than_the_header_says_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, signed: bool
) -> None:
    header = {"BitsAllocated": 16, "BitsStored": 16, "PixelRepresentation": int(signed)}
    fast, slow, _ = both_ways(save_frame(tmp_path / "a", syntax, ENCODERS[syntax](words(8, False)), 8, **header), monkeypatch)
    assert same(fast, slow)


def lossless_jpeg(image: Array, bits: int, restart_rows: int = 0, dropped_bits: int = 0, fill: bytes = b"") -> bytes:
    """Write lossless JPEG (ISO/IEC 10918-1, annex H): predictor 1, every difference category by a code of five bits."""
    words = image.astype(int) >> dropped_bits
    scan, code, restarts = b"", "", 0

    def flushed() -> bytes:
        padded = code + "1" * (-len(code) % 8)
        return bytes(int(padded[n : n + 8], 2) for n in range(0, len(padded), 8)).replace(b"\xff", b"\xff\0")

    for row, line in enumerate(words):
        anew = row == 0 or (restart_rows and row % restart_rows == 0)
        if anew and row:
            scan, code, restarts = scan + flushed() + bytes([0xFF, 0xD0 + restarts % 8]), "", restarts + 1
        for column, word in enumerate(line):
            above = 1 << (bits - dropped_bits - 1) if anew else int(words[row - 1, 0])
            difference = int(word) - (int(line[column - 1]) if column else above)
            category = abs(difference).bit_length()
            offset = 0 if difference > 0 else (1 << category) - 1
            code += f"{category:05b}" + (f"{difference + offset:0{category}b}" if category else "")

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content

    table = segment(0xC4, bytes([0, *[0] * 4, 17, *[0] * 11, *range(17)]))
    size = segment(0xC3, struct.pack(">BHHB", bits, *image.shape, 1) + bytes([1, 0x11, 0]))
    interval = segment(0xDD, struct.pack(">H", restart_rows * image.shape[1])) if restart_rows else b""
    start = segment(0xDA, bytes([1, 1, 0, 1, 0, dropped_bits]))
    return b"\xff\xd8" + fill + size + fill + table + interval + start + scan + flushed() + b"\xff\xd9"


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1])
@pytest.mark.parametrize("change", [{}, {"restart_rows": 1}, {"restart_rows": 5}, {"fill": b"\xff"}])
def test_lossless_jpeg_of_every_kind_is_read_right(tmp_path: Path, syntax: str, change: dict[str, Any]) -> None:
    image = words(12, False)
    (volume,) = read_series(save_frame(tmp_path / "a", syntax, lossless_jpeg(image, 12, **change), 12))
    np.testing.assert_array_equal(volume.values[:, :, 0].T, image)


def test_lossless_jpeg_without_its_low_bits_is_refused(tmp_path: Path) -> None:
    file = save_frame(tmp_path / "a", JPEGLossless, lossless_jpeg(words(12, False), 12, dropped_bits=2), 12)
    with pytest.raises(Rejected, match="E_UNSUPPORTED"):
        read_series(file)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEGLSNearLossless, JPEGLossless, JPEG2000Lossless, HTJ2KLossless])
def test_a_frame_cut_before_its_end_marker_is_refused_or_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    """Decoders of JPEG 2000 pass over a missing end, as they may; those of the others must not fill the rest up."""
    frame = bytes(ENCODERS[syntax](words(12, False)))
    for end in range(len(frame) // 2, len(frame) * 9 // 10, len(frame) // 9):
        fast, slow, _ = both_ways(save_frame(tmp_path / "a", syntax, frame[:end] + b"\xff\xd9", 12), monkeypatch)
        refuses = syntax in (JPEGLSLossless, JPEGLSNearLossless, JPEGLossless)
        assert fast is Code.MALFORMED if refuses else same(fast, slow)


def test_damaged_run_lengths_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = words(16, False)
    frame, refusals = run_lengths(image), 0
    for place in range(64, len(frame) - 1, 5):
        damaged = (
            frame[:place] + bytes([frame[place] ^ 0x80]) + frame[place + 1 :]
        )  # a run for a row of bytes, or a byte for another
        fast, slow, _ = both_ways(save_frame(tmp_path / "a", RLELossless, damaged, 16), monkeypatch)
        refusals += fast is Code.MALFORMED
        assert fast is Code.MALFORMED or same(fast, slow)
    assert refusals >= 10


def test_what_imagecodecs_cannot_decode_is_refused_and_what_it_need_not_is_left() -> None:
    image = np.zeros((4, 4), np.uint16)
    stored = PixelFormat(JPEGLSLossless, 4, 4, 1, 1, "MONOCHROME2", 0, 16, 16, False, None, False)
    frame = bytes(imagecodecs.jpegls_encode(image))
    stream = check_codestream(frame, stored, "a file")
    assert decode_fast(frame, stored, stream, "a file") is not None
    assert decode_fast(frame, stored, None, "a file") is None
    assert decode_fast(frame, replace(stored, samples=3), stream, "a file") is None
    for wrong in (image[:3], image.astype(np.uint8)):
        with pytest.raises(Rejected, match="E_MALFORMED"):
            decode_fast(bytes(imagecodecs.jpegls_encode(wrong)), stored, stream, "a file")
    with pytest.raises(Rejected, match="E_MALFORMED"):
        decode_fast(b"no codestream", stored, stream, "a file")


def test_without_its_codec_a_frame_is_left_to_the_usual_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((4, 4), np.uint16)
    stored = PixelFormat(JPEGLSLossless, 4, 4, 1, 1, "MONOCHROME2", 0, 16, 16, False, None, False)
    frame = bytes(imagecodecs.jpegls_encode(image))
    monkeypatch.setattr(dicom_fast, "_decoders", dict)
    assert decode_fast(frame, stored, check_codestream(frame, stored, "a file"), "a file") is None
