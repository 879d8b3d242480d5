"""Which series of a study is taken, which are left, and why; never silently the next best."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from test_readers_dicom import FILM, edited, save, save_enhanced, save_stack

from medmm.cohort.scan import scan
from medmm.cohort.shown import shown_modality, shown_syntax, shown_vendor
from medmm.errors import Code
from medmm.inputs.image import ImageSettings
from medmm.inputs.series_choice import SeriesChoice, choose

SAGITTAL = [0, 1, 0, 0, 0, -1]
CORONAL = [1, 0, 0, 0, 0, -1]
OBLIQUE = [1, 0, 0, 0, 0.8, 0.6]  # normal (0, -0.6, 0.8): nearest to the body's axis
STEEP = [1, 0, 0, 0, 0.6, 0.8]  # normal (0, -0.8, 0.6): nearest to the front


def stack(folder: Path, number: int, slices: int = 3, **changes: Any) -> list[Path]:
    """Write a CT series of a study, called by its number."""
    told = {"SeriesInstanceUID": generate_uid(), "SeriesNumber": number, **changes}
    if "ImageOrientationPatient" not in changes:
        return save_stack(folder / str(number), [2.0 * height for height in range(slices)], **told)
    (folder / str(number)).mkdir()
    return [save(folder / str(number) / "0", **told)]


def weighed(folder: Path, modality: tuple[str, ...] = (), flat: bool = False, **rules: Any) -> dict[str, str]:
    """Give the number of each series and why it was left; "" for the one taken."""
    considered = choose(scan(folder).series, SeriesChoice.model_validate(rules), modality, flat)
    assert sum(one.reason is None for one in considered) <= 1
    return {one.series.series_number: "" if one.reason is None else str(one.reason) for one in considered}


def taken(folder: Path, modality: tuple[str, ...] = (), flat: bool = False, **rules: Any) -> str | None:
    answer = weighed(folder, modality, flat, **rules)
    return next((number for number, reason in answer.items() if not reason), None)


@pytest.mark.parametrize(
    ("rule", "left", "kept", "reason"),
    [
        (
            {"description": ["lung"]},
            {"SeriesDescription": "Soft"},
            {"SeriesDescription": "Thin LUNG 1.0"},
            "description: another",
        ),
        ({"description": ["lung"]}, {}, {"SeriesDescription": "lung"}, "description: none stated, wanted lung"),
        (
            {"description": ["ax*lung*"]},
            {"SeriesDescription": "x ax lung"},
            {"SeriesDescription": "AX 1 lung b"},
            "description",
        ),
        ({"description": ["a?c"]}, {"SeriesDescription": "abbc"}, {"SeriesDescription": "ABC"}, "description"),
        ({"description": ["[ax]*"]}, {"SeriesDescription": "ax"}, {"SeriesDescription": "[AX] thin"}, "description"),
        ({"description": ["a.c"]}, {"SeriesDescription": "abc"}, {"SeriesDescription": "a.c"}, "description"),
        (
            {"description": {"exclude": ["scout", "mip"]}},
            {"SeriesDescription": "cor MIP"},
            {"SeriesDescription": "axial"},
            "description: has mip, which is excluded",
        ),
        ({"description": {"exclude": ["mip"]}}, {"SeriesDescription": "MIP"}, {}, "description"),
        ({"body_part": ["chest"]}, {"BodyPartExamined": "CHESTABDPELVIS"}, {"BodyPartExamined": "CHEST"}, "body part: another"),
        ({"body_part": ["chest*"]}, {"BodyPartExamined": "HEAD"}, {"BodyPartExamined": "CHESTABDPELVIS"}, "body part"),
        ({"kernel": ["B70f", "LUNG"]}, {"ConvolutionKernel": "B70"}, {"ConvolutionKernel": "lung"}, "kernel: another"),
        ({"kernel": ["I40f"]}, {"ConvolutionKernel": "I41f"}, {"ConvolutionKernel": ["I40f", "3"]}, "kernel"),
        (
            {"image_type": {"exclude": ["derived"]}},
            {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
            {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]},
            "image type: has derived, which is excluded",
        ),
        (
            {"image_type": ["M"]},
            {"ImageType": ["ORIGINAL", "PRIMARY", "P"]},
            {"ImageType": ["ORIGINAL", "PRIMARY", "M"]},
            "image",
        ),
        (
            {"thickness_mm": [None, 3]},
            {"SliceThickness": 5},
            {"SliceThickness": 3},
            "slice thickness: 5 mm, wanted at most 3 mm",
        ),
        (
            {"thickness_mm": [1, None]},
            {"SliceThickness": 0.6},
            {"SliceThickness": 1},
            "slice thickness: 0.6 mm, wanted at least 1",
        ),
        (
            {"thickness_mm": [1, 2]},
            {"SliceThickness": None},
            {"SliceThickness": 1.5},
            "slice thickness: none stated, wanted 1 to 2",
        ),
        ({"thickness_mm": [0, 2]}, {"SliceThickness": 0}, {"SliceThickness": 1.5}, "slice thickness: none stated"),
        ({"slices": [4, None]}, {"slices": 3}, {"slices": 4}, "number of slices: 3, wanted at least 4"),
        ({"slices": [None, 4]}, {"slices": 5}, {"slices": 4}, "number of slices: 5, wanted at most 4"),
        ({"plane": ["axial"]}, {"ImageOrientationPatient": CORONAL}, {}, "plane: coronal, wanted axial"),
        ({"plane": ["axial"]}, {"ImageOrientationPatient": STEEP}, {"ImageOrientationPatient": OBLIQUE}, "plane: coronal"),
        ({"plane": ["sagittal"]}, {}, {"ImageOrientationPatient": SAGITTAL}, "plane: axial, wanted sagittal"),
        ({"contrast": True}, {}, {"ContrastBolusAgent": "Ultravist"}, "contrast: without agent, wanted with"),
        ({"contrast": True}, {"ContrastBolusAgent": "NONE"}, {"ContrastBolusAgent": "APPLIED"}, "contrast: without agent"),
        ({"contrast": False}, {"ContrastBolusAgent": "x"}, {"ContrastBolusAgent": ""}, "contrast: with agent, wanted without"),
    ],
)
def test_each_rule_leaves_one_series_and_says_why(
    tmp_path: Path, rule: dict[str, Any], left: dict[str, Any], kept: dict[str, Any], reason: str
) -> None:
    stack(tmp_path, 1, **left)
    stack(tmp_path, 2, **kept)
    answer = weighed(tmp_path, **rule)
    assert answer["2"] == ""
    assert answer["1"].startswith(reason)


def test_a_coded_agent_is_contrast(tmp_path: Path) -> None:
    agent = Dataset()
    agent.CodeValue, agent.CodingSchemeDesignator, agent.CodeMeaning = "C-B0322", "SRT", "Iodine"
    stack(tmp_path, 1)
    stack(tmp_path, 2, ContrastBolusAgentSequence=[agent])
    assert taken(tmp_path, contrast=True) == "2"
    assert taken(tmp_path, contrast=False) == "1"


def test_a_series_with_a_header_that_breaks_off_is_not_left_by_a_rule(tmp_path: Path) -> None:
    agent = Dataset()
    agent.CodeMeaning = "Iodine"
    _, last = stack(tmp_path, 1, 2, ContrastBolusAgentSequence=[agent])
    (one,) = choose(scan(tmp_path).series, SeriesChoice(contrast=False), (), False)
    assert not one.passed
    edited(last, b"\x18\x00\x12\x00SQ", b"\x18\x00\x12\x00OQ")  # an unknown value representation
    (one,) = choose(scan(tmp_path).series, SeriesChoice(contrast=False), (), False)
    assert one.passed
    assert one.problem is not None  # so the study is rejected, not thought to lack the input


def test_the_functional_groups_of_an_enhanced_object_are_looked_at(tmp_path: Path) -> None:
    save_enhanced(tmp_path / "mr", [30, 32, 34])
    (series,) = scan(tmp_path).series
    assert series.plane == "axial"
    assert series.thickness_mm is not None
    assert choose([series], SeriesChoice(plane=("axial",), thickness_mm=(None, series.thickness_mm)), (), False)[0].passed
    assert not choose([series], SeriesChoice(thickness_mm=(series.thickness_mm + 1, None)), (), False)[0].passed


def test_another_modality_is_named_in_the_words_of_the_standard_only(tmp_path: Path) -> None:
    stack(tmp_path, 1, Modality="MR")
    stack(tmp_path, 2, Modality="MUELLER")
    stack(tmp_path, 3)
    answer = weighed(tmp_path, ("CT",))
    assert answer == {"1": "another modality: MR, wanted CT", "2": "another modality: other, wanted CT", "3": ""}


def test_a_scout_is_taken_for_an_image_of_two_dimensions_only(tmp_path: Path) -> None:
    stack(tmp_path, 1, slices=5, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    stack(tmp_path, 2)
    assert weighed(tmp_path) == {"1": "localizer", "2": ""}
    assert taken(tmp_path, flat=True) == "1"
    assert taken(tmp_path, flat=True, localizers=False) == "2"
    assert taken(tmp_path, localizers=True) == "1"


@pytest.mark.parametrize(
    ("prefer", "number", "reasons"),
    [
        (["most_slices"], "2", {"1": "fewer slices than the series taken", "3": "fewer slices than the series taken"}),
        (["thinnest"], "3", {"1": "thicker than the series taken", "2": "thicker than the series taken"}),
        (["newest"], "1", {"2": "older than the series taken", "3": "older than the series taken"}),
        (["first"], "1", {"2": "later number than the series taken", "3": "later number than the series taken"}),
    ],
)
def test_a_preference_decides_among_those_that_pass(
    tmp_path: Path, prefer: list[str], number: str, reasons: dict[str, str]
) -> None:
    stack(tmp_path, 1, 3, SliceThickness=None, SeriesDate="20240102", SeriesTime="080000")
    stack(tmp_path, 2, 5, SliceThickness=5, SeriesDate="20240101", SeriesTime="235959")
    stack(tmp_path, 3, 4, SliceThickness=1)
    assert weighed(tmp_path, prefer=prefer) == {number: "", **reasons}


def test_the_next_preference_decides_where_series_are_equal(tmp_path: Path) -> None:
    stack(tmp_path, 9, 3, SliceThickness=1, AcquisitionDate="20240101", AcquisitionTime="0800")
    stack(tmp_path, 10, 3, SliceThickness=1, AcquisitionDateTime="20240101090000.5+0100")
    stack(tmp_path, 2, 9, SliceThickness=2, AcquisitionDate="20250101")
    assert taken(tmp_path, prefer=["thinnest", "newest"]) == "10"
    assert taken(tmp_path, prefer=["thinnest", "first"]) == "9"  # 9 comes before 10, as numbers do
    assert taken(tmp_path, prefer=["thinnest", "most_slices"]) == "9"  # equal in all: the lower number
    assert taken(tmp_path) == "2"


def test_a_series_was_acquired_when_its_first_file_was(tmp_path: Path) -> None:
    number = {"SeriesInstanceUID": generate_uid(), "SeriesNumber": 1, "AcquisitionDate": "20240101"}
    for name, clock in (("a", "100500"), ("b", "100000"), ("c", "110000")):
        height = float(ord(name) * 2)
        save(tmp_path / name, ImagePositionPatient=[10, 20, height], AcquisitionTime=clock, **number)
    stack(tmp_path, 2, AcquisitionDate="20240101", AcquisitionTime="103000")
    assert taken(tmp_path, prefer=["newest"]) == "2"
    assert {one.acquired for one in scan(tmp_path).series} == {"20240101100000", "20240101103000"}


def test_a_broken_series_is_no_shorter_than_it_was(tmp_path: Path) -> None:
    """Were it, a shorter whole one would be taken in silence."""
    for file in stack(tmp_path, 1, 5):
        file.write_bytes(file.read_bytes()[:-4])
    stack(tmp_path, 2, 4)
    (first, second) = choose(scan(tmp_path).series, SeriesChoice(slices=(5, None)), (), False)
    assert first.reason is None
    assert first.problem is not None
    assert first.problem.code is Code.TRUNCATED
    assert str(second.reason) == "number of slices: 4, wanted at least 5"
    assert taken(tmp_path) == "1"


@pytest.mark.parametrize(
    ("rule", "some", "others"),
    [
        ({"contrast": True}, {"ContrastBolusAgent": "x"}, {}),
        ({"thickness_mm": [0, 2]}, {"SliceThickness": 1}, {"SliceThickness": 3}),
        ({"description": {"exclude": ["b"]}}, {"SeriesDescription": "a"}, {"SeriesDescription": "b"}),
        ({}, {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
    ],
)
def test_a_series_that_passes_in_part_is_neither_taken_nor_passed_over(
    tmp_path: Path, rule: dict[str, Any], some: dict[str, Any], others: dict[str, Any]
) -> None:
    uid = {"SeriesInstanceUID": generate_uid(), "SeriesNumber": 1}
    for number in range(4):
        save(tmp_path / str(number), ImagePositionPatient=[10, 20, 2.0 * number], **uid, **(some if number % 2 else others))
    (one,) = choose(scan(tmp_path).series, SeriesChoice.model_validate(rule), (), False)
    assert one.reason is None
    assert one.unclear is not None
    assert one.unclear.code is Code.MIXED_SERIES


def test_no_reason_holds_a_text_of_a_header(tmp_path: Path) -> None:
    secret = {"SeriesDescription": "MUELLER ANNA", "BodyPartExamined": "MUELLER", "ConvolutionKernel": "MUELLER"}
    stack(tmp_path, 1, **secret)
    for rule in ("description", "body_part", "kernel", "image_type"):
        assert "mueller" not in str(weighed(tmp_path, **{rule: ["x"]})).lower()


@pytest.mark.parametrize(
    "wrong",
    [
        {"thickness_mm": [3, 1]},
        {"thickness_mm": [None, None]},
        {"thickness_mm": [-1, 1]},
        {"slices": [5, 4]},
        {"slices": [0.5, 4]},
        {"prefer": []},
        {"prefer": ["first", "first"]},
        {"prefer": ["thickest"]},
        {"plane": ["oblique"]},
        {"description": [""]},
        {"description": {"includes": ["x"]}},
        {"descripton": ["x"]},
    ],
)
def test_rules_that_cannot_act_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SeriesChoice.model_validate(wrong)


def test_rules_survive_the_way_through_json() -> None:
    given = {"description": ["lung"], "thickness_mm": [None, 3], "plane": ["axial"], "prefer": ["newest"]}
    rules = SeriesChoice.model_validate(given)
    assert SeriesChoice.model_validate_json(rules.model_dump_json()) == rules


def test_rules_are_refused_where_no_header_is_looked_at() -> None:
    with pytest.raises(ValidationError, match="match: file"):
        ImageSettings.model_validate({"path": "x", "match": "file", "series": {"plane": ["axial"]}})


def test_only_words_of_closed_lists_are_shown() -> None:
    assert [shown_modality(text) for text in ("CT", "ct\x1b[2J", "")] == ["CT", "other", "not stated"]
    makers = ("SIEMENS", "Siemens Healthineers", "GE MEDICAL SYSTEMS", "Gerhard", "FUJIFILM Corporation", "Müller", "")
    assert [shown_vendor(text) for text in makers] == ["Siemens", "Siemens", "GE", "other", "Fujifilm", "other", "not stated"]
    assert [shown_syntax(uid) for uid in ("1.2.840.10008.1.2.5", "1.2.3", "Müller")] == ["RLE Lossless", "other", "other"]


def test_a_film_has_no_plane(tmp_path: Path) -> None:
    save(tmp_path / "a", SeriesNumber=1, **FILM)
    assert weighed(tmp_path, plane=["axial"]) == {"1": "plane: none stated, wanted axial"}
