import gzip
import io
import pickle
import shutil
import struct
import tracemalloc
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
        (np.zeros((2, 3, 4, 5, 2), np.int16), Code.UNSUPPORTED),
        (np.zeros((2, 3, 4, 1, 2), np.int16), Code.UNSUPPORTED),
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


def turned(degrees: float, spacing: tuple[float, float, float] = (2.0, 3.0, 4.0)) -> np.ndarray:
    """Give an affine turned about the body's axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * spacing
    affine[:3, 3] = 10, 20, 30
    return affine


def with_forms(path: Path, sform: np.ndarray, qform: np.ndarray, codes: tuple[int, int]) -> Path:
    """Write sform and qform, whose codes are given in this order."""
    image = nibabel.Nifti1Image(np.zeros((200, 200, 4), np.int16), None)
    image.header.set_xyzt_units("mm")
    image.set_qform(qform, codes[1])
    image.set_sform(sform, codes[0])
    nibabel.save(image, path)
    return path


def test_four_axes_are_volumes_apart_in_their_order(tmp_path: Path) -> None:
    values = np.stack([VALUES, VALUES + 100, -VALUES], axis=-1)
    file = save(tmp_path / "a.nii.gz", values)
    volumes = read_series(file)
    assert [volume.values.shape for volume in volumes] == [(2, 3, 4)] * 3
    for number, volume in enumerate(volumes):
        np.testing.assert_array_equal(volume.values, values[..., number])
        np.testing.assert_allclose(volume.affine, AFFINE)
    assert refused(file).code is Code.MIXED_SERIES


def test_padding_of_four_axes_is_each_volumes_own(tmp_path: Path) -> None:
    values = np.stack([VALUES, VALUES], axis=-1).astype(np.float32)
    values[0, 0, 0, 1] = np.nan
    first, second = read_series(save(tmp_path / "a.nii", values))
    assert first.padding is None
    assert second.padding is not None
    assert np.argwhere(second.padding).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(("shear", "code"), [(0.0005, None), (0.005, Code.TILT), (1.0, Code.TILT)])
def test_a_sheared_affine_is_refused(tmp_path: Path, shear: float, code: Code | None) -> None:
    affine = AFFINE.copy()
    affine[1, 0] = shear * 2
    affine[0, 0] = -np.sqrt(4 - affine[1, 0] ** 2) if shear < 1 else -2
    file = edited(save(tmp_path / "a.nii"), 280, "<12f", *affine[:3].ravel())
    edited(file, 252, "<h", 0)  # qform_code
    edited(file, 80, "<f", float(np.linalg.norm(affine[:3, 0])))  # pixdim[1]
    if code is None:
        np.testing.assert_allclose(read_image([file]).affine, affine, atol=1e-6)
    else:
        assert refused(file).code is code


def test_an_sform_of_another_size_than_the_voxels_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "a.nii")
    edited(file, 252, "<h", 0)
    assert read_image([file]).spacing_mm == (2, 3, 4)
    assert refused(edited(file, 84, "<f", 3.1)).code is Code.HEADER  # pixdim[2]


@pytest.mark.parametrize("codes", [(1, 1), (2, 2), (4, 4)])
def test_two_forms_of_one_space_must_lead_to_one_place(tmp_path: Path, codes: tuple[int, int]) -> None:
    # 0.01 degrees move the far corner, some 700 mm away, by 0.13 mm; 0.5 degrees move it by 6 mm, three voxels.
    assert read_image([with_forms(tmp_path / "a.nii", turned(30), turned(30.01), codes)]).affine is not None
    assert refused(with_forms(tmp_path / "b.nii", turned(30), turned(30.5), codes)).code is Code.HEADER
    moved = turned(30) + np.array([[0, 0, 0, 2]] + [[0] * 4] * 3)
    assert refused(with_forms(tmp_path / "c.nii", moved, turned(30), codes)).code is Code.HEADER


def test_of_two_spaces_the_sform_is_taken(tmp_path: Path) -> None:
    volume = read_image([with_forms(tmp_path / "a.nii", turned(20), turned(0), (4, 1))])
    np.testing.assert_allclose(volume.affine, turned(20), atol=1e-5)


@pytest.mark.parametrize("codes", [(1, 1), (4, 1)])
@pytest.mark.parametrize("mirror", [np.diag([-1.0, 1, 1, 1]), np.diag([-1.0, -1, 1, 1])])
def test_forms_that_disagree_on_a_side_are_refused(tmp_path: Path, mirror: np.ndarray, codes: tuple[int, int]) -> None:
    assert refused(with_forms(tmp_path / "a.nii", mirror @ turned(0), turned(0), codes)).code is Code.HEADER


def test_a_half_turn_whose_quaternion_is_inexact_is_read(tmp_path: Path) -> None:
    for degrees in (180, 179.99, 180.01):
        volume = read_image([with_forms(tmp_path / "a.nii", turned(degrees), turned(degrees), (1, 1))])
        np.testing.assert_allclose(volume.affine, turned(degrees), atol=1e-5)


def test_the_qform_alone_places_an_image_and_a_factor_of_zero_is_one(tmp_path: Path) -> None:
    file = with_forms(tmp_path / "a.nii", turned(0), turned(20), (0, 1))
    np.testing.assert_allclose(read_image([file]).affine, turned(20), atol=1e-5)
    edited(file, 76, "<f", 0)  # pixdim[0]
    np.testing.assert_allclose(read_image([file]).affine, turned(20), atol=1e-5)
    assert refused(edited(file, 76, "<f", 0.5)).code is Code.HEADER
    edited(file, 76, "<f", 1)
    assert refused(edited(file, 80, "<f", -2)).code is Code.HEADER  # pixdim[1]


@pytest.mark.parametrize("scaling", [(1, np.nan), (2, np.inf), (np.inf, 0), (-np.inf, 1)])
def test_a_scaling_that_is_no_number_is_refused(tmp_path: Path, scaling: tuple[float, float]) -> None:
    assert refused(edited(save(tmp_path / "a.nii"), 112, "<2f", *scaling)).code is Code.HEADER


def test_a_signalling_number_in_the_affine_is_refused_without_a_warning(tmp_path: Path) -> None:
    assert refused(edited(save(tmp_path / "a.nii"), 280, "<I", 0x7FA00000)).code is Code.HEADER


def test_numbers_too_great_for_the_affine_are_refused_without_a_warning(tmp_path: Path) -> None:
    assert refused(edited(save(tmp_path / "a.nii", kind=nibabel.Nifti2Image), 400, "<d", 1e200)).code is Code.HEADER


def test_a_bomb_takes_no_more_memory_than_its_header_states(tmp_path: Path) -> None:
    content = save(tmp_path / "a.nii").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content + bytes(400 << 20)))
    assert (tmp_path / "a.nii.gz").stat().st_size < 500_000
    tracemalloc.start()
    assert refused(tmp_path / "a.nii.gz").code is Code.TOO_LARGE
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_promise_of_a_gigabyte_takes_no_memory(tmp_path: Path, name: str) -> None:
    content = edited(save(tmp_path / "a.nii"), 40, "<4h", 3, 1000, 1000, 500).read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    tracemalloc.start()
    assert refused(tmp_path / name).code is Code.TRUNCATED
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_what_follows_the_content_is_not_read(tmp_path: Path, name: str) -> None:
    file = save(tmp_path / name)
    with file.open("ab") as opened:
        opened.truncate(1 << 30)
    tracemalloc.start()
    if name.endswith("gz"):
        assert refused(file).code is Code.TOO_LARGE
    else:
        np.testing.assert_array_equal(read_image([file]).values, VALUES)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_texts_and_extensions_are_never_carried_on(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    image.header.set_xyzt_units("mm")
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = b"DOE^JANE"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    nibabel.save(image, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes().count(b"DOE^JANE") == 5
    (volume,) = read_series(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.values, VALUES)
    assert b"DOE" not in pickle.dumps(volume)
    for place in (40, 70, 108, 252, 280):
        broken = edited(save_copy(tmp_path), place, "<2h", -1, -1)
        assert "DOE" not in str(refused(broken))


def save_copy(folder: Path) -> Path:
    return Path(shutil.copy(folder / "a.nii", folder / "b.nii"))
