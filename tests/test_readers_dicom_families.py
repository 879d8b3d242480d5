"""Objects beyond one slice a file: films, floating-point pixels, lookup tables, segmented palettes, mosaics, tomosynthesis."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, MRImageStorage
from test_readers_dicom import refused, save, save_enhanced

from medmm.errors import Code
from medmm.readers import read_image, read_series

BREAST_TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
ULTRASOUND_FILM = "1.2.840.10008.5.1.4.1.1.3.1"
ENHANCED_ANGIOGRAPHY = "1.2.840.10008.5.1.4.1.1.12.1.1"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
NO_PLACE = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"))
NO_RESCALE = {"RescaleSlope": None, "RescaleIntercept": None}


def rewritten(file: Path, **changes: Any) -> Path:
    """Change a file once more, for what `save` cannot write; a change to None takes the attribute out."""
    dataset = pydicom.dcmread(file)
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(file)
    return file


# Films


def test_a_film_is_one_volume_without_a_place_its_frames_in_their_order(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype="<i2").reshape(2, 3, 4)
    volume = read_image(
        [save(tmp_path / "a", pixels, SOPClassUID=ULTRASOUND_FILM, Modality="US", NumberOfFrames=2, **NO_PLACE)]
    )
    assert volume.affine is None
    assert volume.spacing_mm is None
    np.testing.assert_array_equal(volume.values, pixels.transpose(2, 1, 0))


def save_placeless(path: Path) -> Path:
    """Write an enhanced object of two frames without a place."""
    file = save_enhanced(path, [30, 32])
    dataset = pydicom.dcmread(file)
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    dataset.save_as(file)
    return file


def test_the_frames_of_an_enhanced_film_need_no_place(tmp_path: Path) -> None:
    file = save_placeless(tmp_path / "a")
    assert refused([file]).code is Code.HEADER  # an MR must say where it lies
    volume = read_image([rewritten(file, SOPClassUID=ENHANCED_ANGIOGRAPHY, Modality="XA")])
    assert volume.affine is None
    assert volume.values[0, 0].tolist() == [0, 200]


def test_tomosynthesis_is_sorted_by_the_place_of_its_frames(tmp_path: Path) -> None:
    file = rewritten(save_enhanced(tmp_path / "a", [3, 1, 2]), SOPClassUID=BREAST_TOMOSYNTHESIS, Modality="MG")
    volume = read_image([file])
    assert volume.values[0, 0].tolist() == [200, 600, 0]
    assert volume.affine is not None
    assert volume.affine[2, 3] == 1


ENHANCED_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.2"
BREAST_PROJECTIONS = "1.2.840.10008.5.1.4.1.1.13.1.4"


def save_ultrasound(path: Path, depths: list[float], times: list[float] | None = None) -> Path:
    """Write an enhanced ultrasound volume, whose frames lie in the volume that was scanned."""
    file = save_enhanced(path, depths)
    dataset = pydicom.dcmread(file)
    dataset.SOPClassUID, dataset.Modality = ENHANCED_ULTRASOUND, "US"
    (shared,) = dataset.SharedFunctionalGroupsSequence
    del shared.PlaneOrientationSequence
    shared.PlaneOrientationVolumeSequence = [Dataset()]
    shared.PlaneOrientationVolumeSequence[0].ImageOrientationVolume = [1, 0, 0, 0, 1, 0]
    for number, (group, depth) in enumerate(zip(dataset.PerFrameFunctionalGroupsSequence, depths, strict=True)):
        del group.PlanePositionSequence
        group.PlanePositionVolumeSequence = [Dataset()]
        group.PlanePositionVolumeSequence[0].ImagePositionVolume = [0, 0, depth]
        if times:
            group.TemporalPositionSequence = [Dataset()]
            group.TemporalPositionSequence[0].TemporalPositionTimeOffset = times[number]
    dataset.save_as(file)
    return file


def test_an_ultrasound_volume_is_sorted_by_depth_and_has_no_place_in_the_patient(tmp_path: Path) -> None:
    volume = read_image([save_ultrasound(tmp_path / "a", [4, 0, 2])])
    assert volume.values[0, 0].tolist() == [200, 600, 0]
    assert volume.affine is None
    assert volume.spacing_mm == pytest.approx((0.8, 0.5, 2.0))
    assert refused([save_ultrasound(tmp_path / "b", [4, 0, 1])]).code is Code.GAP


def test_ultrasound_volumes_of_several_times_come_apart(tmp_path: Path) -> None:
    volumes = read_series(save_ultrasound(tmp_path / "a", [0, 2, 0, 2], [0, 0, 40, 40]))
    assert [volume.values[0, 0].tolist() for volume in volumes] == [[0, 200], [600, 1200]]


def test_breast_projections_stay_in_their_order_without_a_place(tmp_path: Path) -> None:
    file = save_placeless(tmp_path / "a")
    volume = read_image([rewritten(file, SOPClassUID=BREAST_PROJECTIONS, Modality="MG")])
    assert volume.affine is None
    assert volume.values[0, 0].tolist() == [0, 200]


# Floating-point pixels


def save_float(path: Path, values: np.ndarray, **changes: Any) -> Path:
    double = values.dtype.itemsize == 8
    dataset = pydicom.dcmread(save(path, BitsAllocated=8 * values.dtype.itemsize, BitsStored=None, **NO_RESCALE))
    del dataset.PixelData
    del dataset.PixelRepresentation
    dataset.SOPClassUID, dataset.Modality = MRImageStorage, "MR"
    setattr(dataset, "DoubleFloatPixelData" if double else "FloatPixelData", values.tobytes())
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
def test_floating_point_pixels_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    values = np.linspace(-1, 1, 12).astype(kind).reshape(3, 4)
    volume = read_image([save_float(tmp_path / "a", values)])
    np.testing.assert_array_equal(volume.values[:, :, 0], values.T)
    assert volume.values.dtype == np.dtype(kind)
    assert volume.padding is None


def test_what_is_no_finite_number_is_padding(tmp_path: Path) -> None:
    values = np.arange(12, dtype="<f4").reshape(3, 4)
    values[1, 2], values[0, 0], values[2, 3] = np.nan, np.inf, -5
    volume = read_image([save_float(tmp_path / "a", values, FloatPixelPaddingValue=-5.0)])
    assert volume.padding is not None
    assert sorted(zip(*np.nonzero(volume.padding[:, :, 0]), strict=True)) == [(0, 0), (2, 1), (3, 2)]
    assert np.isfinite(volume.values).all()
    assert volume.values[1, 0, 0] == 1


def test_floating_point_pixels_of_another_size_are_refused(tmp_path: Path) -> None:
    file = save_float(tmp_path / "a", np.zeros((3, 4), "<f4"), BitsAllocated=64)
    assert refused([file]).code is Code.HEADER
    assert refused([save_float(tmp_path / "b", np.zeros((2, 4), "<f4"))]).code is Code.TRUNCATED


def test_a_parametric_map_of_whole_numbers_is_refused(tmp_path: Path) -> None:
    """Their meaning stands in a real world value mapping, which is not applied."""
    file = rewritten(save_enhanced(tmp_path / "a", [30, 32]), SOPClassUID=PARAMETRIC_MAP, Modality="MR")
    assert refused([file]).code is Code.UNSUPPORTED


# Lookup tables


def table(first: int, entries: list[int], bits: int = 16, width: str = "<u2") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", np.array(entries, width).tobytes())
    return item


def test_a_modality_lookup_gives_the_values_and_clamps_at_its_ends(tmp_path: Path) -> None:
    change = {"ModalityLUTSequence": [table(3, [100, 110, 130, 160])], "PixelRepresentation": 0, **NO_RESCALE}
    volume = read_image([save(tmp_path / "a", Modality="CR", SOPClassUID=MRImageStorage, **change)])
    expected = [100, 100, 100, 100, 110, 130, 160, 160, 160, 160, 160, 160]
    np.testing.assert_array_equal(volume.values[:, :, 0].T.ravel(), expected)


def test_a_lookup_of_an_inverted_radiograph_is_turned_within_its_bits(tmp_path: Path) -> None:
    change = {"ModalityLUTSequence": [table(0, list(range(12)), bits=12)], "PixelRepresentation": 0, **NO_RESCALE}
    change |= {"Modality": "CR", "PhotometricInterpretation": "MONOCHROME1", "SOPClassUID": MRImageStorage}
    volume = read_image([save(tmp_path / "a", **change)])
    np.testing.assert_array_equal(volume.values[:, :, 0].T.ravel(), 4095 - np.arange(12))


def test_lookups_of_signed_pixels_start_below_zero(tmp_path: Path) -> None:
    item = table(0, [7, 8, 9, 10], width="<u2")
    item.add_new("LUTDescriptor", "US", [4, 65534, 16])  # -2 as an unsigned word
    pixels = np.arange(-4, 8, dtype="<i2")
    volume = read_image([save(tmp_path / "a", pixels, ModalityLUTSequence=[item], SOPClassUID=MRImageStorage, **NO_RESCALE)])
    assert volume.values[:, :, 0].T.ravel().tolist()[:6] == [7, 7, 7, 8, 9, 10]


def test_a_lookup_beside_a_rescaling_is_refused(tmp_path: Path) -> None:
    change = {"ModalityLUTSequence": [table(0, [1, 2])], "RescaleSlope": 2}
    assert refused([save(tmp_path / "a", **change)]).code is Code.HEADER


def test_a_lookup_with_missing_entries_is_refused(tmp_path: Path) -> None:
    item = table(0, [1, 2, 3])
    item.add_new("LUTDescriptor", "US", [40, 0, 16])
    assert refused([save(tmp_path / "a", ModalityLUTSequence=[item], **NO_RESCALE)]).code is Code.HEADER


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", ExplicitVRBigEndian])
def test_palette_words_are_turned_in_big_endian(tmp_path: Path, syntax: str) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    change: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR", "PixelRepresentation": 0, **NO_RESCALE}
    entries = (np.arange(12) * 1000).astype(f"{order}u2")
    for name in ("Red", "Green", "Blue"):
        change[f"{name}PaletteColorLookupTableDescriptor"] = [12, 0, 16]
        change[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    pixels = np.arange(12, dtype=f"{order}u2")
    volume = read_image([save(tmp_path / "a", pixels, syntax, SOPClassUID=MRImageStorage, Modality="US", **change)])
    assert volume.values[1, 1, 0].tolist() == [5000] * 3


def segments(*words: int) -> bytes:
    return np.array(words, "<u2").tobytes()


def segmented(path: Path, data: bytes, entries: int) -> Path:
    change: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR", "PixelRepresentation": 0, **NO_RESCALE}
    for name in ("Red", "Green", "Blue"):
        change[f"{name}PaletteColorLookupTableDescriptor"] = [entries, 0, 16]
        change[f"Segmented{name}PaletteColorLookupTableData"] = data
    return save(path, SOPClassUID=MRImageStorage, Modality="US", **change)


def test_a_segmented_palette_is_expanded(tmp_path: Path) -> None:
    # Two values, a ramp of three up to 40, then the first segment again, which stands 0 bytes from the start.
    data = segments(0, 2, 5, 10, 1, 3, 40, 2, 1, 0, 0)
    volume = read_image([segmented(tmp_path / "a", data, 7)])
    assert volume.values[:, :, 0, 1].T.ravel().tolist()[:8] == [5, 10, 20, 30, 40, 5, 10, 10]


@pytest.mark.parametrize(
    "words",
    [
        (0, 2, 5),  # breaks off
        (1, 3, 40),  # a ramp from nothing
        (0, 3, 5, 6, 7),  # too many
        (0, 1, 5),  # too few
        (3, 1, 5),  # no such kind
        (2, 1, 0, 0),  # leads to itself
        (0, 2, 5, 10, 2, 1, 60000, 60000),  # leads nowhere
        (0, 0) * 40000,  # goes on without end
    ],
)
def test_broken_segments_are_refused(tmp_path: Path, words: tuple[int, ...]) -> None:
    assert refused([segmented(tmp_path / "a", segments(*words), 2)]).code is Code.HEADER


# Mosaics


def csa_header(count: int, normal: tuple[float, float, float]) -> bytes:
    """Write a CSA2 header with the two tags that a mosaic needs."""

    def tag(name: str, vr: str, values: list[str]) -> bytes:
        head = struct.pack("<64si4s3i", name.encode(), len(values), vr.encode(), 0, len(values), 77)
        items = b""
        for value in values:
            text = value.encode() + b"\0"
            items += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + b"\0" * (-len(text) % 4)
        return head + items

    tags = tag("NumberOfImagesInMosaic", "US", [str(count)]) + tag("SliceNormalVector", "FD", [str(x) for x in normal])
    return b"SV10\4\3\2\1" + struct.pack("<2I", 2, 77) + tags


def save_mosaic(path: Path, header: bytes | None, **changes: Any) -> Path:
    """Write four tiles of 2 x 3 pixels, of which three are slices; each pixel holds its number in the file."""
    values = {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "SpacingBetweenSlices": 5.0, "Modality": "MR"} | changes
    pixels = np.arange(24, dtype="<i2").reshape(4, 6)
    save(path, pixels, Rows=4, Columns=6, SOPClassUID=MRImageStorage, PixelSpacing=[2.0, 1.0], **values)
    dataset = pydicom.dcmread(path)
    if header is not None:
        dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", header)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_the_tiles_of_a_mosaic_are_its_slices_each_in_its_place(tmp_path: Path, direction: float) -> None:
    volume = read_image([save_mosaic(tmp_path / "a", csa_header(3, (0, 0, direction)))])
    assert volume.values.shape == (3, 2, 3)
    assert volume.affine is not None
    # By hand: the mosaic of 6 x 4 pixels overhangs a slice of 3 x 2 by 1.5 columns of 1 mm and 1 row of 2 mm, so the first
    # pixel of the first slice, number 0, lies at x = 10 + 1.5, y = 20 + 2, z = 30. Slice 1 starts with 3, slice 2 with 12.
    for number, slice_ in ((0, 0), (3, 1), (12, 2)):
        (place,) = np.argwhere(volume.values == number)
        np.testing.assert_allclose(volume.affine @ (*place, 1), (-11.5, -22, 30 + direction * 5 * slice_, 1))
    assert not (volume.values == 15).any()  # the tile that is no slice


def test_each_mosaic_of_a_series_is_a_volume_of_its_own(tmp_path: Path) -> None:
    for name in "ab":
        save_mosaic(tmp_path / name, csa_header(3, (0, 0, 1)))
    assert [volume.values.shape for volume in read_series(tmp_path)] == [(3, 2, 3)] * 2
    assert refused(sorted(tmp_path.iterdir())).code is Code.MIXED_SERIES


@pytest.mark.parametrize(
    ("header", "change", "code"),
    [
        (None, {}, Code.UNSUPPORTED),
        (csa_header(3, (0, 0, 1)), {"SpacingBetweenSlices": None}, Code.UNSUPPORTED),
        (b"SV10 and nothing more", {}, Code.MALFORMED),
        (csa_header(0, (0, 0, 1)), {}, Code.MALFORMED),
        (csa_header(3, (float("nan"), 0, 1)), {}, Code.MALFORMED),
        (csa_header(5, (0, 0, 1)), {}, Code.HEADER),  # three tiles a side do not divide 4 rows
        (csa_header(3, (0, 1, 0)), {}, Code.HEADER),
    ],
)
def test_a_mosaic_that_nothing_places_is_refused(
    tmp_path: Path, header: bytes | None, change: dict[str, Any], code: Code
) -> None:
    assert refused([save_mosaic(tmp_path / "a", header, **change)]).code is code


# What real exports hold


def test_a_radiograph_whose_spacing_is_zero_has_no_physical_size(tmp_path: Path) -> None:
    radiograph = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "Modality": "CR", **NO_PLACE, **NO_RESCALE}
    assert read_image([save(tmp_path / "a", **radiograph | {"PixelSpacing": [0, 0]})]).spacing_mm is None
    other = read_image([save(tmp_path / "b", **radiograph | {"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.1]})])
    assert other.spacing_mm == pytest.approx((0.1, 0.2, 1))
    assert refused([save(tmp_path / "c", **radiograph | {"PixelSpacing": [0, 0.1]})]).code is Code.HEADER
    assert refused([save(tmp_path / "d", PixelSpacing=[0, 0])]).code is Code.HEADER  # a CT needs it


def test_colours_of_32_bits_are_read(tmp_path: Path) -> None:
    pixels = (np.arange(36, dtype="<u4") * 100_000_000 % 4_000_000_000).astype("<u4")
    change = {"BitsAllocated": 32, "BitsStored": 32, "PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}
    change |= {"PlanarConfiguration": 0, "PixelRepresentation": 0, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "OT"}
    volume = read_image([save(tmp_path / "a", pixels.astype("<u4").tobytes(), **change, **NO_PLACE, **NO_RESCALE)])
    np.testing.assert_array_equal(volume.values[:, :, 0].transpose(1, 0, 2).ravel(), pixels)


@pytest.mark.parametrize("name", ["siemens_dwi_0", "siemens_dwi_1000", "philips_mprage"])
@pytest.mark.filterwarnings("ignore:The DICOM readers are highly experimental", "ignore:Unable to find Philips private")
def test_real_files_that_nibabel_brings_lie_where_nibabel_puts_them(tmp_path: Path, name: str) -> None:
    """Two mosaics and an enhanced object, placed by a second implementation; their pixels are blank."""
    import nibabel
    from nibabel.nicom.dicomwrappers import wrapper_from_data

    bundled = Path(nibabel.__file__).parent / "nicom" / "tests" / "data" / f"{name}.dcm.gz"
    (tmp_path / name).write_bytes(gzip.decompress(bundled.read_bytes()))
    volume = read_image([tmp_path / name])
    other = wrapper_from_data(pydicom.dcmread(tmp_path / name))
    assert volume.affine is not None
    theirs = np.linalg.inv(np.diag((-1, -1, 1, 1)) @ other.affine) @ volume.affine  # from our index to nibabel's
    corners = np.array([(*corner, 1) for corner in np.ndindex(2, 2, 2)]) * (*np.subtract(volume.values.shape, 1), 1)
    there = (corners @ theirs.T)[:, :3]
    np.testing.assert_allclose(there, np.rint(there), atol=0.01)
    assert (there.min(0) > -0.01).all()
    assert (there.max(0) < np.subtract(other.image_shape, 0.99)).all()
