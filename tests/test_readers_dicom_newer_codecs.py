"""JPEG XL and video: right, or refused by name."""

import importlib.util
import io
import re
from pathlib import Path
from typing import Any

import av
import imagecodecs
import numpy as np
import pytest
from pydicom.uid import HTJ2KLossless
from test_readers_dicom import edited, encapsulated, save

from medmm.errors import Code, Rejected
from medmm.readers import read_series
from medmm.types import Array

JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
MPEG2, H264, HEVC = (f"1.2.840.10008.1.2.4.{suffix}" for suffix in (100, 102, 107))
VIDEO_ENDOSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ROWS, COLUMNS, FRAMES = 48, 64, 7
COLOUR = {"SamplesPerPixel": 3, "BitsAllocated": 8, "BitsStored": 8, "PixelRepresentation": 0, "PlanarConfiguration": 0}
PLACELESS = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "RescaleSlope": None, "RescaleIntercept": None}


def refusal(path: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_series(path)
    return caught.value


def save_jpegxl(path: Path, frame: bytes, **header: Any) -> Path:
    """Write a frame under a transfer syntax that pydicom does not know."""
    return edited(save(path, encapsulated([frame]), HTJ2KLossless, **header), HTJ2KLossless.encode(), JPEG_XL_LOSSLESS.encode())


def save_grey(path: Path, frame: bytes, bits: int, **changes: Any) -> Path:
    header = {"Rows": 20, "Columns": 30, "BitsAllocated": 8 if bits <= 8 else 16, "BitsStored": bits, "PixelRepresentation": 0}
    return save_jpegxl(path, bytes(frame), **(header | changes))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_xl_is_exact(tmp_path: Path, bits: int) -> None:
    image = np.random.default_rng(bits).integers(0, 1 << bits, (20, 30)).astype("u1" if bits == 8 else "u2")
    frame = imagecodecs.jpegxl_encode(image, lossless=True, bitspersample=bits)
    (volume,) = read_series(save_grey(tmp_path / "a", frame, bits, RescaleIntercept=-1000))
    np.testing.assert_array_equal(volume.values[:, :, 0].T, image.astype(int) - 1000)


def test_colours_of_jpeg_xl_are_exact(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (ROWS, COLUMNS, 3), np.uint8)
    frame = bytes(imagecodecs.jpegxl_encode(image, lossless=True))
    header = COLOUR | PLACELESS | {"Rows": ROWS, "Columns": COLUMNS, "Modality": "OT", "SOPClassUID": SECONDARY_CAPTURE}
    path = save_jpegxl(tmp_path / "a", frame, PhotometricInterpretation="RGB", **header)
    (volume,) = read_series(path)
    np.testing.assert_array_equal(volume.values[:, :, 0].swapaxes(0, 1), image)
    path = save_jpegxl(tmp_path / "a", frame, PhotometricInterpretation="YBR_FULL", **header)
    assert refusal(path).code is Code.UNSUPPORTED  # the codestream would not say so


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Rows": 30, "Columns": 20}, Code.MALFORMED),
        ({"BitsAllocated": 8, "BitsStored": 8}, Code.MALFORMED),
        ({"PixelRepresentation": 1}, Code.UNSUPPORTED),
    ],
)
def test_jpeg_xl_that_contradicts_its_header_is_refused(tmp_path: Path, changes: dict[str, Any], code: Code) -> None:
    frame = imagecodecs.jpegxl_encode(np.ones((20, 30), np.uint16), lossless=True)
    assert refusal(save_grey(tmp_path / "a", frame, 16, **changes)).code is code


def test_jpeg_xl_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 1 << 12, (20, 30)).astype(np.uint16)
    frame = bytes(imagecodecs.jpegxl_encode(image, lossless=True, usecontainer=False))
    for kept in range(7, len(frame) - 1, 7):
        assert refusal(save_grey(tmp_path / "a", frame[:kept], 12)).code is Code.MALFORMED, kept


def pictures() -> Array:
    """Give frames of even colours that get brighter: (frame, row, column, 3)."""
    frames = np.zeros((FRAMES, ROWS, COLUMNS, 3), np.uint8)
    frames[..., 0] = (40 + 20 * np.arange(FRAMES))[:, None, None]
    frames[:, :, COLUMNS // 2 :, 2] = 200
    return frames


def encoded(codec: str, container: str, frames: Array) -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format=container) as video:
        stream = video.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.bit_rate = 4_000_000
        for picture in frames:
            video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        video.mux(stream.encode())
    return content.getvalue()


def save_video(path: Path, content: bytes, syntax: str, **changes: Any) -> Path:
    header = COLOUR | PLACELESS | {"Rows": ROWS, "Columns": COLUMNS, "NumberOfFrames": FRAMES, "Modality": "ES"}
    header |= {"PhotometricInterpretation": "YBR_PARTIAL_420", "SOPClassUID": VIDEO_ENDOSCOPY, "PixelSpacing": None}
    return save(path, encapsulated([content]), syntax, **(header | changes))


@pytest.mark.parametrize(
    ("codec", "container", "syntax"),
    [
        ("mpeg2video", "mpeg2video", MPEG2),
        ("mpeg2video", "mpegts", MPEG2),
        ("libx264", "h264", H264),
        ("libx264", "mp4", H264),
        ("libx265", "hevc", HEVC),
    ],
)
def test_a_video_is_one_film_of_colours(tmp_path: Path, codec: str, container: str, syntax: str) -> None:
    frames = pictures()
    (volume,) = read_series(save_video(tmp_path / "a", encoded(codec, container, frames), syntax))
    assert volume.affine is None
    assert volume.values.shape == (COLUMNS, ROWS, FRAMES, 3)
    error = np.abs(volume.values.transpose(2, 1, 0, 3).astype(int) - frames)
    assert np.median(error) <= 4  # its compression is lossy
    assert error[:, 4:-4, 4 : COLUMNS // 2 - 4].max() <= 12


def test_frames_of_a_video_can_be_asked_for_in_any_order(tmp_path: Path) -> None:
    from medmm.readers.dicom_format import PixelFormat
    from medmm.readers.dicom_video import Video

    content = encoded("mpeg2video", "mpegts", pictures())
    stored = PixelFormat(MPEG2, ROWS, COLUMNS, FRAMES, 3, "YBR_PARTIAL_420", 0, 8, 8, False, None, False)
    video = Video(content, stored, "file 1 of 1")
    frames = [video.frame(index) for index in range(FRAMES)]
    for index in (5, 0, 6, 3, 3):
        np.testing.assert_array_equal(video.frame(index), frames[index])


@pytest.mark.parametrize("changes", [{"NumberOfFrames": FRAMES + 1}, {"NumberOfFrames": FRAMES - 1}, {"Rows": 40}])
def test_a_video_that_contradicts_its_header_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = save_video(tmp_path / "a", encoded("mpeg2video", "mpegts", pictures()), MPEG2, **changes)
    assert refusal(path).code is Code.MALFORMED


def test_a_video_cut_off_is_refused(tmp_path: Path) -> None:
    content = encoded("libx264", "h264", np.random.default_rng(0).integers(0, 256, (FRAMES, ROWS, COLUMNS, 3), np.uint8))
    for share in (0.1, 0.5, 0.7, 0.95):
        assert refusal(save_video(tmp_path / "a", content[: int(share * len(content))], H264)).code is Code.MALFORMED, share


def test_a_video_damaged_in_its_middle_is_refused(tmp_path: Path) -> None:
    content = bytearray(encoded("mpeg2video", "mpegts", pictures()))
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    assert refusal(save_video(tmp_path / "a", bytes(content), MPEG2)).code is Code.MALFORMED


def test_a_video_that_lacks_a_strip_of_a_frame_is_refused(tmp_path: Path) -> None:
    """The decoder gives as many frames as there are, and fills the strip from another one."""
    content = encoded("mpeg2video", "mpeg2video", pictures())
    starts = [match.start() for match in re.finditer(rb"\0\0\x01[\x01-\xaf]", content)]  # slices, by ISO/IEC 13818-2
    lacking = content[: starts[1]] + content[starts[2] :]
    with av.open(io.BytesIO(lacking), format="mpegvideo") as video:
        assert len(list(video.decode(video=0))) == FRAMES
    assert refusal(save_video(tmp_path / "a", lacking, MPEG2)).code is Code.MALFORMED


def test_a_list_of_files_in_the_place_of_a_video_opens_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.ts").write_bytes(encoded("mpeg2video", "mpegts", pictures()))
    monkeypatch.chdir(tmp_path)
    script = b"ffconcat version 1.0\nfile other.ts\n"
    with av.open(io.BytesIO(script)) as opened:  # what a guess at the format would do
        assert len(list(opened.decode(video=0))) == FRAMES
    assert refusal(save_video(tmp_path / "a", script, MPEG2)).code is Code.MALFORMED


def test_without_a_decoder_for_video_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("medmm.readers.dicom_video.find_spec", lambda name: None if name == "av" else find(name))
    reason = refusal(save_video(tmp_path / "a", b"\0\0\x01\xb3", MPEG2))
    assert reason.code is Code.NO_DECODER
    assert "install av" in str(reason)
