"""Values as a screen shows them, by hand and against pydicom."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from test_readers_dicom import save, save_enhanced

from medmm.errors import Code, Rejected
from medmm.readers import read_image
from medmm.readers.reading import Reading

SHOWN = Reading(values="presentation")
RADIOGRAPH = {"Modality": "CR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "PixelRepresentation": 0}


def shown(path: Path) -> np.ndarray:
    """Give the 12 pixels of a written image in their order."""
    values = read_image([path], SHOWN).values
    assert values.dtype == np.float32
    return np.asarray(values[:, :, 0].T.ravel())


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # Centre 5, width 4. By hand, for 3, 4, 5, 6, 7: (x - 4.5) / 3 + 0.5; (x - 5) / 4 + 0.5; 1 / (1 + exp(5 - x)).
        ("LINEAR", [0, 1 / 3, 2 / 3, 1, 1]),
        ("LINEAR_EXACT", [0, 0.25, 0.5, 0.75, 1]),
        ("SIGMOID", [0.119203, 0.268941, 0.5, 0.731059, 0.880797]),
    ],
)
def test_a_window_is_applied_as_the_standard_writes_it(tmp_path: Path, function: str, expected: list[float]) -> None:
    file = save(tmp_path / "a", WindowCenter=5, WindowWidth=4, VOILUTFunction=function)
    np.testing.assert_allclose(shown(file)[3:8], expected, atol=1e-6)


def test_the_first_of_several_windows_is_taken(tmp_path: Path) -> None:
    file = save(tmp_path / "a", WindowCenter=[5, 100], WindowWidth=[4, 900])
    np.testing.assert_allclose(shown(file)[4], 1 / 3, atol=1e-6)


def test_a_window_of_one_is_a_step(tmp_path: Path) -> None:
    assert shown(save(tmp_path / "a", WindowCenter=5, WindowWidth=1))[3:7].tolist() == [0, 0, 1, 1]


def test_the_window_counts_in_real_units(tmp_path: Path) -> None:
    file = save(tmp_path / "a", RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=-989.5, WindowWidth=5)
    dataset = pydicom.dcmread(file)
    expected = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    expected = (expected - expected.min()) / np.ptp(expected)  # pydicom's range of output depends on the header
    np.testing.assert_allclose(shown(file), expected.ravel(), atol=1e-6)


def test_a_table_stands_before_a_window(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [3, 4, 10])
    item.add_new("LUTData", "OW", np.array([0, 511, 1023], "<u2").tobytes())
    file = save(tmp_path / "a", VOILUTSequence=[item], WindowCenter=5, WindowWidth=4, **RADIOGRAPH)
    np.testing.assert_allclose(shown(file)[3:8], [0, 0, 511 / 1023, 1, 1], atol=1e-6)


def test_small_values_of_monochrome1_are_bright(tmp_path: Path) -> None:
    change: dict[str, Any] = {"WindowCenter": 5, "WindowWidth": 4, "VOILUTFunction": "LINEAR_EXACT", **RADIOGRAPH}
    plain = shown(save(tmp_path / "a", **change))
    inverted = shown(save(tmp_path / "b", PhotometricInterpretation="MONOCHROME1", **change))
    np.testing.assert_allclose(inverted, 1 - plain, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"WindowCenter": 5},
        {"WindowCenter": 5, "WindowWidth": 0},
        {"WindowCenter": 5, "WindowWidth": 0.5},
        {"WindowCenter": 5, "WindowWidth": 4, "VOILUTFunction": "CUBIC"},
    ],
)
def test_a_header_that_shows_nothing_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    file = save(tmp_path / "a", **change)
    with pytest.raises(Rejected) as caught:
        read_image([file], SHOWN)
    assert caught.value.code is Code.HEADER
    assert read_image([file]).values[1, 1, 0] == 5  # real values need no window


def test_each_frame_of_an_enhanced_object_is_shown_through_its_own_window(tmp_path: Path) -> None:
    file = save_enhanced(tmp_path / "a", [30, 32])
    with pytest.raises(Rejected, match="E_HEADER"):
        read_image([file], SHOWN)
    dataset = pydicom.dcmread(file)
    for group, centre in zip(dataset.PerFrameFunctionalGroupsSequence, (5, 210), strict=True):
        group.FrameVOILUTSequence = [Dataset()]
        group.FrameVOILUTSequence[0].WindowCenter, group.FrameVOILUTSequence[0].WindowWidth = centre, 40
        group.FrameVOILUTSequence[0].VOILUTFunction = "LINEAR_EXACT"
    dataset.save_as(file)
    # By hand, the first pixel: 0 around 5; (100 x 2) around 210.
    np.testing.assert_allclose(read_image([file], SHOWN).values[0, 0], [-5 / 40 + 0.5, -10 / 40 + 0.5], atol=1e-6)
