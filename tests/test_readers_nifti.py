import gzip
import io
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medmm.errors import Code, Rejected
from medmm.readers import nifti, read_image, read_series

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 3.0, 0, 20], [0, 0, 4.0, 30], [0, 0, 0, 1]])
VALUES = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def save(path: Path, values: np.ndarray = VALUES, affine: np.ndarray | None = AFFINE, kind: Any = nibabel.Nifti1Image) -> Path:
    image = kind(values, affine)
    if affine is not None:
        image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def edited(file: Path, place: int, layout: str, *values: float) -> Path:
    content = bytearray(file.read_bytes())
    struct.pack_into(layout, content, place, *values)
    file.write_bytes(content)
    return file


def refused(file: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_image([file])
    return caught.value


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_values_and_places_are_as_written(tmp_path: Path, name: str, kind: Any) -> None:
    volume = read_image([save(tmp_path / name, kind=kind)])
    np.testing.assert_array_equal(volume.values, VALUES)
    assert volume.values.dtype == np.int16
    np.testing.assert_allclose(volume.affine, AFFINE)
    assert volume.spacing_mm == (2, 3, 4)
    assert volume.padding is None


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz").rename(tmp_path / "a.dcm")
    assert read_series(tmp_path / "a.dcm")[0].values.shape == (2, 3, 4)


def test_scaled_values_are_float32(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), AFFINE)
    image.header.set_data_dtype(np.int16)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii")
    file = edited(tmp_path / "a.nii", 112, "<2f", 0.5, 10)  # scl_slope, scl_inter
    file = edited(file, 352, "<h", 3)
    volume = read_image([file])
    assert volume.values.dtype == np.float32
    assert volume.values[0, 0, 0] == 11.5


def test_big_endian_is_turned(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES, AFFINE, nibabel.Nifti1Header(endianness=">"))
    (tmp_path / "a.nii").write_bytes(image.to_bytes())
    volume = read_image([tmp_path / "a.nii"])
    np.testing.assert_array_equal(volume.values, VALUES)
    assert volume.values.dtype.isnative


def test_what_is_no_number_is_padding(tmp_path: Path) -> None:
    values = VALUES.astype(np.float32)
    values[1, 2, 3] = np.nan
    values[0, 0, 0] = np.inf
    volume = read_image([save(tmp_path / "a.nii", values)])
    assert volume.padding is not None
    assert np.argwhere(volume.padding).tolist() == [[0, 0, 0], [1, 2, 3]]
    assert volume.values[1, 2, 3] == 0


def test_a_trailing_axis_of_one_is_dropped_and_a_missing_one_added(tmp_path: Path) -> None:
    assert read_image([save(tmp_path / "a.nii", VALUES[..., None])]).values.shape == (2, 3, 4)
    assert read_image([save(tmp_path / "b.nii", VALUES[:, :, 0])]).values.shape == (2, 3, 1)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.zeros((2, 3, 4, 5), np.int16), Code.UNSUPPORTED),
        (np.zeros((2, 3, 4), np.complex64), Code.UNSUPPORTED),
        (np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]), Code.UNSUPPORTED),
    ],
)
def test_other_kinds_of_values_are_refused(tmp_path: Path, values: np.ndarray, code: Code) -> None:
    assert refused(save(tmp_path / "a.nii", values)).code is code


@pytest.mark.parametrize(
    "affine",
    [
        None,
        np.diag([2, 3, 0, 1.0]),
        np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        np.diag([1e-5, 1, 1, 1.0]),
        np.diag([500.0, 1, 1, 1.0]),
    ],
)
def test_unusable_affines_are_refused(tmp_path: Path, affine: np.ndarray | None) -> None:
    file = save(tmp_path / "a.nii")
    if affine is None:
        edited(file, 252, "<2h", 0, 0)  # qform_code, sform_code
    else:
        edited(file, 280, "<12f", *affine[:3].ravel())  # srow_x, srow_y, srow_z
    assert refused(file).code is Code.HEADER


def test_an_affine_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    assert refused(edited(save(tmp_path / "a.nii"), 280, "<f", np.nan)).code is Code.HEADER


def test_units_other_than_millimetres_are_refused(tmp_path: Path) -> None:
    assert refused(edited(save(tmp_path / "a.nii"), 123, "<b", 3)).code is Code.HEADER  # microns


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_every_cut_is_refused(tmp_path: Path, name: str) -> None:
    whole = save(tmp_path / name).read_bytes()
    for length in range(1, len(whole)):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(Rejected):
            read_image([tmp_path / name])
    assert refused(tmp_path / name).code is Code.TRUNCATED


def test_gzip_never_inflates_beyond_the_header(tmp_path: Path) -> None:
    content = save(tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content + bytes(10 << 20)))
    assert refused(tmp_path / "a.nii.gz").code is Code.TOO_LARGE


def test_a_header_beyond_the_limit_is_refused_before_inflating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save(tmp_path / "a.nii")
    edited(file, 40, "<8h", 3, 32000, 32000, 32000, 1, 1, 1, 1)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(file.read_bytes()))
    monkeypatch.setattr(nifti, "_inflate_whole", lambda *args: pytest.fail("inflated"))
    assert refused(tmp_path / "a.nii.gz").code is Code.TOO_LARGE


def test_a_broken_check_sum_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=0) as packed:
        packed.write(save(tmp_path / "a.nii").read_bytes())
    content = bytearray(stream.getvalue())
    content[-12] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(content)
    assert refused(tmp_path / "a.nii.gz").code is Code.MALFORMED


@pytest.mark.parametrize("shape", [(0, 1, 1, 1), (3, 0, 3, 4), (9, 1, 1, 1)])
def test_impossible_dimensions_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert refused(edited(save(tmp_path / "a.nii"), 40, "<4h", *shape)).code is Code.MALFORMED


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    assert refused(edited(save(tmp_path / "a.nii"), 70, "<h", 9999)).code is Code.MALFORMED


def test_pairs_of_files_are_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(VALUES, AFFINE), tmp_path / "a.hdr")
    assert refused(tmp_path / "a.hdr").code is Code.UNSUPPORTED


def test_bytes_changed_at_random_end_in_a_volume_or_a_refusal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    refused_files = 0
    whole = [save(tmp_path / name).read_bytes() for name in ("a.nii", "a.nii.gz")]
    for _ in range(500):
        content = bytearray(whole[rng.integers(2)])
        for place in rng.integers(0, min(len(content), 352), 3):
            content[place] = rng.integers(256)
        (tmp_path / "changed").write_bytes(content)
        try:
            read_image([tmp_path / "changed"])
        except Rejected:
            refused_files += 1
    assert 0 < refused_files < 500
