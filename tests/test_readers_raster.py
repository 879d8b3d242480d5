import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medmm.errors import Code, Rejected
from medmm.readers import raster, read_image, read_series

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def refused(file: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_image([file])
    return caught.value


@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.uint16) * 300, COLOUR])
def test_png_pixels_are_column_row_and_without_size(tmp_path: Path, pixels: np.ndarray) -> None:
    volume = read_image([save(tmp_path / "a.png", Image.fromarray(pixels))])
    np.testing.assert_array_equal(volume.values[:, :, 0].swapaxes(0, 1), pixels)
    assert volume.values.dtype == pixels.dtype
    assert volume.affine is None
    assert volume.spacing_mm is None


def test_jpeg_is_read_and_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter to the right
    smooth = np.kron(np.array([[0, 200], [100, 50]], np.uint8), np.ones((8, 16), np.uint8))
    plain = read_image([save(tmp_path / "a.jpg", Image.fromarray(smooth), quality=100)]).values[:, :, 0].T.astype(int)
    turned = read_image([save(tmp_path / "b.jpg", Image.fromarray(smooth), quality=100, exif=exif)]).values[:, :, 0].T
    assert np.abs(plain - smooth).max() <= 2
    assert np.abs(turned - np.rot90(plain, -1)).max() <= 2


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "1"])
def test_opaque_images_of_other_modes_keep_what_is_seen(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.where(GREY > 100, 255, 0).astype(np.uint8))
    values = read_image([save(tmp_path / "a.png", grey.convert(mode))]).values[:, :, 0].swapaxes(0, 1)
    seen = values if values.ndim == 2 else values[..., 0]
    np.testing.assert_array_equal(seen, np.asarray(grey))


def test_transparency_is_refused(tmp_path: Path) -> None:
    pixels = np.dstack([COLOUR, np.full((3, 4), 128, np.uint8)])
    assert refused(save(tmp_path / "a.png", Image.fromarray(pixels))).code is Code.UNSUPPORTED


def test_colour_of_16_bits_is_refused_rather_than_cut_to_8(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + bytes(4 * 6) for _ in range(3))
    header = struct.pack(">2I5B", 4, 3, 16, 2, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(b"".join(parts))
    assert refused(tmp_path / "a.png").code is Code.UNSUPPORTED


def test_cmyk_and_animations_are_refused(tmp_path: Path) -> None:
    image = Image.fromarray(COLOUR)
    assert refused(save(tmp_path / "a.jpg", image.convert("CMYK"))).code is Code.UNSUPPORTED
    other = Image.fromarray(255 - COLOUR)
    assert refused(save(tmp_path / "a.png", image, save_all=True, append_images=[other])).code is Code.UNSUPPORTED


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_every_cut_is_refused(tmp_path: Path, name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 16)).astype(np.uint8)
    whole = save(tmp_path / name, Image.fromarray(pixels)).read_bytes()
    for length in range(1, len(whole), 3):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(Rejected):
            read_image([tmp_path / name])
    (tmp_path / name).write_bytes(whole[:-1])
    assert refused(tmp_path / name).code is Code.TRUNCATED


def test_a_hole_within_a_file_is_refused(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 30)).astype(np.uint8)
    whole = save(tmp_path / "a.png", Image.fromarray(pixels)).read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:200] + whole[400:])
    assert refused(tmp_path / "a.png").code is Code.MALFORMED


@pytest.mark.parametrize("limit", [8, 4])
def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    file = save(tmp_path / "a.png", Image.fromarray(GREY))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert refused(file).code is Code.TOO_LARGE


def test_several_files_are_no_single_image(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{n}.png", Image.fromarray(GREY)) for n in range(2)]
    assert len(read_series(tmp_path)) == 2
    with pytest.raises(Rejected, match="E_MIXED_SERIES"):
        read_image(files)


def test_nothing_is_no_image(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(Rejected, match="E_EMPTY"):
            read_series(path)
    with pytest.raises(Rejected, match="E_EMPTY"):
        read_image([])
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(Rejected, match="E_NOT_AN_IMAGE"):
        read_series(tmp_path)
    with pytest.raises(Rejected, match="E_NOT_AN_IMAGE"):
        read_image([tmp_path / "a.txt"])


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x01\x00\x00"])
def test_a_chunk_longer_than_its_file_takes_no_memory(tmp_path: Path, length: bytes) -> None:
    file = save(tmp_path / "a.png", Image.fromarray(GREY))
    content = file.read_bytes()
    place = content.index(b"IDAT") - 4
    file.write_bytes(content[:place] + length + content[place + 4 :])
    tracemalloc.start()
    assert refused(file).code is Code.MALFORMED
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_file_beyond_the_limit_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster, "FILE_LIMIT_BYTES", 60)
    assert refused(save(tmp_path / "a.png", Image.fromarray(GREY))).code is Code.TOO_LARGE
