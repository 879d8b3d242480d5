"""A model is relied on where it was made for: limits by hand, learned from training alone, and abstained from at scoring."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pydicom
import pytest
from conftest import Hospital
from pydantic import ValidationError
from pydicom.uid import generate_uid
from test_end_to_end import config_of
from test_image_input import FIRST, SECOND, found
from test_readers_dicom import FILM, edited, save, save_enhanced, save_stack
from test_references import fitted, said

from medmm.cohort import index
from medmm.cohort.ages import age_of_cell, age_of_header
from medmm.cohort.scan import scan
from medmm.cohort.shown import BODY_PARTS
from medmm.cohort.studies import Sources, read_studies
from medmm.cohort.target import TargetSettings
from medmm.config import parse_config
from medmm.dataset.cache import evidence_digests
from medmm.doubts import doubt_cells, doubt_columns
from medmm.errors import ConfigError, DataError
from medmm.intended_limits import FEWEST, FEWEST_ABSENT, IntendedUseSettings, fit_intended_use
from medmm.intended_use import IntendedUse, read_intended_use
from medmm.package import FILES, SETTINGS, Package, card_text, load_package, save_package
from medmm.registry import _signature
from medmm.scoring.engine import Options
from medmm.scoring.identity import study_digest
from medmm.scoring.pyfunc import StudyModel
from medmm.scoring.run import score
from medmm.scoring.studies import find_studies
from medmm.sealed import seal
from medmm.types import Evidence, Facts, Study

ADULT = Facts(("CR",), ("CHEST",), (0.2, 0.2), (2.0, 2.0), (2.5, 2.5), 40.0)
LABS = Evidence(cells={"crp": "3"})
STATED = {
    "inputs": ["chest", "history", "labs"],
    "images": {
        "chest": {
            "modality": {"any_of": ["CR", "DX"], "patients": 40},
            "body_part": {"any_of": ["CHEST"], "patients": 40},
            "pixel_mm": {"low": 0.1, "high": 0.4, "patients": 40},
            "slice_mm": {"low": 1.0, "high": 3.0, "patients": 40},
            "thickness_mm": {"low": None, "high": 5.0, "patients": 40},
        }
    },
    "age_years": {"low": 18.0, "high": 80.0, "patients": 40},
    "may_lack": {"sets": [["labs"], ["history"]], "patients": 40},
}
MADE = IntendedUse.model_validate(STATED)


def study(facts: Facts | None = ADULT, lacks: Sequence[str] = (), cells: dict[str, str] | None = None, row: int = 1) -> Study:
    """Give a study of three inputs."""
    evidence = {"chest": Evidence(files=(Path("a"),), facts=facts), "history": Evidence(text="cough"), "labs": LABS}
    kept = {name: one for name, one in evidence.items() if name not in lacks}
    return Study(row, f"p{row}", f"s{row}", cells=cells or {}, evidence=kept)


def cohort(count: int, **facts: object) -> list[Study]:
    """Give a study each of some patients, all with the same facts."""
    return [study(replace(ADULT, **facts), row=row) for row in range(1, count + 1)]  # type: ignore[arg-type]


def learned(studies: Sequence[Study], **settings: object) -> IntendedUse:
    return fit_intended_use(IntendedUseSettings.model_validate(settings), studies, ["chest", "history", "labs"])


CASES: dict[str, tuple[dict[str, object], list[str]]] = {
    "as in training": ({}, []),
    "another modality": ({"modalities": ("MR",)}, ["chest: modality MR, made for CR, DX"]),
    "one of two modalities": ({"modalities": ("CR", "MR")}, ["chest: modality MR, made for CR, DX"]),
    "another body part": ({"body_parts": ("BRAIN",)}, ["chest: body part BRAIN, made for CHEST"]),
    "fine pixels": ({"pixel_mm": (0.05, 0.2)}, ["chest: pixels of 0.05 mm, made for 0.1 to 0.4"]),
    "coarse pixels": ({"pixel_mm": (0.2, 1.40625)}, ["chest: pixels of 1.41 mm, made for 0.1 to 0.4"]),
    "slices far apart": ({"slice_mm": (10.0, 10.0)}, ["chest: slices 10 mm apart, made for 1 to 3"]),
    "thick slices": ({"thickness_mm": (10.0, 10.0)}, ["chest: slices 10 mm thick, made for up to 5"]),
    "thin slices": ({"thickness_mm": (0.1, 0.1)}, []),
    "a child": ({"age_years": 4.0}, ["age 4 years, made for 18 to 80"]),
    "an infant": ({"age_years": 0.5}, ["age 0.5 years, made for 18 to 80"]),
    "at the ends": ({"age_years": 18.0, "pixel_mm": (0.1, 0.4), "slice_mm": (1.0, 3.0), "thickness_mm": (5.0, 5.0)}, []),
    "older than is told": ({"age_years": 90.0}, ["age 90 years or more, made for 18 to 80"]),
    "nothing stated": (
        {"modalities": (), "body_parts": (), "pixel_mm": None, "slice_mm": None, "thickness_mm": None, "age_years": None},
        [],
    ),
    "a word that is not the standard's": ({"body_parts": ("MUELLER HANS",)}, []),
}


@pytest.mark.parametrize("name", CASES)
def test_a_study_outside_is_told_why_and_what_it_does_not_state_is_no_reason(name: str) -> None:
    facts, expected = CASES[name]
    assert MADE.reasons(study(replace(ADULT, **facts))) == expected  # type: ignore[arg-type]


def test_headers_that_nobody_read_give_no_reason() -> None:
    assert MADE.reasons(study(None)) == []


def test_reasons_come_in_one_order_and_each_fits_into_a_list_of_them() -> None:
    facts = Facts(("MR",), ("BRAIN",), (1.0, 1.0), (9.0, 9.0), (9.0, 9.0), 3.0)
    reasons = MADE.reasons(study(facts, ["labs", "history"]))
    begins = ["chest: modality", "chest: body", "chest: pixels", "chest: slices 9 mm apart", "chest: slices 9 mm thick", "age"]
    assert [one.startswith(begin) for one, begin in zip(reasons, begins, strict=False)] == [True] * 6
    assert reasons[6] == "inputs absent: history, labs, too rare in training"
    assert not [one for one in reasons if ";" in one]
    assert [one.limit for one in MADE.outside(study(facts, ["labs", "history"]))] == [
        *(f"chest: {one}" for one in ("modality", "body part", "pixel_mm", "slice_mm", "thickness_mm")),
        "age",
        "inputs absent",
    ]


@pytest.mark.parametrize(("lacks", "expected"), [([], None), (["labs"], None), (["history"], None), (["chest"], "chest")])
def test_a_study_may_lack_what_enough_training_patients_lacked(lacks: list[str], expected: str | None) -> None:
    reasons = MADE.reasons(study(lacks=lacks))
    assert reasons == ([] if expected is None else [f"inputs absent: {expected}, too rare in training"])


def test_a_name_in_a_header_is_not_shown_even_where_the_run_file_states_the_words() -> None:
    use = learned([], images={"chest": {"body_part": ["chest", "Thorax"]}})
    (reason,) = use.reasons(study(replace(ADULT, body_parts=("MUELLER HANS",))))
    assert reason == "chest: body part of another name, made for CHEST, THORAX"
    assert use.reasons(study(replace(ADULT, body_parts=("THORAX",)))) == []


def test_ranges_are_what_was_seen_a_tenth_wider() -> None:
    some = cohort(FEWEST)
    some[0] = study(replace(ADULT, pixel_mm=(0.1, 0.3), age_years=20.0), row=1)
    some[1] = study(replace(ADULT, slice_mm=(1.0, 5.0), age_years=70.0), row=2)
    use = learned(some)
    chest = use.images["chest"]
    assert chest.modality is not None
    assert (chest.modality.any_of, chest.modality.patients) == (("CR",), FEWEST)
    assert chest.pixel_mm is not None
    assert (chest.pixel_mm.low, chest.pixel_mm.high) == (0.09, 0.33)
    assert chest.slice_mm is not None
    assert (chest.slice_mm.low, chest.slice_mm.high) == (0.9, 5.5)
    assert use.age_years is not None
    assert (use.age_years.low, use.age_years.high, use.age_years.patients) == (18.0, 77.0, FEWEST)
    assert not [reason for one in some for reason in use.reasons(one)]  # none of the training is outside
    assert use.reasons(study(replace(ADULT, age_years=17.0))) == ["age 17 years, made for 18 to 77"]


def test_an_age_that_could_tell_who_somebody_is_is_not_in_what_was_learned() -> None:
    for oldest in (82.0, 90.0):
        some = [*cohort(FEWEST), study(replace(ADULT, age_years=oldest), row=99)]
        use = learned(some)
        assert use.age_years is not None
        assert use.age_years.high is None
        assert "age in years: 36 or more" in "\n".join(use.told())
        assert use.reasons(study(replace(ADULT, age_years=90.0))) == []


def test_ages_of_infants_keep_their_parts_of_a_year() -> None:
    use = learned(cohort(FEWEST, age_years=0.5))
    assert use.age_years is not None
    assert (use.age_years.low, use.age_years.high) == (0.45, 1.0)


def test_nothing_is_learned_from_few_patients_and_many_studies_of_one_are_one() -> None:
    few = cohort(FEWEST - 1)
    assert learned(few) == IntendedUse(inputs=("chest", "history", "labs"))
    assert learned([replace(one, patient_id="p1") for one in cohort(5 * FEWEST)]) == learned(few)


def test_a_fact_that_few_state_is_no_limit_while_others_are() -> None:
    unstated = [study(replace(ADULT, body_parts=(), age_years=None), row=row) for row in range(100, 100 + FEWEST)]
    use = learned([*cohort(FEWEST - 1), *unstated])
    assert use.images["chest"].modality is not None
    assert use.images["chest"].body_part is None
    assert use.age_years is None


def test_words_outside_the_standard_are_not_learned() -> None:
    use = learned([*cohort(FEWEST), *(replace(one, patient_id=f"x{one.row}") for one in cohort(9, body_parts=("MUELLER",)))])
    assert use.images["chest"].body_part is not None
    assert use.images["chest"].body_part.any_of == ("CHEST",)
    assert "MUELLER" not in use.model_dump_json()


def lacking(*sets: tuple[str, int]) -> list[Study]:
    """Give studies, each of its own patient: of each set of absent inputs, written with spaces, so many."""
    counts = [names.split() for names, count in sets for _ in range(count)]
    return [study(lacks=names, row=row) for row, names in enumerate(counts, 1)]


ABSENCES = {
    "never": ([("", 30)], [()]),
    "one too few": ([("", 30), ("labs", FEWEST_ABSENT - 1)], [()]),
    "enough": ([("", 30), ("labs", FEWEST_ABSENT)], [("labs",)]),
    "with another, so alone too": ([("", 30), ("history labs", FEWEST_ABSENT)], [("history", "labs")]),
    "alone or with another": ([("", 30), ("labs", 3), ("history labs", 2)], [("labs",)]),
    "apart, not together": ([("", 9), ("labs", 9), ("history", 9)], [("history",), ("labs",)]),
    "two sets that share one": ([("", 30), ("chest labs", 3), ("history labs", 3)], [("labs",)]),
}


@pytest.mark.parametrize("name", ABSENCES)
def test_absences_are_learned_from_patients_that_lacked_as_much_or_more(name: str) -> None:
    sets, expected = ABSENCES[name]
    use = learned(lacking(*sets))
    assert use.may_lack is not None
    assert list(use.may_lack.sets) == expected


def test_a_patient_with_many_studies_counts_once_for_an_absence() -> None:
    some = lacking(("", 30), ("labs", 9))
    use = learned([replace(one, patient_id="p1") if "labs" not in one.evidence else one for one in some])
    assert use.may_lack is not None
    assert use.may_lack.sets == ((),)


def test_more_inputs_never_bring_a_study_outside() -> None:
    rng = np.random.default_rng(0)
    names = ("chest", "history", "labs")
    for _ in range(50):
        absent = [[name for name in names if rng.random() < 0.3] for _ in range(40)]
        use = learned([study(lacks=some, row=row) for row, some in enumerate(absent, 1)])
        for some in absent:
            if not use.reasons(study(lacks=some)):
                assert not [name for name in some if use.reasons(study(lacks=[one for one in some if one != name]))]


def test_the_run_file_wins_over_what_was_learned() -> None:
    use = learned(
        cohort(FEWEST),
        purpose="Tells pneumonia from other opacities.",
        age_years=[2, None],
        images={"chest": {"modality": ["cr", "MR"], "pixel_mm": [None, None], "body_part": []}},
        may_lack=[["labs", "history"]],
    )
    chest = use.images["chest"]
    assert chest.modality is not None
    assert (chest.modality.any_of, chest.modality.patients) == (("CR", "MR"), 0)
    assert (chest.body_part, chest.pixel_mm) == (None, None)
    assert chest.slice_mm is not None  # not stated, so learned
    far = Facts(("MR",), ("BRAIN",), (9.0, 9.0), None, None, 3.0)
    assert use.reasons(study(far, ["labs", "history"])) == []
    assert use.reasons(study(replace(far, age_years=1.0))) == ["age 1 years, made for 2 or more"]
    assert use.reasons(study(far, ["chest"])) == ["inputs absent: chest, made for studies that have more"]
    assert "purpose: Tells pneumonia from other opacities." in use.told()
    assert "made for age in years: 2 or more (stated in the run file)" in use.told()


def test_without_learning_only_what_is_stated_is_a_limit() -> None:
    use = learned(cohort(FEWEST), learn=False, may_lack=[])
    assert (use.images, use.age_years) == ({}, None)
    assert use.reasons(study(Facts(("MR",), age_years=2.0))) == []
    assert use.reasons(study(lacks=["labs"])) == ["inputs absent: labs, made for studies that have more"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"images": {"labs": {"modality": ["CT"]}}}, "no image input of the run"),
        ({"images": {"hand": {}}}, "no image input of the run"),
        ({"may_lack": [["hand"]]}, "no input of the run"),
        ({"age_column": "diagnosis"}, "which is the target"),
        ({"age_years": [80, 18]}, "from a lower to a higher"),
        ({"age_years": [-1, 18]}, "greater than or equal to 0"),
        ({"ages": [18, 80]}, "unknown key"),
        ({"images": {"chest": {"body_part": ["a body part of a name far too long"]}}}, "pattern"),
        ({"purpose": "two\nlines"}, "pattern"),
    ],
)
def test_a_section_of_the_run_file_that_cannot_hold_is_refused(tmp_path: Path, section: object, message: str) -> None:
    content = {**config_of(tmp_path, tmp_path).model_dump(mode="json"), "intended_use": section}
    with pytest.raises(ConfigError, match=message):
        parse_config(content, "small.yaml")


def test_the_age_of_the_named_column_wins_and_where_it_is_empty_the_header_tells() -> None:
    use = learned([], age_column="age", age_years=[18, 80])
    assert use.reasons(study(cells={"age": "40"})) == []
    assert use.reasons(study(cells={"age": "4"})) == ["age 4 years, made for 18 to 80"]
    assert use.reasons(study(cells={"age": "006M"})) == ["age 0.5 years, made for 18 to 80"]
    child = replace(ADULT, age_years=3.0)
    assert use.reasons(study(child, cells={"age": "40"})) == []
    for cell in ("", "unknown", "-1", "nan", "1e9"):
        assert use.reasons(study(child, cells={"age": cell})) == ["age 3 years, made for 18 to 80"]
    assert use.reasons(study(None, cells={"age": ""})) == []
    other = learned([study(cells={"age": "30"}, row=row) for row in range(FEWEST)], age_column="age")
    assert other.age_years is not None
    assert (other.age_years.low, other.age_years.high) == (27.0, 33.0)


AGES = {
    ("045Y", "", ""): 45,
    ("006M", "", ""): 0.5,
    ("010D", "", ""): 0.027,
    ("004W", "", ""): 0.077,
    ("036M", "", ""): 3,
    ("35Y", "", ""): 35,
    ("089Y", "", ""): 89,
    ("090Y", "", ""): 90,
    ("103Y", "", ""): 90,
    ("999Y", "", ""): None,
    ("", "19500601", "20200531"): 69,
    ("", "19500601", "20200601"): 70,
    ("", "20200101", "20200702"): 0.501,
    ("045Y", "19500601", "20200601"): 45,
    ("045", "", ""): None,
    ("Y", "19500601", ""): None,
    ("", "19500601", "1900-01-01"): None,
    ("", "20500601", "20200601"): None,
    ("", "18000601", "20200601"): None,
    ("\u0664\u0665\u0660Y", "", ""): None,
}


@pytest.mark.parametrize("told", AGES)
def test_ages_of_headers(told: tuple[str, str, str]) -> None:
    assert age_of_header(*told) == AGES[told]


def test_ages_of_cells() -> None:
    assert [age_of_cell(cell) for cell in ("45", "45.9", "0.5", "91", "", "old", "045Y", "inf")] == [
        *(45, 45, 0.5, 90, None, None, 45, None)
    ]


def facts_of(one: object) -> Facts:
    assert isinstance(one, Evidence)
    assert one.facts is not None
    return one.facts


def test_facts_of_a_study_are_those_of_the_series_taken(tmp_path: Path) -> None:
    folder = tmp_path / "dicom"
    folder.mkdir()
    told = {"PatientAge": "045Y", "BodyPartExamined": "CHEST"}
    film = {**FILM, "ImagerPixelSpacing": [0.14, 0.14], "PixelSpacing": None, "Modality": "DX"}
    save(folder / "film", StudyInstanceUID=FIRST, SeriesInstanceUID=generate_uid(), **{**film, **told})
    edited(folder / "film", b"CHEST ", b" chest")
    save_stack(
        folder / "ct", [0, 2.5, 5], StudyInstanceUID=SECOND, PatientID="p2", PatientBirthDate="19500601", StudyDate="20200601"
    )
    first, second, third = found(tmp_path)
    assert facts_of(first) == Facts(("DX",), ("CHEST",), (0.14, 0.14), None, (2.0, 2.0), 45)
    assert facts_of(second) == Facts(("CT",), (), (0.5, 0.8), (2.5, 2.5), (2.0, 2.0), 70)
    assert third is None


def test_facts_of_several_series_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    for name, heights, change in (
        ("a", [0, 2, 4], {}),
        ("b", [0, 5, 10], {"PixelSpacing": [1, 1], "BodyPartExamined": "CHEST"}),
    ):
        save_stack(tmp_path / "dicom" / name, heights, StudyInstanceUID=FIRST, SeriesInstanceUID=generate_uid(), **change)
    (one, _, _) = found(tmp_path, size=[8, 8, 8], images=2)
    assert facts_of(one) == Facts(("CT",), ("CHEST",), (0.5, 1.0), (2.0, 5.0), (2.0, 2.0), None)


def test_files_joined_by_name_state_nothing_so_nothing_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    save(tmp_path / "dicom" / "a.png")
    (one, _, _) = found(tmp_path, match="file", column="picture")
    assert isinstance(one, Evidence)
    assert one.facts is None
    some = Study(1, "p", "s", evidence={"chest": one, "history": Evidence(text="x"), "labs": LABS})
    assert MADE.reasons(some) == []
    assert learned([replace(some, patient_id=f"p{row}") for row in range(2 * FEWEST)]).images == {}


def test_spacing_of_a_series_is_told_whatever_its_form(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("moments", "enhanced", "one")}
    for folder in folders.values():
        folder.mkdir()
    for moment in (1, 2):
        for height in (0, 3, 6):
            place = {"ImagePositionPatient": [10, 20, height], "AcquisitionNumber": moment}
            save(folders["moments"] / f"{moment}{height}", **place)
    save_enhanced(folders["enhanced"] / "mr", [30, 32, 34])
    save(folders["one"] / "a")
    told = {name: scan(folder).series[0] for name, folder in folders.items()}
    assert {name: one.slice_mm for name, one in told.items()} == {"moments": 3.0, "enhanced": 2.0, "one": None}
    assert told["one"].pixel_mm == (0.5, 0.8)


def test_facts_come_back_from_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "FRESH_NS", 0)
    folder = tmp_path / "dicom"
    save_stack(folder, [0, 2.5, 5], PatientAge="103Y")
    first, again = (scan(folder, memory=tmp_path / "memory").series[0] for _ in range(2))
    assert (first.age_years, first.pixel_mm, first.slice_mm) == (90, (0.5, 0.8), 2.5)
    assert (again.age_years, again.pixel_mm, again.slice_mm) == (90, (0.5, 0.8), 2.5)


def test_facts_are_part_of_no_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    plain = Study(1, "p", "s", evidence={"chest": Evidence(files=(tmp_path / "a",))})
    known = Study(1, "p", "s", evidence={"chest": Evidence(files=(tmp_path / "a",), facts=ADULT)})
    assert evidence_digests([plain], "chest") == evidence_digests([known], "chest")
    assert study_digest(plain) == study_digest(known)


HOSTILE: dict[str, object] = {
    "a list": [],
    "a word": "use",
    "no input": {**STATED, "inputs": []},
    "other inputs": {**STATED, "inputs": ["chest", "history", "labs", "x"]},
    "an unknown key": {**STATED, "run": "code"},
    "a strange input": {**STATED, "images": {"x": {}}},
    "a strange absence": {**STATED, "may_lack": {"sets": [["x"]], "patients": 1}},
    "no absence": {**STATED, "may_lack": {"sets": [], "patients": 1}},
    "ends turned round": {**STATED, "age_years": {"low": 9, "high": 1, "patients": 1}},
    "text for a number": {**STATED, "age_years": {"low": "1", "high": 9, "patients": 1}},
    "true for a number": {**STATED, "age_years": {"low": 1, "high": 9, "patients": True}},
    "below zero": {**STATED, "age_years": {"low": -1, "high": 9, "patients": 1}},
    "infinite": {**STATED, "age_years": {"low": 1, "high": float("inf"), "patients": 1}},
    "no word": {**STATED, "images": {"chest": {"modality": {"any_of": [], "patients": 3}}}},
    "a word that is markup": {**STATED, "images": {"chest": {"modality": {"any_of": ["<b>"], "patients": 3}}}},
    "a text of two lines": {**STATED, "purpose": "a\n# b"},
    "a text that is turned round": {**STATED, "purpose": "a\u202eb"},
    "a text without end": {**STATED, "purpose": "a" * 100_000},
    "words without end": {**STATED, "images": {"chest": {"modality": {"any_of": ["CT"] * 1000, "patients": 3}}}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_intended_use_of_the_model_is_refused(name: str) -> None:
    assert read_intended_use(STATED, STATED["inputs"]) == MADE  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the intended use of the package") as caught:
        read_intended_use(HOSTILE[name], STATED["inputs"])  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_it_comes_back_as_it_went() -> None:
    for use in (MADE, learned(cohort(FEWEST)), learned(lacking(("", 30), ("labs", 9))), learned([], age_years=[1, None])):
        plain = json.loads(json.dumps(use.model_dump(mode="json"), allow_nan=False))
        assert read_intended_use(plain, use.inputs) == use
    assert read_intended_use(None, ["chest"]) is None


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        MADE.purpose = "other"  # type: ignore[misc]


def test_reasons_join_those_of_the_references_in_one_cell() -> None:
    references, target = fitted(), TargetSettings(column="diagnosis", positive="sick")
    seen, answers = said(3, 5), np.array([[0.9], [0.5], [0.1]])
    assert references.conformal is not None
    references = replace(references, conformal=replace(references.conformal, limits=np.array([[0.4, 0.4]])))
    some = [study(row=1), study(replace(ADULT, age_years=4.0), row=2), study(lacks=["chest"], row=3)]
    before = references.cells(target, answers, seen)
    cells = doubt_cells(references, MADE, target, some, answers, seen)
    why = [str(one) for one in before["abstain_why"]]
    own = [MADE.reasons(one) for one in some]
    assert own[1]
    assert own[2]
    assert cells["abstain_why"] == [why[0], f"{own[1][0]}; {why[1]}", "; ".join([*own[2], *filter(None, [why[2]])])]
    assert cells["abstain"] == [bool(why[0]), True, True]
    assert list(cells) == list(before) == list(doubt_columns(references, MADE, target))
    alone = doubt_cells(None, MADE, target, some, answers, seen)
    assert alone == {"abstain": [False, True, True], "abstain_why": ["", own[1][0], own[2][0]]}
    assert doubt_cells(references, None, target, some, answers, seen) == before
    assert doubt_cells(None, None, target, some, answers, seen) == {}
    assert doubt_columns(None, None, target) == {}


@pytest.fixture(scope="module")
def intending(package: Package, hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that has learned its intended use from the hospital, but states which inputs may be absent."""
    settings = IntendedUseSettings.model_validate(
        {"purpose": "For a test.", "may_lack": [["ct", "labs", "history"], ["ct", "chest"]]}
    )
    use = fit_intended_use(settings, hospital.studies, list(hospital.inputs))
    folder = tmp_path_factory.mktemp("intending") / "package"
    save_package(replace(package, intended=use), folder)
    return folder


def test_a_package_keeps_it_and_the_card_tells_it(hospital: Hospital, intending: Path) -> None:
    loaded = load_package(intending)
    assert loaded.intended is not None
    chest = loaded.intended.images["chest"]
    assert chest.body_part is not None
    assert chest.body_part.any_of == ("CHEST",)
    assert chest.modality is not None
    assert set(chest.modality.any_of) == {"CR", "DX"}
    assert chest.pixel_mm is not None
    assert loaded.intended.age_years is not None
    patients = len({study.patient_id for study in hospital.studies if "chest" in study.evidence})
    card = (intending / "card.md").read_text()
    assert f"- made for chest: body part CHEST (learned from {patients} training patients)" in card
    assert "- made for age in years: " in card
    assert "- purpose: For a test." in card
    assert set(card.splitlines()[7:]) == set(card_text(loaded).splitlines()[7:])
    assert not [study.patient_id for study in hospital.studies if study.patient_id in (intending / SETTINGS).read_text()]


def test_a_package_of_a_hostile_intended_use_is_refused(intending: Path, tmp_path: Path) -> None:
    shutil.copytree(intending, tmp_path / "copy")
    settings = json.loads((tmp_path / "copy" / SETTINGS).read_text())
    settings["intended"]["age_years"] = {"low": 9, "high": 1, "patients": 1}
    (tmp_path / "copy" / SETTINGS).write_text(json.dumps(settings))
    seal(tmp_path / "copy", FILES)
    with pytest.raises(DataError, match="the intended use of the package is damaged"):
        load_package(tmp_path / "copy")


@pytest.fixture(scope="module")
def arrived(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies of the hospital with their radiographs alone; the headers of four of them changed."""
    folder = tmp_path_factory.mktemp("arrived")
    films = [study for study in hospital.studies if "chest" in study.evidence][:6]
    changes: list[dict[str, object]] = [
        {"BodyPartExamined": "BRAIN"},
        {"PatientAge": "004Y"},
        {"ImagerPixelSpacing": [5, 5]},
        {"PatientAge": "", "PatientBirthDate": "", "BodyPartExamined": "", "ImagerPixelSpacing": None},
        {"PatientAge": "004Y", "BodyPartExamined": "MUELLER"},
        {},
    ]
    for number, (study, change) in enumerate(zip(films, changes, strict=True)):
        dataset = pydicom.dcmread(study.evidence["chest"].files[0])
        for keyword, value in change.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)
        dataset.save_as(folder / f"{number}.dcm")
    return folder


def test_scoring_abstains_outside_and_says_why(intending: Path, arrived: Path, hospital: Hospital, tmp_path: Path) -> None:
    loaded = load_package(intending)
    assert loaded.intended is not None
    found_here = find_studies(loaded, arrived)
    score(loaded, found_here, tmp_path, Options(workers=0))
    table = pq.read_table(tmp_path / "scores.parquet").to_pandas().set_index("study_id")
    uids = [pydicom.dcmread(arrived / f"{number}.dcm").StudyInstanceUID for number in range(6)]
    why = table.loc[uids, "abstain_why"].tolist()
    limits = loaded.intended.images["chest"]
    child = f"age 4 years, made for {loaded.intended.age_years}"
    assert why == [
        "chest: body part BRAIN, made for CHEST",
        child,
        f"chest: pixels of 5 mm, made for {limits.pixel_mm}",
        "",
        child,
        "",
    ]
    assert table["abstain"].tolist() == [one != "" for one in table["abstain_why"]]


def test_scoring_abstains_from_studies_that_lack_what_training_had(
    package: Package, hospital: Hospital, arrived: Path, tmp_path: Path
) -> None:
    use = fit_intended_use(IntendedUseSettings(learn=False, may_lack=(("ct", "labs"),)), (), list(hospital.inputs))
    loaded = replace(package, intended=use)
    score(loaded, find_studies(loaded, arrived), tmp_path, Options(workers=0))
    table = pq.read_table(tmp_path / "scores.parquet").to_pandas()
    assert set(table["abstain_why"]) == {"inputs absent: ct, history, labs, made for studies that have more"}


def test_a_whole_hospital_is_scored_alike_by_scoring_and_pyfunc_and_none_of_training_is_outside(
    intending: Path, hospital: Hospital, tmp_path: Path
) -> None:
    loaded = load_package(intending)
    assert loaded.intended is not None
    studies = find_studies(loaded, hospital.cohort.root)
    score(loaded, studies, tmp_path, Options(workers=0))
    table = pq.read_table(tmp_path / "scores.parquet").to_pandas().set_index("study_id")
    reasons = {study.study_id: "; ".join(loaded.intended.reasons(study)) for study in studies}
    assert table["abstain_why"].to_dict() == {name: reasons[name] for name in table.index}
    assert not [one for one in table["abstain_why"] if one and not one.startswith("inputs absent")]
    given = pd.read_csv(hospital.cohort.root / "studies.csv", dtype=str, keep_default_na=False)
    online = StudyModel(loaded).predict(given, {"root": str(hospital.cohort.root)})
    online = online[online["code"] == ""].set_index("study_id").loc[table.index]
    assert online["abstain_why"].tolist() == table["abstain_why"].tolist()
    names = {one.name for one in _signature(loaded).outputs.inputs}
    assert {"abstain", "abstain_why"} <= names


def test_mlflow_lets_the_column_of_ages_through(package: Package, hospital: Hospital) -> None:
    use = fit_intended_use(IntendedUseSettings(age_column="age"), hospital.studies, list(hospital.inputs))
    given = {one.name: one.required for one in _signature(replace(package, intended=use)).inputs.inputs}
    assert given["age"] is False
    assert "age" not in {one.name for one in _signature(package).inputs.inputs}


def test_training_learns_from_the_training_studies_alone(hospital: Hospital) -> None:
    sources = Sources.open(hospital.cohort)
    everyone = read_studies(sources, hospital.target)
    assert {study.study_id for study in everyone} == {study.study_id for study in hospital.studies}
    half = [study for study in hospital.studies if int(study.row) % 2]
    use = fit_intended_use(IntendedUseSettings(), half, list(hospital.inputs))
    assert use.age_years is not None
    assert use.age_years.patients == len({study.patient_id for study in half if study.evidence.get("chest")})


def test_words_of_the_list_are_code_strings() -> None:
    IntendedUseSettings.model_validate({"images": {"chest": {"body_part": sorted(BODY_PARTS)}}})
