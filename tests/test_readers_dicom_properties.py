"""Whatever names, numbers, order, compression and direction a series is written with, it reads back as the same world."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from medmm.errors import Code, Rejected
from medmm.readers import read_image, read_series
from medmm.types import Array

SEEDS = range(24)
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
ENCODERS: Mapping[str, Callable[[Array], bytes]] = {
    RLELossless: lambda image: bytes(pydicom.pixels.encoders.RLELosslessEncoder.encode(image, **_stored(image))),
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEGLosslessSV1: imagecodecs.ljpeg_encode,
    JPEG2000Lossless: lambda image: bytes(imagecodecs.jpeg2k_encode(image, level=0, codecformat="j2k", reversible=True)),
    HTJ2KLossless: lambda image: bytes(imagecodecs.htj2k_encode(image, reversible=True)),
}


def _stored(image: Array) -> dict[str, Any]:
    bits = 8 * image.itemsize
    shape = {"rows": image.shape[0], "columns": image.shape[1], "samples_per_pixel": 1, "number_of_frames": 1}
    kind = {"bits_allocated": bits, "bits_stored": bits, "pixel_representation": 0, "photometric_interpretation": "MONOCHROME2"}
    return {**shape, **kind}


@dataclass
class Series:
    """A series whose every pixel holds its own number: `slice x rows x columns + row x columns + column`."""

    slices: int
    rows: int
    columns: int
    spacing_mm: tuple[float, float, float]
    """Between rows, columns and slices."""
    directions: Array
    """(3, 3) unit vectors along a row, down a column and across slices, to the left, posterior and superior."""
    origin: Array
    signed: bool
    slope: float
    intercept: float
    syntaxes: tuple[str, ...]
    study: str = field(default_factory=generate_uid)
    series: str = field(default_factory=generate_uid)

    def place(self, slice_: float, row: Array, column: Array) -> Array:
        """Give where pixels lie, (..., 3) to the left, posterior and superior."""
        along, down, across = self.directions
        between_rows, between_columns, step = self.spacing_mm
        steps = row[..., None] * between_rows * down + column[..., None] * between_columns * along
        return np.asarray(self.origin + steps + slice_ * step * across)

    def save(self, path: Path, slice_: int, at: float, number: int, syntax: str) -> None:
        """Write one slice at a place that may be another than its own."""
        stored = np.arange(self.rows * self.columns).reshape(self.rows, self.columns) + slice_ * self.rows * self.columns
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = self.study, self.series
        dataset.PatientID, dataset.Modality, dataset.InstanceNumber = "p1", "CT", number
        position = self.place(at, np.array(0), np.array(0))
        dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]
        dataset.ImageOrientationPatient = [f"{value:.8f}" for value in self.directions[:2].ravel()]
        dataset.PixelSpacing, dataset.SliceThickness = list(self.spacing_mm[:2]), self.spacing_mm[2]
        dataset.Rows, dataset.Columns = self.rows, self.columns
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation = int(self.signed)
        dataset.RescaleSlope, dataset.RescaleIntercept = f"{self.slope:g}", f"{self.intercept:g}"
        if syntax in ENCODERS:
            dataset.PixelData = encapsulate([ENCODERS[syntax](stored.astype(np.uint16))])
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
        else:
            order = ">" if syntax == ExplicitVRBigEndian else "<"
            dataset.PixelData = stored.astype(f"{order}u2").tobytes()
            dataset["PixelData"].VR = "OW"
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def drawn(seed: int) -> tuple[Series, np.random.Generator]:
    """Draw a series: size, spacing, direction (square to the axes, or oblique), sign, rescaling and compression."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    if seed % 2:  # along the axes, in any order and direction
        turn = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)[:, None]
    turn = np.round(turn, 8)
    turn[2] = np.cross(turn[0], turn[1])
    slices, rows, columns = (int(side) for side in rng.integers((3, 5, 6), (9, 20, 23)))
    spacing_mm = tuple(float(x) for x in np.round(rng.uniform(0.4, 4, 3), 3))
    signed = bool(rng.integers(2))
    usable = [s for s in (*NATIVE, *ENCODERS) if not (signed and s in ENCODERS)]
    syntaxes = tuple(str(s) for s in rng.choice(usable, slices))
    slope, intercept = float(rng.choice([1, 2, 0.5])), float(rng.choice([0, -1024]))
    origin = np.round(rng.uniform(-300, 300, 3), 3)
    return Series(slices, rows, columns, spacing_mm, turn, origin, signed, slope, intercept, syntaxes), rng  # type: ignore[arg-type]


def written(
    series: Series, rng: np.random.Generator, folder: Path, places: list[tuple[int, float]] | None = None
) -> list[Path]:
    """Write slices under names and numbers in any order; each (which slice, at which place)."""
    places = [(n, float(n)) for n in range(series.slices)] if places is None else places
    names, numbers = rng.permutation(len(places)), rng.permutation(len(places))
    folder.mkdir()
    for (slice_, at), name, number in zip(places, names, numbers, strict=True):
        series.save(folder / f"IM{name:04d}", slice_, at, int(number), series.syntaxes[slice_])
    return sorted(folder.iterdir())


@pytest.mark.parametrize("seed", SEEDS)
def test_every_pixel_keeps_its_value_at_its_place(tmp_path: Path, seed: int) -> None:
    series, rng = drawn(seed)
    volume = read_image(written(series, rng, tmp_path / "series"))
    assert volume.affine is not None
    numbers = np.rint((volume.values - series.intercept) / series.slope).astype(int)  # (i, j, k)
    assert sorted(numbers.ravel()) == list(range(series.slices * series.rows * series.columns))
    index = np.stack([*np.indices(numbers.shape), np.ones(numbers.shape)], axis=-1)  # (i, j, k, 4)
    found = (index @ volume.affine.T)[..., :3]
    inside = numbers % (series.rows * series.columns)
    expected = np.empty_like(found)
    for slice_ in range(series.slices):
        here = numbers // (series.rows * series.columns) == slice_
        expected[here] = series.place(slice_, inside[here] // series.columns, inside[here] % series.columns)
    np.testing.assert_allclose(found, expected * (-1, -1, 1), atol=0.001)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slice_removed_repeated_or_shifted_is_refused(tmp_path: Path, seed: int) -> None:
    series, rng = drawn(seed)
    whole = [(n, float(n)) for n in range(series.slices)]
    inner = int(rng.integers(1, series.slices - 1))
    removed = [place for place in whole if place[0] != inner]
    repeated = [*whole, (inner, float(inner))]
    shift = float(rng.choice([-1, 1]) * rng.uniform(0.06, 0.4))
    shifted = [(n, at + shift * (n == inner)) for n, at in whole]
    if series.slices == 3:  # two slices are a smaller volume, whatever lay between them
        removed = repeated
    for name, places, code in (
        ("removed", removed, {Code.GAP, Code.DUPLICATE}),
        ("repeated", repeated, {Code.DUPLICATE}),
        ("shifted", shifted, {Code.GAP}),
    ):
        with pytest.raises(Rejected) as caught:
            read_series(written(series, rng, tmp_path / name, places)[0].parent)
        assert caught.value.code in code


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_an_inverted_radiograph_and_its_twin_are_equal(tmp_path: Path, bits: int) -> None:
    series, _ = drawn(0)
    stored = np.arange(24).reshape(4, 6) * ((1 << bits) // 24)
    images = []
    for name, values in (("MONOCHROME2", stored), ("MONOCHROME1", (1 << bits) - 1 - stored)):
        series.save(tmp_path / name, 0, 0, 1, ExplicitVRLittleEndian)
        dataset = pydicom.dcmread(tmp_path / name)
        dataset.SOPClassUID, dataset.Modality = DigitalXRayImageStorageForPresentation, "DX"
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = name, 0
        dataset.Rows, dataset.Columns = stored.shape
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (8 if bits == 8 else 16), bits, bits - 1
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.PixelData = values.astype("u1" if bits == 8 else "<u2").tobytes()
        dataset.save_as(tmp_path / name)
        images.append(read_image([tmp_path / name]))
    np.testing.assert_array_equal(images[0].values, images[1].values)
    assert images[0].values.min() == 0
