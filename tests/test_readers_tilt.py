"""Slices of a tilted gantry, put straight: every pixel stays at its place in the patient."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_readers_dicom import CASES, judge_of_cases, refused, save

from medmm.errors import Code
from medmm.readers import read_image, read_series
from medmm.readers.dicom_tilt import straighten
from medmm.readers.reading import Reading


def save_tilted(folder: Path, step_mm: tuple[float, float]) -> Path:
    """Write three slices 2 mm apart, pixels of 0.5 x 0.8 mm, each shifted against the one before by (x, y) mm."""
    folder.mkdir()
    for number in range(3):
        pixels = np.arange(1, 13, dtype="<i2").reshape(3, 4) + np.int16(100 * number)
        position = [10 + step_mm[0] * number, 20 + step_mm[1] * number, 30 + 2 * number]
        save(folder / str(number), pixels, ImagePositionPatient=position)
    return folder


@pytest.mark.parametrize(("step_mm", "pixels"), [((0, 0.5), (0, 1)), ((0, -1.0), (0, -2)), ((0.8, 0.5), (1, 1))])
def test_whole_shifts_move_every_pixel_to_its_place(
    tmp_path: Path, step_mm: tuple[float, float], pixels: tuple[int, int]
) -> None:
    folder = save_tilted(tmp_path / "ct", step_mm)
    assert refused(sorted(folder.iterdir())).code is Code.TILT
    (volume,) = read_series(folder, Reading(tilt="resample"))
    assert volume.affine is not None
    assert volume.padding is not None
    assert volume.values.shape == (4 + 2 * abs(pixels[0]), 3 + 2 * abs(pixels[1]), 3)
    for number in range(3):
        for value, (row, column) in ((1, (0, 0)), (12, (2, 3))):
            (place,) = np.argwhere((volume.values == value + 100 * number) & ~volume.padding)
            x, y, z = 10 + step_mm[0] * number + 0.8 * column, 20 + step_mm[1] * number + 0.5 * row, 30 + 2 * number
            np.testing.assert_allclose(volume.affine @ (*place, 1), (-x, -y, z, 1), atol=1e-9)
    assert (~volume.padding).sum() == 36
    assert (volume.values[volume.padding] == 1).all()


def test_a_shift_of_half_a_pixel_is_interpolated_and_its_ends_are_padding(tmp_path: Path) -> None:
    volume = read_image(sorted(save_tilted(tmp_path / "ct", (0.4, 0)).iterdir()), Reading(tilt="resample"))
    assert volume.padding is not None
    assert volume.values[:, 0, 0].tolist() == [1, 2, 3, 4, 1]
    assert volume.values[1:4, 0, 1].tolist() == [101.5, 102.5, 103.5]
    assert volume.padding[:, 0, 1].tolist() == [True, False, False, False, True]


def test_padding_does_not_leak_into_its_neighbours() -> None:
    values = np.array([-2000.0, 10, 20, 30]).reshape(4, 1, 1)
    values = np.concatenate([values, values], axis=2)
    padding = values == -2000
    straight, missing, _ = straighten(values, padding, np.array([[0, 0], [0.5, 0]]))
    assert missing is not None
    assert straight[:, 0, 1].tolist() == [-2000, -2000, 15, 25, -2000]
    assert missing[:, 0, 1].tolist() == [True, True, False, False, True]


def test_straight_slices_are_left_alone(tmp_path: Path) -> None:
    folder = save_tilted(tmp_path / "ct", (0, 0))
    assert np.array_equal(read_series(folder, Reading(tilt="resample"))[0].values, read_series(folder)[0].values)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared reference cases are not beside this checkout")
def test_the_tilted_reference_case_keeps_its_world() -> None:
    judge, name = judge_of_cases(), "ct_siemens_tilt4"
    (case,) = (case for case in json.loads((CASES / "truth.json").read_text())["cases"] if case["case"] == name)
    found = [(volume.values, volume.affine) for volume in read_series(CASES / name / "dicom", Reading(tilt="resample"))]
    assert judge.judge_case(case, judge.load_refs(CASES / name), found)["verdict"] == "resampled"
