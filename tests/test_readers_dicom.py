import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_files
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from medmm.errors import Code, Rejected
from medmm.readers import dicom_file, dicom_pixels, read_image, read_series
from medmm.readers.dicom import problem_of
from medmm.readers.dicom_file import Header, read_header
from medmm.readers.dicom_instance import Instance, Instances, instance_of

CASES = Path(__file__).parents[1].parent / "shared" / "data" / "dicom"
READ_CASES_REFUSED = {"ct_siemens_tilt4", "ct_missing_slice"}
"""Cases that may be read or refused, and are refused."""

STUDY, SERIES, FRAME = generate_uid(), generate_uid(), generate_uid()


def save(path: Path, pixels: np.ndarray | bytes | None = None, syntax: str = ExplicitVRLittleEndian, **changes: Any) -> Path:
    """Write a CT slice of 3 rows and 4 columns, its header changed; a change to None takes the attribute out."""
    values = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "FrameOfReferenceUID": FRAME,
        "PatientID": "p1",
        "Modality": "CT",
        "ImagePositionPatient": [10.0, 20.0, 30.0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.5, 0.8],
        "SliceThickness": 2.0,
        "Rows": 3,
        "Columns": 4,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": None,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
    } | changes
    dataset = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = values["SOPClassUID"]
    dataset.file_meta.MediaStorageSOPInstanceUID = values["SOPInstanceUID"]
    pixels = np.arange(12, dtype="<i2").reshape(3, 4) if pixels is None else pixels
    dataset.PixelData = pixels if isinstance(pixels, bytes) else pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset["PixelData"].is_undefined_length = pydicom.uid.UID(syntax).is_encapsulated
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def save_stack(folder: Path, heights: list[float], **changes: Any) -> list[Path]:
    """Write slices at these heights, the values of each 100 above those of the one before."""
    folder.mkdir(exist_ok=True)
    files = []
    for number, height in enumerate(heights):
        pixels = np.arange(12, dtype="<i2").reshape(3, 4) + np.int16(100 * number)
        files.append(save(folder / f"{number:03d}", pixels, ImagePositionPatient=[10, 20, height], **changes))
    return files


def refused(files: list[Path]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_image(files)
    return caught.value


def encapsulated(frames: list[bytes]) -> bytes:
    return bytes(encapsulate(frames, has_bot=False))


def edited(file: Path, old: bytes, new: bytes) -> Path:
    content = file.read_bytes()
    assert content.count(old) == 1
    file.write_bytes(content.replace(old, new))
    return file


def test_an_index_lands_on_its_point_in_ras(tmp_path: Path) -> None:
    volume = read_image(save_stack(tmp_path / "ct", [30, 32, 34]))
    assert volume.affine is not None
    # By hand, column 3, row 2, slice 1: x = 10 + 3 * 0.8, y = 20 + 2 * 0.5, z = 32, left and posterior turned round.
    np.testing.assert_allclose(volume.affine @ (3, 2, 1, 1), (-12.4, -21.0, 32.0, 1.0))
    assert volume.values[3, 2, 1] == 100 + 2 * 4 + 3
    assert volume.values.shape == (4, 3, 3)
    assert volume.spacing_mm == pytest.approx((0.8, 0.5, 2.0))


def test_slices_are_sorted_by_place_whatever_their_names_and_numbers(tmp_path: Path) -> None:
    files = save_stack(tmp_path / "ct", [34, 30, 32], InstanceNumber=1)
    volume = read_image(files)
    assert volume.values[0, 0].tolist() == [100, 200, 0]
    assert volume.affine is not None
    assert volume.affine[2, 3] == 30


def test_sagittal_slices_go_along_their_normal(tmp_path: Path) -> None:
    turned = {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}
    files = [save(tmp_path / str(x), ImagePositionPatient=[x, 20, 30], **turned) for x in (7, 5, 6)]
    volume = read_image(files)
    assert volume.affine is not None
    # The normal of (0, 1, 0) x (0, 0, -1) is (-1, 0, 0): to the patient's right, so the slice at x = 7 comes first.
    np.testing.assert_allclose(volume.affine @ (1, 1, 1, 1), (-6, -20.8, 29.5, 1))


@pytest.mark.parametrize("thickness", [{"SliceThickness": 5.0}, {"SliceThickness": None, "SpacingBetweenSlices": 5.0}])
def test_one_slice_takes_its_step_from_its_header(tmp_path: Path, thickness: dict[str, float | None]) -> None:
    assert read_image([save(tmp_path / "a", **thickness)]).spacing_mm == pytest.approx((0.8, 0.5, 5.0))


def test_one_slice_without_thickness_is_one_millimetre_thick(tmp_path: Path) -> None:
    assert read_image([save(tmp_path / "a", SliceThickness=None)]).spacing_mm == pytest.approx((0.8, 0.5, 1.0))


@pytest.mark.parametrize(
    ("heights", "code"),
    [
        ([0, 2, 6, 8], Code.GAP),
        ([0, 2, 4.1, 6], Code.GAP),
        ([0, 2, 2, 4], Code.DUPLICATE),
        ([0, 0], Code.DUPLICATE),
    ],
)
def test_uneven_stacks_are_refused(tmp_path: Path, heights: list[float], code: Code) -> None:
    assert refused(save_stack(tmp_path / "ct", heights)).code is code


def test_a_refused_gap_names_the_slices_in_their_order_in_space(tmp_path: Path) -> None:
    problem = refused(save_stack(tmp_path / "ct", [8, 6, 2, 0]))
    assert (problem.where, problem.found) == ("slices 2 and 3 of 4", "4.00 mm between them")


def test_positions_rounded_to_a_hundredth_are_even(tmp_path: Path) -> None:
    assert read_image(save_stack(tmp_path / "ct", [0, 0.62, 1.25, 1.88, 2.5])).spacing_mm == pytest.approx((0.8, 0.5, 0.625))


def test_tilted_gantry_is_refused(tmp_path: Path) -> None:
    files = [save(tmp_path / str(n), ImagePositionPatient=[10, 20 + 0.4 * n, 2 * n]) for n in range(4)]
    assert refused(files).code is Code.TILT


def test_oblique_slices_along_their_normal_are_no_tilt(tmp_path: Path) -> None:
    cosine, sine = np.cos(0.3), np.sin(0.3)
    turned = {"ImageOrientationPatient": [1, 0, 0, 0, round(cosine, 6), round(-sine, 6)]}
    files = [
        save(tmp_path / str(n), ImagePositionPatient=[10, round(2 * n * sine, 6), round(2 * n * cosine, 6)], **turned)
        for n in range(4)
    ]
    assert read_image(files).spacing_mm == pytest.approx((0.8, 0.5, 2.0), abs=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"SeriesInstanceUID": generate_uid()},
        {"StudyInstanceUID": generate_uid()},
        {"FrameOfReferenceUID": generate_uid()},
        {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
        {"ImageOrientationPatient": [0.9999, 0.0141, 0, -0.0141, 0.9999, 0]},
        {"PixelSpacing": [0.5, 0.81]},
        {"EchoTime": 80},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"Modality": "MR"},
        {"ConvolutionKernel": "B60"},
    ],
)
def test_what_cannot_share_a_volume_is_refused_as_one_and_given_apart(tmp_path: Path, change: dict[str, Any]) -> None:
    files = save_stack(tmp_path / "ct", [0, 2])
    files.append(save(tmp_path / "ct" / "other", ImagePositionPatient=[10, 20, 4], **change))
    problem = refused(files)
    assert problem.code is Code.MIXED_SERIES
    assert next(iter(change)) in problem.found
    assert [volume.values.shape for volume in read_series(tmp_path / "ct")] == [(4, 3, 2), (4, 3, 1)]


def test_other_rows_and_columns_are_another_volume(tmp_path: Path) -> None:
    files = [save(tmp_path / "a"), save(tmp_path / "b", np.zeros((4, 4), "<i2"), Rows=4, ImagePositionPatient=[10, 20, 32])]
    assert refused(files).code is Code.MIXED_SERIES


def test_two_patients_are_refused(tmp_path: Path) -> None:
    save_stack(tmp_path / "ct", [0, 2])
    save(tmp_path / "ct" / "other", ImagePositionPatient=[10, 20, 4], PatientID="p2")
    with pytest.raises(Rejected, match="E_MIXED_PATIENTS") as caught:
        read_series(tmp_path / "ct")
    assert "p2" not in str(caught.value)


def test_files_that_name_no_series_are_not_put_together(tmp_path: Path) -> None:
    assert refused(save_stack(tmp_path / "ct", [0, 2], SeriesInstanceUID=None)).code is Code.HEADER
    assert read_image([save(tmp_path / "one", SeriesInstanceUID=None)]).values.shape == (4, 3, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"ImagePositionPatient": None},
        {"ImageOrientationPatient": None},
        {"PixelSpacing": None},
        {"PixelSpacing": [0, 0.5]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]},
        {"RescaleSlope": None},
        {"RescaleIntercept": None, "SOPClassUID": MRImageStorage},
        {"RescaleSlope": 0},
        {"BitsStored": 17},
        {"BitsStored": None},
        {"PixelRepresentation": None},
        {"PhotometricInterpretation": None},
        {"Rows": 0, "SOPClassUID": MRImageStorage},
        {"SamplesPerPixel": 3},
    ],
)
def test_missing_and_impossible_attributes_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    assert refused([save(tmp_path / "a", **change)]).code is Code.HEADER


@pytest.mark.parametrize("text", [b"nan   ", b"9e9999", b"x1.000"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, text: bytes) -> None:
    file = save(tmp_path / "a", SliceThickness="7.7777")
    assert refused([edited(file, b"7.7777", text)]).code is Code.HEADER


def test_each_slice_has_its_own_rescaling(tmp_path: Path) -> None:
    files = [save(tmp_path / str(n), ImagePositionPatient=[0, 0, n], RescaleSlope=n + 0.5, RescaleIntercept=n) for n in (0, 1)]
    volume = read_image(files)
    assert volume.values.dtype == np.float32
    assert volume.values[3, 2].tolist() == [11 * 0.5, 11 * 1.5 + 1]


@pytest.mark.parametrize(
    ("stored", "change", "dtype", "expected"),
    [
        ("<i2", {"RescaleIntercept": -24}, np.int32, [-32792, 32743]),
        ("<u2", {"PixelRepresentation": 0, "RescaleIntercept": -1024}, np.int32, [-1024, 64511]),
        ("<u2", {"PixelRepresentation": 0}, np.uint16, [0, 65535]),
        ("<i2", {"RescaleSlope": 3}, np.int32, [-98304, 98301]),
        ("<u4", {"PixelRepresentation": 0, "BitsAllocated": 32, "BitsStored": 32}, np.int64, [0, 4294967295]),
    ],
)
def test_whole_values_keep_their_ends(
    tmp_path: Path, stored: str, change: dict[str, Any], dtype: type, expected: list[int]
) -> None:
    limits = np.iinfo(stored)
    pixels = np.array([limits.min, limits.max] * 6, stored)
    volume = read_image([save(tmp_path / "a", pixels, **change)])
    assert volume.values.dtype == dtype
    assert volume.values[:2, 0, 0].tolist() == expected


def test_twelve_bits_in_an_offset_of_1024_fit_int16(tmp_path: Path) -> None:
    change = {"BitsStored": 12, "PixelRepresentation": 0, "RescaleIntercept": -1024}
    volume = read_image([save(tmp_path / "a", np.array([0, 4095] * 6, "<u2"), **change)])
    assert volume.values.dtype == np.int16
    assert volume.values[:2, 0, 0].tolist() == [-1024, 3071]


def test_bits_above_the_stored_ones_are_not_part_of_the_value(tmp_path: Path) -> None:
    words = np.array([0xF005, 0x0FFB] * 6, "<u2")  # an overlay above 5; -5 in 12 bits of two's complement
    unsigned = read_image([save(tmp_path / "u", words, BitsStored=12, PixelRepresentation=0)])
    signed = read_image([save(tmp_path / "s", words, BitsStored=12, PixelRepresentation=1)])
    assert unsigned.values[:2, 0, 0].tolist() == [5, 4091]
    assert signed.values[:2, 0, 0].tolist() == [5, -5]


def test_a_high_bit_elsewhere_is_refused(tmp_path: Path) -> None:
    assert refused([save(tmp_path / "a", BitsStored=12, HighBit=15)]).code is Code.UNSUPPORTED


def test_padding_is_told_apart_before_rescaling(tmp_path: Path) -> None:
    pixels = np.array([-2000, 5] * 6, "<i2")
    volume = read_image([save(tmp_path / "a", pixels, PixelPaddingValue=-2000, RescaleIntercept=-1024)])
    assert volume.padding is not None
    assert volume.padding[:2, 0, 0].tolist() == [True, False]
    assert volume.values[1, 0, 0] == -1019


def test_a_padding_range_counts_from_either_end(tmp_path: Path) -> None:
    change = {"PixelRepresentation": 0, "PixelPaddingValue": 3, "PixelPaddingRangeLimit": 1}
    volume = read_image([save(tmp_path / "a", **change)])
    assert volume.padding is not None
    assert volume.padding[:, 0, 0].tolist() == [False, True, True, True]


def test_padding_above_the_stored_bits_is_found(tmp_path: Path) -> None:
    words = np.array([0xF830, 5] * 6, "<u2")
    change = {"BitsStored": 12, "PixelRepresentation": 0, "PixelPaddingValue": 0xF830}
    volume = read_image([save(tmp_path / "a", words, **change)])
    assert volume.padding is not None
    assert volume.padding[:2, 0, 0].tolist() == [True, False]


def test_padding_that_occurs_nowhere_is_none(tmp_path: Path) -> None:
    assert read_image([save(tmp_path / "a", PixelPaddingValue=-2000)]).padding is None


FILM = {
    "SOPClassUID": DigitalXRayImageStorageForPresentation,
    "Modality": "DX",
    "PhotometricInterpretation": "MONOCHROME1",
    "ImagePositionPatient": None,
    "ImageOrientationPatient": None,
    "BitsStored": 10,
    "PixelRepresentation": 0,
}


def test_dark_is_small_on_a_radiograph_and_untouched_in_ct(tmp_path: Path) -> None:
    film = read_image([save(tmp_path / "dx", PixelSpacing=None, ImagerPixelSpacing=[0.1, 0.2], **FILM)])
    assert film.values[:, 0, 0].tolist() == [1023, 1022, 1021, 1020]
    assert film.affine is None
    assert film.spacing_mm == (0.2, 0.1, 2.0)
    ct = read_image([save(tmp_path / "ct", PhotometricInterpretation="MONOCHROME1")])
    assert ct.values[:, 0, 0].tolist() == [0, 1, 2, 3]


def test_padding_of_an_inverted_image_is_compared_as_stored(tmp_path: Path) -> None:
    film = read_image([save(tmp_path / "dx", **(FILM | {"PixelPaddingValue": 1}))])
    assert film.padding is not None
    assert film.padding[:, 0, 0].tolist() == [False, True, False, False]


def test_two_views_of_one_series_are_two_images(tmp_path: Path) -> None:
    files = [save(tmp_path / "dx" / name, **FILM) for name in ("ap", "lat") if (tmp_path / "dx").mkdir(exist_ok=True) is None]
    assert len(read_series(tmp_path / "dx")) == 2
    assert refused(files).code is Code.MIXED_SERIES


def test_an_image_without_size_has_none(tmp_path: Path) -> None:
    assert read_image([save(tmp_path / "dx", **(FILM | {"PixelSpacing": None}))]).spacing_mm is None


SCREEN = {
    "SOPClassUID": SecondaryCaptureImageStorage,
    "Modality": "OT",
    "SamplesPerPixel": 3,
    "PhotometricInterpretation": "RGB",
    "BitsAllocated": 8,
    "BitsStored": 8,
    "PixelRepresentation": 0,
}


def test_colour_comes_channels_last_in_either_layout(tmp_path: Path) -> None:
    image = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    pixel_wise = read_image([save(tmp_path / "0", image, PlanarConfiguration=0, **SCREEN)])
    plane_wise = read_image([save(tmp_path / "1", np.moveaxis(image, 2, 0).copy(), PlanarConfiguration=1, **SCREEN)])
    assert pixel_wise.values.shape == (4, 3, 1, 3)
    assert pixel_wise.values[3, 2, 0].tolist() == [33, 34, 35]
    np.testing.assert_array_equal(pixel_wise.values, plane_wise.values)


def test_a_palette_is_looked_up_and_clamped_at_its_ends(tmp_path: Path) -> None:
    change = SCREEN | {"SamplesPerPixel": 1, "PhotometricInterpretation": "PALETTE COLOR"}
    tables = {}
    for number, name in enumerate(("Red", "Green", "Blue")):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [2, 1, 8]
        tables[f"{name}PaletteColorLookupTableData"] = bytes([10 * number, 10 * number + 1])
    volume = read_image([save(tmp_path / "a", np.arange(12, dtype=np.uint8), **change, **tables)])
    # By hand: indices 0 and 1 take the first entry, 2 and above the second.
    assert volume.values[:3, 0, 0].tolist() == [[0, 10, 20], [0, 10, 20], [1, 11, 21]]


def test_palettes_of_two_widths_share_no_volume(tmp_path: Path) -> None:
    change = SCREEN | {"SamplesPerPixel": 1, "PhotometricInterpretation": "PALETTE COLOR"}
    files = []
    for width in (1, 2):
        tables = {}
        for name in ("Red", "Green", "Blue"):
            tables[f"{name}PaletteColorLookupTableDescriptor"] = [2, 0, 8 * width]
            tables[f"{name}PaletteColorLookupTableData"] = bytes(2 * width)
        pixels = np.arange(12, dtype=np.uint8)
        files.append(save(tmp_path / str(width), pixels, ImagePositionPatient=[0, 0, width], **change, **tables))
    assert refused(files).code is Code.MIXED_SERIES


def test_big_endian_words_are_turned(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=">i2").reshape(3, 4)
    np.testing.assert_array_equal(read_image([save(tmp_path / "a", pixels, ExplicitVRBigEndian)]).values[:, :, 0].T, pixels)


def test_deflated_files_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save(tmp_path / "a", syntax=DeflatedExplicitVRLittleEndian)
    assert read_image([file]).values[3, 2, 0] == 11
    monkeypatch.setattr(dicom_file, "INFLATED_LIMIT_BYTES", 300)
    assert refused([file]).code is Code.TOO_LARGE


def test_rle_frames_are_read(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(save(tmp_path / "a", SeriesDescription="x"))
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(tmp_path / "b")
    np.testing.assert_array_equal(read_image([tmp_path / "b"]).values, read_image([tmp_path / "a"]).values)


def test_jpeg_2000_keeps_signs_and_the_order_of_colours(tmp_path: Path) -> None:
    import imagecodecs

    grey = np.linspace(-2000, 2000, 64 * 32).astype(np.int16).reshape(32, 64)
    frame = imagecodecs.jpeg2k_encode(grey.astype(np.uint16) ^ 0x8000, codecformat="J2K", reversible=True, level=0)
    file = save(tmp_path / "grey", encapsulated([frame]), JPEG2000Lossless, Rows=32, Columns=64, PixelRepresentation=0)
    np.testing.assert_array_equal(read_image([file]).values[:, :, 0].T, grey.astype(int) + 32768)
    colour = np.random.default_rng(0).integers(0, 255, (32, 64, 3)).astype(np.uint8)
    frame = imagecodecs.jpeg2k_encode(colour, codecformat="J2K", reversible=True, level=0, mct=True)
    change = SCREEN | {"PhotometricInterpretation": "YBR_RCT", "PlanarConfiguration": 0, "Rows": 32, "Columns": 64}
    file = save(tmp_path / "colour", encapsulated([frame]), JPEG2000Lossless, **change)
    np.testing.assert_array_equal(read_image([file]).values[:, :, 0].swapaxes(0, 1), colour)


def jpeg(colour: np.ndarray) -> bytes:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(colour).save(stream, "JPEG", quality=95, subsampling=0)
    return stream.getvalue()


def test_jpeg_colours_are_what_pillow_sees(tmp_path: Path) -> None:
    import io

    from PIL import Image

    colour = np.kron(np.random.default_rng(1).integers(0, 255, (4, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    change = SCREEN | {"PhotometricInterpretation": "YBR_FULL", "PlanarConfiguration": 0, "Rows": 32, "Columns": 64}
    volume = read_image([save(tmp_path / "a", encapsulated([jpeg(colour)]), JPEGBaseline8Bit, **change)])
    expected = np.asarray(Image.open(io.BytesIO(jpeg(colour))))
    assert np.abs(volume.values[:, :, 0].swapaxes(0, 1).astype(int) - expected).max() <= 2


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole").read_bytes()
    for length in range(1, len(whole), 7):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(Rejected):
            read_series(tmp_path / "cut")


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_every_cut_of_a_compressed_file_is_refused(tmp_path: Path, name: str) -> None:
    (bundled,) = get_testdata_files(name)
    whole = Path(bundled).read_bytes()
    end = whole.rindex(b"\xfe\xff\xdd\xe0") + 8
    for length in [*range(2000, end, 97), end - 1]:
        (tmp_path / "cut").write_bytes(whole[:length])
        assert refused([tmp_path / "cut"]).code in (Code.TRUNCATED, Code.NOT_AN_IMAGE)


def test_a_cut_names_its_code(tmp_path: Path) -> None:
    file = save(tmp_path / "a")
    whole = file.read_bytes()
    for missing in (1, 24, 40):
        file.write_bytes(whole[:-missing])
        assert refused([file]).code is Code.TRUNCATED
    file.write_bytes(b"")
    assert refused([file]).code is Code.EMPTY
    assert refused([tmp_path / "nowhere"]).code is Code.EMPTY


def test_a_compressed_frame_cut_within_whole_encapsulation_is_refused(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 255, (32, 64, 3)).astype(np.uint8)
    change = SCREEN | {"PhotometricInterpretation": "YBR_FULL", "PlanarConfiguration": 0, "Rows": 32, "Columns": 64}
    frame = jpeg(colour)[:-200]
    assert refused([save(tmp_path / "a", encapsulated([frame]), JPEGBaseline8Bit, **change)]).code is Code.TRUNCATED


@pytest.mark.parametrize("size", [{"Rows": 64, "Columns": 32}, {"Rows": 30, "Columns": 64}])
def test_a_compressed_frame_of_another_size_is_refused(tmp_path: Path, size: dict[str, int]) -> None:
    colour = np.zeros((32, 64, 3), np.uint8)
    change = SCREEN | {"PhotometricInterpretation": "YBR_FULL", "PlanarConfiguration": 0} | size
    assert refused([save(tmp_path / "a", encapsulated([jpeg(colour)]), JPEGBaseline8Bit, **change)]).code is Code.MALFORMED


def test_colours_in_another_space_than_stated_are_refused(tmp_path: Path) -> None:
    import imagecodecs

    colour = np.random.default_rng(0).integers(0, 255, (32, 64, 3)).astype(np.uint8)
    frame = imagecodecs.jpeg2k_encode(colour, codecformat="J2K", reversible=True, level=0, mct=False)
    change = SCREEN | {"PhotometricInterpretation": "YBR_RCT", "PlanarConfiguration": 0, "Rows": 32, "Columns": 64}
    assert refused([save(tmp_path / "a", encapsulated([frame]), JPEG2000Lossless, **change)]).code is Code.MALFORMED


def test_more_pixels_than_stated_are_refused(tmp_path: Path) -> None:
    assert refused([save(tmp_path / "a", np.zeros(24, "<i2"))]).code is Code.MALFORMED


def test_a_row_of_zeros_behind_the_pixels_shifts_none_of_them(tmp_path: Path) -> None:
    pixels = np.arange(1, 13, dtype="<i2").tobytes()
    volume = read_image([save(tmp_path / "a", pixels + bytes(8))])
    np.testing.assert_array_equal(volume.values[:, :, 0].T.ravel(), np.arange(1, 13))
    assert refused([save(tmp_path / "b", pixels + bytes(10))]).code is Code.MALFORMED
    assert refused([save(tmp_path / "c", pixels + b"\0\0\1\0")]).code is Code.MALFORMED


def save_phases(folder: Path, keyword: str, phases: list[str], heights: list[float]) -> Path:
    """Write every slice once for each phase, phase after phase, the values of each image 100 above those of the one before."""
    places = [(phase, height) for phase in phases for height in heights]
    for number, (file, (phase, _)) in enumerate(zip(save_stack(folder, [h for _, h in places]), places, strict=True)):
        dataset = pydicom.dcmread(file)
        setattr(dataset, keyword, phase)
        dataset.InstanceNumber = number
        dataset.save_as(file)
    return folder


@pytest.mark.parametrize(
    ("keyword", "phases"),
    [("AcquisitionNumber", ["9", "10"]), ("TriggerTime", ["90", "100"]), ("AcquisitionTime", ["093000", "100000"])],
)
def test_a_series_taken_again_and_again_is_a_volume_each_time(tmp_path: Path, keyword: str, phases: list[str]) -> None:
    folder = save_phases(tmp_path / "mr", keyword, phases, [0, 2, 4])
    first, second = read_series(folder)
    assert first.values[0, 0].tolist() == [0, 100, 200]
    assert second.values[0, 0].tolist() == [300, 400, 500]
    problem = refused(sorted(folder.iterdir()))
    assert problem.code is Code.MIXED_SERIES
    assert keyword in problem.found


@pytest.mark.parametrize(
    ("phases", "heights", "taken_out"),
    [
        (["1", "1"], [0, 2, 4], ()),  # nothing tells them apart
        (["1", "2"], [0, 2, 4], (5,)),  # the second one is not whole
        (["1", "2"], [0], ()),  # one place again and again is no volume
        (["1", "2"], [0, 2, 2, 4], ()),  # a slice stands twice in each
    ],
)
def test_repeated_places_that_do_not_make_whole_volumes_are_refused(
    tmp_path: Path, phases: list[str], heights: list[float], taken_out: tuple[int, ...]
) -> None:
    folder = save_phases(tmp_path / "mr", "AcquisitionNumber", phases, heights)
    for number in taken_out:
        (folder / f"{number:03d}").unlink()
    with pytest.raises(Rejected) as caught:
        read_series(folder)
    assert caught.value.code is Code.DUPLICATE


def test_huge_images_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    file = save(tmp_path / "a", encapsulated([b"\xff\xd8\xff\xd9"]), JPEGBaseline8Bit, Rows=65535, Columns=65535)
    assert refused([file]).code is Code.TOO_LARGE


def test_a_stack_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = save_stack(tmp_path / "ct", [0, 1, 2])
    monkeypatch.setattr("medmm.readers.dicom_geometry.VALUES_LIMIT", 30)
    assert refused(files).code is Code.TOO_LARGE


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}, Code.NOT_AN_IMAGE),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, Code.NOT_AN_IMAGE),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"}, Code.UNSUPPORTED),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, Code.UNSUPPORTED),
        ({"ModalityLUTSequence": []}, Code.HEADER),
        ({"PhotometricInterpretation": "HSV", "SamplesPerPixel": 3}, Code.UNSUPPORTED),
        ({"PhotometricInterpretation": "YBR_RCT", "SamplesPerPixel": 3}, Code.UNSUPPORTED),
        ({"BitsAllocated": 1, "BitsStored": 1}, Code.UNSUPPORTED),
        ({"SharedFunctionalGroupsSequence": []}, Code.UNSUPPORTED),
    ],
)
def test_objects_of_other_kinds_are_refused(tmp_path: Path, change: dict[str, Any], code: Code) -> None:
    assert refused([save(tmp_path / "a", **change)]).code is code


def test_a_mosaic_is_known_by_its_private_attribute_too(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(save(tmp_path / "a"))
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 36)
    dataset.save_as(tmp_path / "a")
    assert refused([tmp_path / "a"]).code is Code.UNSUPPORTED


@pytest.mark.parametrize("sop_class", [CTImageStorage, "1.2.840.10008.5.1.4.1.1.20"])
def test_frames_that_have_a_place_but_do_not_state_it_are_refused(tmp_path: Path, sop_class: str) -> None:
    change = {"SOPClassUID": sop_class, "NumberOfFrames": 2}
    assert refused([save(tmp_path / "a", np.zeros(24, "<i2"), **change)]).code is Code.UNSUPPORTED


def test_reports_beside_images_are_passed_over_but_broken_images_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    save_stack(folder, [0, 2])
    save(folder / "report", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    (folder / "readme.txt").write_text("notes")
    assert [volume.values.shape for volume in read_series(folder)] == [(4, 3, 2)]
    (folder / "slice.dcm").write_bytes(bytes(600))
    with pytest.raises(Rejected, match="E_EMPTY"):
        read_series(folder)


def test_a_bare_data_set_is_refused(tmp_path: Path) -> None:
    for name in ("rtstruct.dcm", "ExplVR_LitEndNoMeta.dcm", "ExplVR_BigEndNoMeta.dcm"):
        (bundled,) = get_testdata_files(name)
        (tmp_path / "bare").write_bytes(Path(bundled).read_bytes())
        assert refused([tmp_path / "bare"]).code is Code.MALFORMED


def test_an_unknown_compression_names_itself(tmp_path: Path) -> None:
    problem = refused([save(tmp_path / "a", encapsulated([b"\0\0"]), "1.2.840.10008.1.2.4.94")])
    assert problem.code is Code.NO_DECODER
    assert "JPIP" in problem.found


def test_a_missing_decoder_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_pixels, "PLUGIN", "absent")
    (bundled,) = get_testdata_files("MR_small_RLE.dcm")
    assert refused([Path(bundled)]).code is Code.NO_DECODER


def test_a_panic_of_a_decoder_is_a_refusal_and_an_interrupt_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def decoder_that_raises(error: BaseException) -> Any:
        class Decoder:
            def as_array(self, *args: Any, **options: Any) -> Any:
                raise error

        return lambda syntax, where: Decoder()

    (file,) = map(Path, get_testdata_files("MR_small_RLE.dcm"))
    monkeypatch.setattr(dicom_pixels, "decode_fast", lambda *_: None)
    monkeypatch.setattr(dicom_pixels, "_decoder", decoder_that_raises(PanicException()))
    assert refused([file]).code is Code.MALFORMED
    monkeypatch.setattr(dicom_pixels, "_decoder", decoder_that_raises(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        read_image([file])


def test_a_refusal_never_holds_a_path_or_a_patient(tmp_path: Path) -> None:
    folder = tmp_path / "DOE^JANE"
    folder.mkdir()
    file = save(folder / "DOE", PatientID="DOE", PatientName="DOE^JANE", SeriesDescription="DOE", RescaleSlope=None)
    assert "DOE" not in str(refused([file]))
    file.write_bytes(file.read_bytes()[:-1])
    assert "DOE" not in str(refused([file]))


def save_enhanced(path: Path, heights: list[float], echoes: list[float] | None = None) -> Path:
    """Write an enhanced MR object: shared orientation and spacing, a position, slope and echo time for each frame."""

    def item(sequence: str, **values: Any) -> Dataset:
        inner, outer = Dataset(), Dataset()
        for keyword, value in values.items():
            setattr(inner, keyword, value)
        setattr(outer, sequence, [inner])
        return outer

    shared = item("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.update(item("PixelMeasuresSequence", PixelSpacing=[0.5, 0.8], SliceThickness=2.0))
    frames = []
    for number, height in enumerate(heights):
        frame = item("PlanePositionSequence", ImagePositionPatient=[10, 20, height])
        frame.update(item("PixelValueTransformationSequence", RescaleSlope=number + 1, RescaleIntercept=0))
        frame.update(item("MREchoSequence", EffectiveEchoTime=echoes[number] if echoes else 10.0))
        frames.append(frame)
    pixels = np.stack([np.arange(12, dtype="<i2") + 100 * number for number in range(len(heights))]).astype("<i2")
    taken_out = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"))
    return save(
        path,
        pixels,
        **taken_out,
        RescaleIntercept=None,
        SOPClassUID=EnhancedMRImageStorage,
        Modality="MR",
        NumberOfFrames=len(heights),
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )


def test_the_frames_of_an_enhanced_object_are_sorted_and_rescaled_each(tmp_path: Path) -> None:
    volume = read_image([save_enhanced(tmp_path / "a", [34, 30, 32])])
    # By hand, the first pixel: frame 1 (100 x 2), frame 2 (200 x 3), frame 0 (0 x 1).
    assert volume.values[0, 0].tolist() == [200, 600, 0]
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine @ (3, 2, 1, 1), (-12.4, -21.0, 32.0, 1.0))


def test_echoes_of_an_enhanced_object_are_volumes_apart(tmp_path: Path) -> None:
    file = save_enhanced(tmp_path / "a", [30, 32, 30, 32], [10, 10, 20, 20])
    assert refused([file]).code is Code.MIXED_SERIES
    assert [volume.values[0, 0].tolist() for volume in read_series(file)] == [[0, 200], [600, 1200]]


def test_an_enhanced_object_with_a_gap_is_refused(tmp_path: Path) -> None:
    assert refused([save_enhanced(tmp_path / "a", [30, 32, 36])]).code is Code.GAP


def test_headers_tell_why_a_series_would_be_refused(tmp_path: Path) -> None:
    def problem(heights: list[float]) -> Rejected | None:
        files = save_stack(tmp_path / "ct", heights)
        return problem_of([instance_of(read_header(file, "a file")) for file in files])

    assert problem([0, 2, 4]) is None
    gap = problem([0, 2, 4, 8])
    assert gap is not None
    assert gap.code is Code.GAP


ALONE: list[dict[str, Any]] = [
    {"ImagePositionPatient": [10, 20, 99]},
    {"ImagePositionPatient": None, "SOPClassUID": MRImageStorage},
    {"ImagePositionPatient": [10, 20]},
    {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]},
    {"PixelSpacing": [0.5, 0.9]},
    {"SliceThickness": 3.0},
    {"RescaleSlope": 2},
    {"RescaleIntercept": -7},
    {"RescaleIntercept": None},
    {"PatientID": "p2"},
    {"SeriesInstanceUID": "1.2.3"},
    {"Modality": "MR"},
    {"AcquisitionTime": "120000", "TriggerTime": 7, "AcquisitionNumber": 2},
    {"EchoTime": 4.0},
    {"BitsStored": 12},
    {"PixelRepresentation": 0},
    {"PhotometricInterpretation": "MONOCHROME1"},
    {"PixelPaddingValue": -2000},
    {"Rows": 2},
    {"Rows": 4},
    {"pixels": np.zeros((4, 4), np.int16)},
    {"NumberOfFrames": 2},
    {"syntax": ImplicitVRLittleEndian},
    {"ModalityLUTSequence": [Dataset()]},
    {"SharedFunctionalGroupsSequence": [Dataset()]},
]
"""Each a difference of one file of a series from the others."""


@pytest.mark.parametrize("different", ALONE, ids="-".join)
def test_a_header_is_checked_the_same_after_its_like(tmp_path: Path, different: dict[str, Any]) -> None:
    def outcome(check: Callable[[Header], Instance], header: Header) -> Instance | Code:
        try:
            return check(header)
        except Rejected as reason:
            return reason.code

    changes: list[dict[str, Any]] = [{"ImagePositionPatient": [10, 20, height]} for height in range(5)]
    changes[2] |= different
    headers = [read_header(save(tmp_path / str(n), **change), f"file {n}") for n, change in enumerate(changes)]
    check = Instances()
    assert [outcome(check.instance, header) for header in headers] == [outcome(instance_of, header) for header in headers]


def judge_of_cases() -> Any:
    sys.path.insert(0, str(CASES))
    import judge

    return judge


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared reference cases are not beside this checkout")
def test_reference_cases_are_right_or_refused() -> None:
    judge = judge_of_cases()
    verdicts = {}
    cases = json.loads((CASES / "truth.json").read_text())["cases"]
    for case in cases:
        try:
            found = [(volume.values, volume.affine) for volume in read_series(CASES / case["case"] / "dicom")]
        except Rejected:
            verdicts[case["case"]] = "refused"
        else:
            verdicts[case["case"]] = judge.judge_case(case, judge.load_refs(CASES / case["case"]), found)["verdict"]
    wrong = {name: verdict for name, verdict in verdicts.items() if verdict not in ("right", "refused")}
    assert wrong == {}
    must_read = {case["case"] for case in cases if case["expect"] == "read"}
    may_read = {case["case"] for case in cases if case["expect"] == "either"}
    read = {name for name, verdict in verdicts.items() if verdict == "right"}
    assert must_read <= read
    assert may_read - read == READ_CASES_REFUSED


def bundled_images() -> list[Path]:
    return [path for path in map(Path, sorted(get_testdata_files())) if path.is_file()]


@pytest.mark.parametrize("file", bundled_images(), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_bundled_files_agree_with_pydicom_or_are_refused(file: Path) -> None:
    try:
        volumes = read_series(file)
    except Rejected:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(file)
        stored = dataset.pixel_array
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        expected = apply_color_lut(stored, dataset)[..., :3]
    elif dataset.PhotometricInterpretation == "MONOCHROME1":
        expected = (2**dataset.BitsStored - 1 - stored.astype(float)) * float(dataset.get("RescaleSlope", 1))
        expected += float(dataset.get("RescaleIntercept", 0))
    elif dataset.SamplesPerPixel == 1:
        expected = stored * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    else:
        expected = stored
    (volume,) = volumes
    frames = np.moveaxis(volume.values, (0, 1, 2), (2, 1, 0))  # (frame, row, column[, 3])
    expected = expected if volume.values.shape[2] > 1 else expected[None]
    np.testing.assert_allclose(frames, expected, rtol=1e-6, atol=1e-3)


def test_enough_bundled_files_are_read() -> None:
    def is_read(file: Path) -> bool:
        try:
            return bool(read_series(file))
        except Rejected:
            return False

    assert sum(map(is_read, bundled_images())) >= 70


def test_bytes_changed_at_random_end_in_a_volume_or_a_refusal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    refused_files = 0
    whole = [Path(path).read_bytes() for path in get_testdata_files("MR_small_*.dcm")]
    for _ in range(300):
        content = bytearray(whole[rng.integers(len(whole))])
        for place in rng.integers(0, 2500, 4):
            content[place] = rng.integers(256)
        (tmp_path / "changed").write_bytes(content)
        try:
            read_series(tmp_path / "changed")
        except Rejected:
            refused_files += 1
    assert 0 < refused_files < 300
