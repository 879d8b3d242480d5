from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from medmm.errors import Rejected
from medmm.readers.resample import prepare_image, prepared_affine
from medmm.readers.separable import axis_of, resample_across, resample_slices, weight_matrix
from medmm.types import Array, Volume

HALF = 2.0**-11
"""Rounding of float16 below 1."""

SIZES = [(20, 7), (7, 20), (16, 16), (31, 64), (64, 31), (1, 5), (5, 1), (512, 96)]


def volume(values: Array, affine: Array | None = None, spacing: Any = (1.0, 1.0, 1.0), padding: Array | None = None) -> Volume:
    return Volume(values, affine, spacing, "CT", padding)


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def whole_axis(before: int, after: int) -> Any:
    return axis_of(before, after, before / after, False)


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_an_axis_agrees_with_torch(before: int, after: int) -> None:
    image = noise(1, 5, before)
    expected = interpolate(torch.tensor(image)[None], size=(5, after), mode="bilinear", antialias=True)[0].numpy()
    np.testing.assert_allclose(resample_slices(image, whole_axis(5, 5), whole_axis(before, after)), expected, atol=1e-5)
    np.testing.assert_allclose(image @ weight_matrix(before, after, before / after).T, expected, atol=1e-5)


@pytest.mark.parametrize("rows", [30, 100])
@pytest.mark.parametrize("columns", [24, 90])
def test_slices_agree_with_torch_whichever_axis_goes_first(rows: int, columns: int) -> None:
    image = noise(3, 48, 60)
    expected = interpolate(torch.tensor(image)[None], size=(rows, columns), mode="bilinear", antialias=True)[0].numpy()
    np.testing.assert_allclose(resample_slices(image, whole_axis(48, rows), whole_axis(60, columns)), expected, atol=1e-5)


def test_three_axes_agree_with_torch_axis_by_axis() -> None:
    image = noise(20, 30, 40)  # (k, j, i)
    within = interpolate(torch.tensor(image)[None], size=(12, 50), mode="bilinear", antialias=True)[0]  # (k, 12, 50)
    across = interpolate(within.permute(1, 0, 2)[None], size=(9, 50), mode="bilinear", antialias=True)[0]  # (12, 9, 50)
    found = resample_across(resample_slices(image, whole_axis(30, 12), whole_axis(40, 50)), whole_axis(20, 9))
    np.testing.assert_allclose(found, across.permute(1, 0, 2).numpy(), atol=1e-5)


def test_weights_of_half_the_size_by_hand() -> None:
    # Centre 1 of four pixels, triangle 2 wide to each side: 1 - 0.5 / 2 twice, then 1 - 1.5 / 2; their sum is 1.75.
    np.testing.assert_allclose(weight_matrix(4, 2, 2.0)[0], np.array([0.75, 0.75, 0.25, 0]) / 1.75, rtol=1e-6)


def test_a_flat_image_is_rows_and_columns_as_displayed() -> None:
    values = np.arange(12, dtype=np.int16).reshape(3, 4).T[:, :, None]  # 3 rows, 4 columns
    found = prepare_image(volume(values), (3, 4), (0, 11), None)
    assert found.shape == (1, 3, 4)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found[0], np.arange(12).reshape(3, 4) / 11, atol=HALF)


def test_a_flat_image_agrees_with_torch() -> None:
    image = noise(60, 45)
    expected = interpolate(torch.tensor(image)[None, None], size=(20, 30), mode="bilinear", antialias=True)[0, 0].numpy()
    found = prepare_image(volume(image.T[:, :, None]), (20, 30), (0, 1), None)
    np.testing.assert_allclose(found[0], expected, atol=HALF)


ORIENTATIONS = ["RAS", "LPS", "PIR", "SAL", "IPL", "ASR"]


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_axes_come_out_as_nibabel_puts_them(axes: str) -> None:
    codes = nibabel.orientations.axcodes2ornt(tuple(axes))
    to_ras = nibabel.orientations.inv_ornt_aff(codes, (4, 5, 6))
    turn = np.eye(4)
    turn[:3, :3] = [[0.95, 0.2, 0.1], [-0.2, 0.96, 0.0], [-0.1, 0.0, 0.97]]
    affine = turn @ np.linalg.inv(to_ras)
    values = noise(4, 5, 6)
    image = nibabel.Nifti1Image(values, affine)
    expected = nibabel.as_closest_canonical(image)
    found = prepare_image(volume(values, affine), expected.shape, (0, 1), None)
    np.testing.assert_allclose(found[0], expected.get_fdata(), atol=HALF)
    np.testing.assert_allclose(prepared_affine(volume(values, affine), expected.shape, None), expected.affine, atol=1e-9)


def test_a_volume_without_affine_keeps_its_axes() -> None:
    values = noise(4, 5, 6)
    np.testing.assert_allclose(prepare_image(volume(values), (4, 5, 6), (0, 1), None)[0], values, atol=HALF)
    assert prepared_affine(volume(values), (4, 5, 6), None) is None


def test_the_affine_of_the_result_leads_to_the_same_places() -> None:
    # A ramp along each axis in millimetres: every voxel away from the border must hold its own place.
    affine = np.array([[0, 0, -2.0, 30], [-1.0, 0, 0, 40], [0, 1.5, 0, -20], [0, 0, 0, 1]])
    indices = np.stack(np.meshgrid(*map(np.arange, (40, 30, 24)), indexing="ij"), -1)
    places = indices @ affine[:3, :3].T + affine[:3, 3]
    spacing = (1.0, 1.5, 2.0)
    for size, target in [((12, 20, 15), None), ((10, 8, 12), (3.0, 3.0, 2.5))]:
        for world in range(3):
            source = volume(places[..., world].astype(np.float32), affine, spacing)
            found = prepare_image(source, size, (-100, 100), target)[0].astype(float) * 200 - 100
            result = prepared_affine(source, size, target)
            assert result is not None
            inner = np.stack(np.meshgrid(*(np.arange(3, n - 3) for n in size), indexing="ij"), -1)
            expected = inner @ result[:3, :3].T + result[:3, 3]
            np.testing.assert_allclose(found[3:-3, 3:-3, 3:-3], expected[..., world], atol=0.3)


def test_a_spacing_crops_about_the_centre_and_fills_with_zero() -> None:
    values = np.ones((4, 4, 4), np.float32)
    # At 0.5 mm the field of view is 8 pixels: of 6 all are inside, of 12 there are 2 outside at either end.
    assert prepare_image(volume(values), (6, 6, 6), (0, 1), (0.5, 0.5, 0.5)).min() == 1
    wide = prepare_image(volume(values), (12, 12, 12), (0, 1), (0.5, 0.5, 0.5))[0]
    assert wide.sum() == 8**3
    assert wide[2:10, 2:10, 2:10].min() == 1


def test_a_spacing_of_a_flat_image_is_rows_then_columns() -> None:
    values = np.ones((10, 20, 1), np.float32)  # 10 columns of 2 mm, 20 rows of 1 mm
    found = prepare_image(volume(values, spacing=(2.0, 1.0, 1.0)), (24, 24), (0, 1), (1.0, 1.0))[0]
    assert np.argwhere(found).min(0).tolist() == [2, 2]
    assert np.argwhere(found).max(0).tolist() == [21, 21]
    narrow = prepare_image(volume(values, spacing=(2.0, 1.0, 1.0)), (24, 24), (0, 1), (1.0, 2.0))[0]
    assert np.count_nonzero(narrow.any(0)) == 10


def test_a_spacing_needs_a_size() -> None:
    with pytest.raises(Rejected, match="E_HEADER"):
        prepare_image(volume(noise(4, 4, 1), spacing=None), (2, 2), None, (1.0, 1.0))


def test_several_slices_are_no_flat_image() -> None:
    with pytest.raises(Rejected, match="E_UNSUPPORTED"):
        prepare_image(volume(noise(4, 4, 2)), (2, 2), None, None)


def test_a_window_clips_before_anything_is_mixed() -> None:
    values = np.array([-5000, 40, 5000, 40], np.int16).reshape(4, 1, 1)
    # By hand: 0, 0.5, 1, 0.5 after clipping, under the weights (0.75, 0.75, 0.25, 0) / 1.75 and their mirror image.
    found = prepare_image(volume(values), (1, 2), (0, 80), None)[0, 0]
    np.testing.assert_allclose(found, (0.625 / 1.75, 1.25 / 1.75), atol=HALF)


def test_padding_is_the_low_end() -> None:
    values = np.full((2, 1, 1), 50, np.int16)
    padding = np.array([True, False]).reshape(2, 1, 1)
    found = prepare_image(volume(values, padding=padding), (1, 2), (0, 100), None)[0, 0]
    assert found.tolist() == [0, 0.5]


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.uint8, np.int32, np.float32])
def test_an_image_without_window_takes_its_own_percentiles(dtype: type) -> None:
    values = np.random.default_rng(0).integers(0, 250, (40, 30, 1)).astype(dtype)
    padding = np.zeros(values.shape, bool)
    padding[:10] = True
    values[:10] = 255
    low, high = np.percentile(values[~padding].astype(float), (0.5, 99.5))
    found = prepare_image(volume(values, padding=padding), (30, 40), None, None)[0]
    expected = np.where(padding, 0, np.clip((values.astype(float) - low) / (high - low), 0, 1))[:, :, 0].T
    np.testing.assert_allclose(found, expected, atol=HALF)


def test_an_even_image_becomes_zero() -> None:
    assert not prepare_image(volume(np.full((4, 4, 1), 7, np.int16)), (2, 2), None, None).any()


def test_an_image_that_is_all_padding_becomes_zero() -> None:
    values = np.full((4, 4, 1), 7, np.int16)
    assert not prepare_image(volume(values, padding=values == 7), (2, 2), None, None).any()


def test_colour_becomes_luminance_or_three_channels() -> None:
    colour = np.array([255, 0, 51], np.uint8).reshape(1, 1, 1, 3)
    assert prepare_image(volume(colour), (1, 1), None, None)[:, 0, 0] == pytest.approx(0.299 + 0.114 / 5, abs=HALF)
    assert prepare_image(volume(colour), (1, 1), None, None, channels=3)[:, 0, 0] == pytest.approx([1, 0, 0.2], abs=HALF)
    grey = np.full((1, 1, 1), 51, np.uint8)
    assert prepare_image(volume(grey), (1, 1), (0, 255), None, channels=3)[:, 0, 0] == pytest.approx([0.2] * 3, abs=HALF)


@pytest.mark.parametrize("window", [(-500.0, 700.3), None])
def test_neither_memory_layout_nor_type_change_a_bit(window: tuple[float, float] | None) -> None:
    affine = np.diag([-1.0, 2, -3, 1])
    values = np.random.default_rng(0).integers(-1000, 1000, (33, 29, 21)).astype(np.int16)
    first = prepare_image(volume(np.asfortranarray(values), affine), (16, 17, 18), window, None)
    for other in (np.ascontiguousarray(values), values.astype(np.float32), values[::-1][::-1]):
        assert prepare_image(volume(other, affine), (16, 17, 18), window, None).tobytes() == first.tobytes()


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("window", [(-100, 60), (0, 255), (-40000, 70000), (5, 5), (-500.5, 300), (300, 400), (-70000, -40000)])
def test_short_whole_numbers_are_windowed_as_the_same_floats_are(kind: str, window: tuple[float, float]) -> None:
    ends = np.iinfo(kind)
    values = np.random.default_rng(0).integers(ends.min, ends.max, (9, 8, 7), endpoint=True).astype(kind)
    size, (low, high) = (5, 6, 4), window
    found = prepare_image(volume(values), size, (low, high), None)
    np.testing.assert_array_equal(found, prepare_image(volume(values.astype(np.float32)), size, (low, high), None))
