"""Slices asked for a few at a time, in threads, and prepared as they come: the same bits as from the whole volume."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, MRImageStorage, RLELossless
from test_readers_dicom import SCREEN, save, save_enhanced
from test_readers_dicom_families import csa_header, save_mosaic, table
from test_readers_tilt import save_tilted

from medmm.errors import Code, Rejected
from medmm.inputs.image import ImageSettings
from medmm.readers import dicom_codestream, dicom_file, dicom_pixels, open_image, read_image, slices, threads
from medmm.readers.reading import AS_STORED, Reading
from medmm.readers.resample import prepare_image
from medmm.readers.separable import axis_of, resample_across, resample_slices
from medmm.readers.slices import SLAB, HeldSlices
from medmm.readers.threads import KEPT_BYTES, Room, in_threads, limit_threads, room
from medmm.types import Array, Evidence, Volume

COUNT = 3 * SLAB - 2
"""Slices of a test: several slabs, the last of them smaller."""

AXIAL = {"size": (10, 9, 8), "window": (-300.0, 400.0), "spacing_mm": None}
OBLIQUE = {"ImageOrientationPatient": [1, 0, 0, 0, 0.955336, 0.29552]}
MR = {"SOPClassUID": MRImageStorage, "Modality": "MR"}
LAYERS = SCREEN | {"Rows": 12, "Columns": 15, "RescaleSlope": None, "RescaleIntercept": None}
BYTES = {"BitsAllocated": 8, "BitsStored": 8}
UNSIGNED = {"PixelRepresentation": 0, "BitsStored": 12}


@pytest.fixture(autouse=True)
def _threads() -> Any:
    limit_threads(3)
    yield
    threads._most = None


def pixels_of(seed: int, kind: str = "<i2", low: int = -500, high: int = 600, shape: tuple[int, ...] = (12, 15)) -> Array:
    return np.random.default_rng(seed).integers(low, high, shape).astype(kind)


def stack(folder: Path, each: Callable[[int], dict[str, Any]], **shared: Any) -> list[Path]:
    """Write slices 2 mm apart along their normal, under names in no order."""
    folder.mkdir()
    directions = np.reshape(shared.get("ImageOrientationPatient", [1, 0, 0, 0, 1, 0]), (2, 3))
    normal = np.cross(*directions)
    files = []
    for number in range(COUNT):
        place = [round(float(x), 6) for x in np.array([10, 20, 30]) + 2 * number * normal]
        values = {"Rows": 12, "Columns": 15, "pixels": pixels_of(number), "ImagePositionPatient": place}
        files.append(save(folder / f"{number * 7 % COUNT:03d}", **(values | shared | each(number))))
    return sorted(files)


def compressed(files: list[Path]) -> list[Path]:
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(file)
    return files


def palette(width: int) -> dict[str, Any]:
    tables: dict[str, Any] = LAYERS | {"SamplesPerPixel": 1, "PhotometricInterpretation": "PALETTE COLOR"}
    for number, name in enumerate(("Red", "Green", "Blue")):
        entries = np.random.default_rng(number).integers(0, 1 << 8 * width, 256).astype(f"<u{width}")
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8 * width]
        tables[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    return tables


def grey(number: int) -> dict[str, Any]:
    return {"pixels": pixels_of(number, "u1", 0, 256)}


def overlaid(number: int) -> dict[str, Any]:
    """Give twelve bits with something else above them, one pixel in ten at the padding value of 5."""
    words = pixels_of(number, "<u2", 0, 65536)
    words[:, ::10] = words[:, ::10] & 0xF000 | 5
    return {"pixels": words}


def colour(number: int) -> dict[str, Any]:
    return {"pixels": pixels_of(number, "u1", 0, 256, (12, 15, 3))}


SERIES: dict[str, Callable[[Path], list[Path]]] = {
    "plain": lambda p: stack(p, lambda n: {}),
    "padded here and there": lambda p: stack(p, lambda n: {"PixelPaddingValue": int(pixels_of(n)[0, 0])} if n % 5 else {}),
    "oblique": lambda p: stack(p, lambda n: {}, **OBLIQUE),
    "rescaled each": lambda p: stack(p, lambda n: {"RescaleSlope": 1 + n / 7, "RescaleIntercept": n}),
    "twelve bits": lambda p: stack(p, overlaid, **UNSIGNED, PixelPaddingValue=5, RescaleIntercept=-1024),
    "inverted": lambda p: stack(
        p, lambda n: {"pixels": pixels_of(n, "<u2", 0, 4096)}, **MR, **UNSIGNED, PhotometricInterpretation="MONOCHROME1"
    ),
    "32 bits": lambda p: stack(p, lambda n: {"pixels": pixels_of(n, "<i4")}, BitsAllocated=32, BitsStored=32),
    "big endian": lambda p: stack(p, lambda n: {"pixels": pixels_of(n, ">i2")}, syntax=ExplicitVRBigEndian),
    "bytes as big endian words": lambda p: stack(p, grey, syntax=ExplicitVRBigEndian, **UNSIGNED | BYTES),
    "deflated": lambda p: stack(p, lambda n: {}, syntax=DeflatedExplicitVRLittleEndian),
    "run lengths": lambda p: compressed(stack(p, lambda n: {})),
    "colour": lambda p: stack(p, colour, **LAYERS, PlanarConfiguration=0),
    "palette": lambda p: stack(p, grey, **palette(2)),
    "frames of one file": lambda p: [save_enhanced(p, [2.0 * (n * 5 % COUNT) for n in range(COUNT)])],
    "compressed frames of one file": lambda p: compressed([save_enhanced(p, [2.0 * n for n in range(COUNT)])]),
    "mosaic": lambda p: [save_mosaic(p, csa_header(3, (0, 0, 1)))],
    "tilted": lambda p: sorted(save_tilted(p, (0.4, 0.5)).iterdir()),
}


def naive(volume: Volume, size: tuple[int, ...], window: tuple[float, float]) -> Array:
    """Window and resample a whole volume, of which no axis is turned but i and j, in the plainest way."""
    values = volume.values.swapaxes(0, 2).astype(np.float32) - np.float32(window[0])
    values = np.clip(values, 0, np.float32(window[1] - window[0]))
    if volume.padding is not None:
        values[volume.padding.swapaxes(0, 2)] = 0
    axes = [axis_of(n, m, n / m, reverse) for n, m, reverse in zip(volume.values.shape, size, (True, True, False), strict=True)]
    result = resample_across(resample_slices(values, axes[1], axes[0]), axes[2])
    return np.clip(result * np.float32(1 / (window[1] - window[0])), 0, 1).astype(np.float16).transpose(2, 1, 0)


@pytest.mark.parametrize("name", SERIES)
def test_slices_prepared_as_they_come_are_those_of_the_volume_bit_for_bit(tmp_path: Path, name: str) -> None:
    files = SERIES[name](tmp_path / "series")
    reading = Reading(tilt="resample") if name == "tilted" else AS_STORED
    volume = read_image(files, reading)
    wide = {"spacing_mm": (1.0, 0.7, 2.5)}
    for options in (AXIAL, AXIAL | wide, AXIAL | {"window": None}, AXIAL | {"channels": 3}, AXIAL | wide | {"window": (0, 30)}):
        expected = prepare_image(volume, **options)
        assert prepare_image(open_image(files, reading), **options).tobytes() == expected.tobytes()
        limit_threads(1)
        assert prepare_image(open_image(files, reading), **options).tobytes() == expected.tobytes()
        limit_threads(3)
    if volume.values.ndim == 3 and name not in ("oblique", "tilted"):
        found = prepare_image(open_image(files, reading), **AXIAL)
        assert found[0].tobytes() == naive(volume, AXIAL["size"], AXIAL["window"]).tobytes()
        assert np.ptp(found) > 0


@pytest.mark.parametrize("name", [name for name in SERIES if name not in ("mosaic", "tilted")])
def test_every_slice_of_a_volume_holds_its_own_values(tmp_path: Path, name: str) -> None:
    files = SERIES[name](tmp_path / "series")
    volume = read_image(files)
    assert volume.values.shape[2] == COUNT
    for file in files:
        dataset = pydicom.dcmread(file)
        pixels = dataset.pixel_array
        frames = pixels if "PerFrameFunctionalGroupsSequence" in dataset else pixels[None]
        if len(files) > 1:
            assert volume.affine is not None
            place = np.linalg.solve(volume.affine, [*(dataset.ImagePositionPatient * np.array([-1, -1, 1])), 1])
            numbers, slopes = [int(np.round(place[2]))], [float(dataset.get("RescaleSlope", 1))]
        else:
            groups = dataset.PerFrameFunctionalGroupsSequence
            numbers = [round(group.PlanePositionSequence[0].ImagePositionPatient[2] / 2) for group in groups]
            slopes = [float(group.PixelValueTransformationSequence[0].RescaleSlope) for group in groups]
        if name == "inverted":
            frames = 4095 - frames
        if name == "palette":
            frames = pydicom.pixels.apply_color_lut(dataset.pixel_array, dataset)[None]
        for number, slope, frame in zip(numbers, slopes, frames, strict=True):
            expected = frame * slope + float(dataset.get("RescaleIntercept", 0) or 0)
            np.testing.assert_allclose(volume.values[:, :, number].swapaxes(0, 1), expected, rtol=1e-6)
            if volume.padding is not None and "PixelPaddingValue" in dataset:
                np.testing.assert_array_equal(volume.padding[:, :, number].T, frame == dataset.PixelPaddingValue)


def test_padding_of_a_few_slices_is_none_elsewhere(tmp_path: Path) -> None:
    volume = read_image(stack(tmp_path / "ct", lambda n: {"PixelPaddingValue": int(pixels_of(n)[0, 0])} if n == 9 else {}))
    assert volume.padding is not None
    assert np.flatnonzero(volume.padding.any((0, 1))).tolist() == [9]


@pytest.mark.parametrize("kind", ["<i2", "<u2"])
@pytest.mark.parametrize(
    ("ends", "dtype"),
    [((0, 4000), np.int16), ((-31744, 0), np.int16), ((-31745, 0), np.int32), ((0, 33792), np.int32)],
)
def test_words_of_16_bits_become_32_only_where_a_value_needs_it(
    tmp_path: Path, kind: str, ends: tuple[int, int], dtype: type
) -> None:
    """With the intercept of -1024, int16 holds stored values from -31744 to 33791."""
    limits = np.iinfo(kind)
    if ends[0] < limits.min or ends[1] > limits.max:
        pytest.skip("beyond the type of the stored words")

    def each(number: int) -> dict[str, Any]:
        pixels = np.zeros((12, 15), kind)
        pixels[3, 4:6] = ends if number == 13 else 0
        return {"pixels": pixels}

    files = stack(tmp_path / "ct", each, PixelRepresentation=int(limits.min < 0), RescaleIntercept=-1024)
    volume = read_image(files)
    assert volume.values.dtype == dtype
    assert volume.values[4:6, 3, 13].tolist() == [end - 1024 for end in ends]
    wide = HeldSlices(Volume(volume.values.astype(np.int32), volume.affine, volume.spacing_mm))
    assert prepare_image(open_image(files), **AXIAL).tobytes() == prepare_image(wide, **AXIAL).tobytes()


def test_the_largest_value_that_int16_holds_is_one_more_than_its_neighbour(tmp_path: Path) -> None:
    for value, dtype in ((33791, np.int16), (33792, np.int32)):
        pixels = np.full((12, 15), value, "<u2")
        files = stack(tmp_path / str(value), lambda n, p=pixels: {"pixels": p}, PixelRepresentation=0, RescaleIntercept=-1024)
        volume = read_image(files)
        assert volume.values.dtype == dtype
        assert (volume.values == value - 1024).all()


def test_a_lookup_among_rescaled_slices_keeps_its_values(tmp_path: Path) -> None:
    def each(number: int) -> dict[str, Any]:
        if number != 13:
            return {"pixels": np.zeros((12, 15), "<i2"), "RescaleIntercept": -1024}
        lookup = {"RescaleSlope": None, "RescaleIntercept": None, "ModalityLUTSequence": [table(0, [60000, 60001])]}
        return {"pixels": np.ones((12, 15), "<i2")} | lookup

    volume = read_image(stack(tmp_path / "mr", each, **MR))
    assert volume.values[0, 0, 12:15].tolist() == [-1024, 60001, -1024]


def test_an_image_of_another_format_is_prepared_too(tmp_path: Path) -> None:
    Image.fromarray(pixels_of(0, "u1", 0, 256)).save(tmp_path / "a.png")
    options = {"size": (8, 8), "window": None, "spacing_mm": None}
    expected = prepare_image(read_image([tmp_path / "a.png"]), **options)
    assert prepare_image(open_image([tmp_path / "a.png"]), **options).tobytes() == expected.tobytes()


def test_opening_decodes_nothing_and_pixels_that_cannot_be_decoded_reject_the_image(tmp_path: Path) -> None:
    files = compressed(stack(tmp_path / "ct", lambda n: {}))
    for number in (5, 9, 20):
        content = bytearray(files[number].read_bytes())
        start = content.rindex(b"\xfe\xff\x00\xe0") + 8
        content[start] = number  # the number of segments
        files[number].write_bytes(content)
    one = ImageSettings.model_validate({"path": "x", "size": [8, 8, 8], "window": [0, 100]}).open("ct")
    raw = one.read(Evidence(files=tuple(files)))
    with pytest.raises(Rejected) as caught:
        one.prepare(raw)
    # The first of them along the normal, whatever thread comes to its own first.
    first = min(int(np.argmax([f"{n * 7 % COUNT:03d}" == files[k].name for n in range(COUNT)])) for k in (5, 9, 20))
    assert caught.value.code is Code.MALFORMED
    assert caught.value.where == f"file {first * 7 % COUNT + 1} of {COUNT}"


def test_a_file_that_shrinks_after_its_header_was_read_is_refused(tmp_path: Path) -> None:
    files = stack(tmp_path / "ct", lambda n: {})
    image = open_image(files)
    files[3].write_bytes(files[3].read_bytes()[:-1])
    with pytest.raises(Rejected, match="E_TRUNCATED"):
        image.volume()
    with pytest.raises(Rejected, match="E_TRUNCATED"):
        prepare_image(image, **AXIAL)


def test_colours_of_two_types_share_no_volume(tmp_path: Path) -> None:
    tables = {True: palette(1), False: palette(2)}
    files = stack(tmp_path / "sc", lambda n: grey(n) | tables[n < 2 * SLAB])
    for work in (lambda: read_image(files), lambda: prepare_image(open_image(files), **AXIAL)):
        with pytest.raises(Rejected, match="E_MIXED_SERIES"):
            work()


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, RLELossless])
def test_frames_of_one_file_are_found_once(tmp_path: Path, syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save_enhanced(tmp_path / "a", [2.0 * n for n in range(COUNT)])
    if syntax == RLELossless:
        compressed([file])
    else:
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(file, dataset)
    image = open_image([file])
    calls = []
    monkeypatch.setattr(dicom_pixels, "frame_places", counted(calls, dicom_codestream.frame_places))
    monkeypatch.setattr(dicom_file, "_inflated", counted(calls, dicom_file._inflated))
    limit_threads(1)
    prepare_image(image, **AXIAL)
    assert len(calls) == 1


def counted(calls: list[object], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        calls.append(args)
        return function(*args)

    return call


def test_threads_give_results_in_order_and_the_first_failure() -> None:
    limit_threads(4)
    barrier = threading.Barrier(4, timeout=10)

    def square(number: int) -> int:
        if number < 4:
            barrier.wait()  # four at a time
        return number**2

    assert in_threads(square, range(20)) == [number**2 for number in range(20)]

    def fail(number: int) -> None:
        if number > 4:
            raise ValueError(number)

    with pytest.raises(ValueError, match="5"):
        in_threads(fail, range(20))


@pytest.mark.parametrize(
    "change", [{"RescaleIntercept": -1000}, {"RescaleSlope": 2}, {"PhotometricInterpretation": "MONOCHROME2"}]
)
def test_each_slice_is_rescaled_as_its_own_file_says(tmp_path: Path, change: dict[str, Any]) -> None:
    files = stack(tmp_path / "ct", lambda number: change if number == 5 else {"RescaleIntercept": 7}, BitsStored=12)
    slope, intercept = change.get("RescaleSlope", 1), change.get("RescaleIntercept", 0)
    values = read_image(files).values
    for number in range(COUNT):
        expected = pixels_of(number).T.astype(int) * (slope if number == 5 else 1) + (intercept if number == 5 else 7)
        np.testing.assert_array_equal(values[:, :, number], expected)


def test_a_room_is_used_again() -> None:
    lent = Room()
    kind = np.dtype(np.float32)
    mine = lent.array("a", (2, 3), kind)
    assert lent.array("a", (3,), kind).base is mine.base
    assert lent.array("b", (3,), kind).base is not mine.base
    assert lent.array("a", (9,), kind).size == 9
    assert lent.array("a", (9,), np.dtype(np.int16)).dtype == np.int16


def test_a_room_is_lent_to_one_at_a_time_and_keeps_nothing_large() -> None:
    kind = np.dtype(np.int8)
    with room() as one, room() as other:
        assert one is not other
        small = one.array("small", (5,), kind).base
        large = one.array("large", (KEPT_BYTES + 1,), kind).base
    with room() as again, room() as also:
        (back,) = (lent for lent in (again, also) if lent is one)
        assert back.array("small", (5,), kind).base is small
        assert back.array("large", (5,), kind).base is not large


def test_of_two_parts_that_raise_the_first_is_heard() -> None:
    second_failed = threading.Event()

    def work(number: int) -> None:
        if number == 1:
            second_failed.set()
        assert second_failed.wait(10)
        raise KeyError(number)

    limit_threads(2)
    with pytest.raises(KeyError) as caught:
        in_threads(work, [0, 1])
    assert caught.value.args == (0,)


def test_no_part_is_begun_after_one_that_raised() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise KeyError(number)

    limit_threads(1)
    with pytest.raises(KeyError):
        in_threads(work, range(9))
    assert begun == [0, 1, 2, 3]


def test_a_held_volume_is_cut_into_slabs() -> None:
    volume = Volume(np.arange(2 * 3 * COUNT).reshape(2, 3, COUNT), None, None)
    held = HeldSlices(volume)
    assert [len(range(COUNT)[part]) for part in held.parts()] == [slices.SLAB, slices.SLAB, slices.SLAB - 2]
    values, padding = held.slab(held.parts()[1], Room())
    assert padding is None
    np.testing.assert_array_equal(values, volume.values[:, :, SLAB : 2 * SLAB].swapaxes(0, 2))
