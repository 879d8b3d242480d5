"""PET in SUV by body weight, worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from test_readers_dicom import save

from medmm.errors import Code, Rejected
from medmm.readers import read_image
from medmm.readers.reading import Reading

PET = "1.2.840.10008.5.1.4.1.1.128"
HALF_LIFE_S = 6586.2  # fluorine-18


def save_pet(path: Path, drug: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a PET slice: 70 kg, 350 MBq injected one half-life before the scan began."""
    item = Dataset()
    start = {"RadiopharmaceuticalStartDateTime": "20240501090000.00"}
    values = {"RadionuclideTotalDose": 350e6, "RadionuclideHalfLife": HALF_LIFE_S, **start, **(drug or {})}
    for keyword, value in values.items():
        if value is not None:
            setattr(item, keyword, value)
    header = {
        "SOPClassUID": PET,
        "Modality": "PT",
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["ATTN", "SCAT", "DECY"],
        "PatientWeight": 70,
        "SeriesDate": "20240501",
        "SeriesTime": "104946.2",  # 09:00:00 and 6586.2 s
        "AcquisitionDate": "20240501",
        "AcquisitionTime": "105000",
        "RadiopharmaceuticalInformationSequence": [item],
        "RescaleSlope": 2.0,
    }
    return save(path, **header | changes)


def suv(path: Path) -> np.ndarray:
    return np.asarray(read_image([path], Reading(pet="suv")).values[:, :, 0].T.ravel())


def test_an_activity_becomes_suv_after_one_half_life(tmp_path: Path) -> None:
    # By hand: 175 MBq are left for 70,000 g, 2500 Bq a gram; stored 5 means 10 Bq/ml.
    np.testing.assert_allclose(suv(save_pet(tmp_path / "a"))[5], 10 / 2500, rtol=1e-6)


def test_without_asking_values_stay_as_stored(tmp_path: Path) -> None:
    assert read_image([save_pet(tmp_path / "a")]).values[1, 1, 0] == 10


def test_what_was_corrected_to_the_injection_has_not_decayed(tmp_path: Path) -> None:
    np.testing.assert_allclose(suv(save_pet(tmp_path / "a", DecayCorrection="ADMIN"))[5], 10 / 5000, rtol=1e-6)


def test_a_start_time_without_a_date_is_of_the_day_of_the_scan_or_the_day_before(tmp_path: Path) -> None:
    drug = {"RadiopharmaceuticalStartDateTime": None, "RadiopharmaceuticalStartTime": "090000"}
    np.testing.assert_allclose(suv(save_pet(tmp_path / "a", drug))[5], 10 / 2500, rtol=1e-6)
    night = {"SeriesTime": "004946.2", "AcquisitionTime": "005000"}
    drug["RadiopharmaceuticalStartTime"] = "230000"
    np.testing.assert_allclose(suv(save_pet(tmp_path / "b", drug, **night))[5], 10 / 2500, rtol=1e-6)


def test_grams_per_millilitre_are_suv_already(tmp_path: Path) -> None:
    assert suv(save_pet(tmp_path / "a", Units="GML", SUVType="BW"))[5] == 10


def test_counts_need_the_factor_of_the_vendor(tmp_path: Path) -> None:
    file = save_pet(tmp_path / "a", Units="CNTS")
    with pytest.raises(Rejected) as caught:
        read_image([file], Reading(pet="suv"))
    assert caught.value.code is Code.UNIT
    dataset = pydicom.dcmread(file)
    dataset.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.25")
    dataset.save_as(file)
    assert suv(file)[5] == 2.5


@pytest.mark.parametrize(
    ("drug", "change", "code"),
    [
        ({}, {"Units": "PROPCNTS"}, Code.UNIT),
        ({}, {"Units": "GML", "SUVType": "LBM"}, Code.UNIT),
        ({}, {"CorrectedImage": ["DECY"]}, Code.HEADER),
        ({}, {"CorrectedImage": ["ATTN"]}, Code.HEADER),
        ({}, {"DecayCorrection": "NONE"}, Code.HEADER),
        ({}, {"PatientWeight": None}, Code.HEADER),
        ({}, {"PatientWeight": 0}, Code.HEADER),
        ({}, {"PatientWeight": 70000}, Code.HEADER),  # grams
        ({}, {"SeriesTime": None}, Code.HEADER),
        ({}, {"SeriesTime": "113000"}, Code.HEADER),  # after the acquisition
        ({}, {"RadiopharmaceuticalInformationSequence": None}, Code.HEADER),
        ({"RadionuclideTotalDose": None}, {}, Code.HEADER),
        ({"RadionuclideTotalDose": -1}, {}, Code.HEADER),
        ({"RadionuclideHalfLife": 0}, {}, Code.HEADER),
        ({"RadiopharmaceuticalStartDateTime": None}, {}, Code.HEADER),
        ({"RadiopharmaceuticalStartDateTime": "20240401090000"}, {}, Code.HEADER),  # a month before
        ({"RadiopharmaceuticalStartDateTime": "20240501110000"}, {}, Code.HEADER),  # after the scan
    ],
)
def test_what_cannot_be_trusted_is_refused(tmp_path: Path, drug: dict[str, Any], change: dict[str, Any], code: Code) -> None:
    file = save_pet(tmp_path / "a", drug, **change)
    with pytest.raises(Rejected) as caught:
        read_image([file], Reading(pet="suv"))
    assert caught.value.code is code
    assert read_image([file]).modality == "PT"  # without SUV it can be read


def test_other_modalities_keep_their_unit(tmp_path: Path) -> None:
    assert read_image([save(tmp_path / "a")], Reading(pet="suv")).values[1, 1, 0] == 5
