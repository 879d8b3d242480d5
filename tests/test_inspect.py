"""What `medmm inspect` says of an export: counts, the fate of every series, and no identifier."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom.datadict import dictionary_VR
from pydicom.uid import generate_uid
from rich.console import Console
from test_readers_dicom import FILM, save, save_stack

from medmm.config import RunConfig, parse_config
from medmm.readers.dicom_keywords import HEADER_KEYWORDS
from medmm.workflows.inspect import inspect_config, inspect_folder, show
from medmm.workflows.screen import Screen
from medmm.workflows.sections import Section

SCREEN = Screen(Console(quiet=True))
UIDS = [generate_uid() for _ in range(5)]
SECRET = "MUELLER"
HEADER = {
    "AccessionNumber": SECRET,
    "SeriesDescription": SECRET,
    "BodyPartExamined": SECRET,
    "Manufacturer": SECRET,
    "ConvolutionKernel": SECRET,
    "ContrastBolusAgent": SECRET,
    "ImageType": ["ORIGINAL", "PRIMARY", SECRET],
}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Five studies: two CTs and a film; one CT with a gap; a thick CT alone; another patient's CT; nothing."""
    dicom = tmp_path / "export" / "dicom"
    dicom.mkdir(parents=True)
    rows = [f"{SECRET}{n},{SECRET}-S{n},{uid},{'a' if n % 2 else 'b'}" for n, uid in enumerate(UIDS, start=1)]
    (tmp_path / "export" / "studies.csv").write_text("\n".join(["patient_id,study_id,uid,diagnosis", *rows]) + "\n")
    ct(dicom / f"{SECRET}-1a", 1, [0, 2, 4], SeriesNumber=1)
    ct(dicom / f"{SECRET}-1b", 1, [0, 2], SeriesNumber=2)
    of_first = {"StudyInstanceUID": UIDS[0], "PatientID": f"{SECRET}1", "SeriesInstanceUID": generate_uid()}
    save(dicom / f"{SECRET}-1c", SeriesNumber=3, **{**FILM, **HEADER, **of_first})
    ct(dicom / f"{SECRET}-2", 2, [0, 2, 6])
    ct(dicom / f"{SECRET}-3", 3, [0, 2], SliceThickness=5)
    ct(dicom / f"{SECRET}-4", 4, [0, 2], PatientID="p9")
    return tmp_path / "export"


def ct(folder: Path, study: int, heights: list[float], **changes: Any) -> None:
    own = {"StudyInstanceUID": UIDS[study - 1], "PatientID": f"{SECRET}{study}", "SeriesInstanceUID": generate_uid()}
    save_stack(folder, heights, **{**HEADER, **own, **changes})


def config(export: Path, **image: Any) -> RunConfig:
    given = {"kind": "image", "path": "dicom", "column": "uid", "modality": ["CT"], "size": [16, 16, 16], **image}
    content = {
        "name": "x",
        "cohort": {"root": str(export)},
        "target": {"column": "diagnosis", "positive": "a"},
        "inputs": {"ct": given},
    }
    return parse_config(content, "x.yaml")


def test_the_fate_of_every_series_is_told(export: Path) -> None:
    sections = inspect_config(config(export, series={"thickness_mm": [None, 3]}), SCREEN).sections
    rows = sections["series"].plain()
    told = [(row["study"], row["series"], row["taken"], row["why_not"], row["code"]) for row in rows]
    assert told == [
        (1, 1, True, None, None),
        (1, 2, False, "fewer slices than the series taken", None),
        (1, 3, False, "another modality: DX, wanted CT", None),
        (2, 1, True, None, "E_GAP"),
        (3, 1, False, "slice thickness: 5 mm, wanted at most 3 mm", None),
        (4, 1, True, None, None),
    ]
    assert sections["choice"].rows == [
        ("ct", "taken", 1, 1),
        ("ct", "taken, but rejected: E_GAP", 1, 1),
        ("ct", "taken, but rejected: E_MIXED_PATIENTS", 1, 1),
        ("ct", "left: another modality", 1, 1),
        ("ct", "left: fewer slices than the series taken", 1, 1),
        ("ct", "left: slice thickness", 1, 1),
    ]
    assert sections["absent"].rows == [("ct", "no series", 1), ("ct", "no series passes the rules", 1)]
    assert sections["inputs"].rows == [("ct", "image", 1, 2, 2)]


def test_images_joined_by_their_files_are_not_said_to_lack_series(export: Path) -> None:
    sections = inspect_config(config(export, match="file", column="study_id", modality=[]), SCREEN).sections
    assert not sections["choice"].rows
    assert not sections["absent"].rows


def test_a_folder_is_described_series_by_series(export: Path) -> None:
    sections = inspect_folder(export, SCREEN).sections
    counts = {"patients": 4, "studies": 4, "series": 6, "DICOM images": 13, "other images": 0, "DICOM waveforms": 0}
    assert sections["folder"].plain() == [counts]
    assert sections["series"].rows == [
        ("CT", "other", "Explicit VR Little Endian", 5),
        ("DX", "other", "Explicit VR Little Endian", 1),
    ]
    assert sections["problems"].rows == [("E_GAP", 1)]
    assert sections["left"].rows == [("E_NOT_AN_IMAGE", 1)]
    assert [row["slices"] for row in sections["each_series"].plain()] == [3, 2, 1, 3, 2, 2]


@pytest.mark.parametrize("what", ["config", "folder"])
def test_no_identifier_is_in_the_answer_nor_on_the_screen(export: Path, what: str) -> None:
    console = Console(record=True, width=200, quiet=False, file=(export.parent / "screen").open("w"))
    screen = Screen(console)
    rules = {"series": {"body_part": ["CHEST"]}}
    answers = [inspect_folder(export, screen).sections] if what == "folder" else []
    answers += [inspect_config(config(export, **more), screen).sections for more in ({}, rules)] if what == "config" else []
    for sections in answers:
        show(sections, screen)
        text = json.dumps({name: section.plain() for name, section in sections.items()})
        assert SECRET not in text
        assert not any(uid in text for uid in UIDS)
    shown = console.export_text()
    console.file.close()
    assert len(shown) > 300
    assert SECRET not in shown
    assert not any(uid in shown for uid in UIDS)


TEXTS = sorted({key for key in HEADER_KEYWORDS if dictionary_VR(key) in {"CS", "LO", "SH"}} - {"SpecificCharacterSet"})


@pytest.mark.parametrize("keyword", TEXTS)
def test_no_text_of_any_attribute_is_in_the_answer(tmp_path: Path, keyword: str) -> None:
    save_stack(tmp_path / "a", [0, 2], **{keyword: SECRET})
    save(tmp_path / "b", SeriesInstanceUID=generate_uid(), **{**FILM, keyword: SECRET})
    answer = inspect_folder(tmp_path, SCREEN)
    text = json.dumps({name: section.plain() for name, section in answer.sections.items()})
    assert SECRET not in text
    assert not any(SECRET in f"{subject.title} {subject.note} {subject.problem}" for subject in answer.subjects)


def test_a_cell_is_no_markup(tmp_path: Path) -> None:
    console = Console(record=True, file=(tmp_path / "screen").open("w"))
    show({"a": Section("A", ("b",), [("wanted [red]x",)])}, Screen(console))
    console.file.close()
    assert "wanted [red]x" in console.export_text()


def test_cells_that_are_not_as_the_run_file_says_are_counted_and_listed_by_row(export: Path) -> None:
    rows = [f"{SECRET}{n},{SECRET}-S{n},{value}" for n, value in enumerate(("12", "-3", "much", "", "9999"), start=1)]
    (export / "labs.csv").write_text("\n".join(["patient_id,study_id,crp", *rows]) + "\n")
    given = config(export).model_dump(mode="json")
    given["inputs"]["labs"] = {"kind": "tabular", "table": "labs.csv", "numeric": {"crp": {"range": [0, 600]}}}
    sections = inspect_config(parse_config(given, "x"), SCREEN).sections
    assert list(sections["violations"].rows) == [("labs", "crp", "E_RANGE", 2), ("labs", "crp", "E_TYPE", 1)]
    assert [(row[1], row[3]) for row in sections["each_violation"].rows] == [(2, "E_RANGE"), (3, "E_TYPE"), (5, "E_RANGE")]
    assert all(row[5] for row in sections["each_violation"].rows)
    assert SECRET not in json.dumps({name: section.plain() for name, section in sections.items()})


def test_records_that_were_left_out_on_purpose_are_counted(export: Path) -> None:
    (export / "fhir").mkdir()
    patient = {"resourceType": "Patient", "id": f"{SECRET}1"}
    observation = {"resourceType": "Observation", "id": "o1", "subject": {"reference": f"Patient/{SECRET}1"}}
    observation |= {"status": "entered-in-error", "code": {"coding": [{"system": "http://loinc.org", "code": "1988-5"}]}}
    (export / "fhir" / "all.ndjson").write_text("".join(json.dumps(one) + "\n" for one in (patient, observation)))
    given = config(export).model_dump(mode="json")
    labs = {"kind": "tabular", "table": "fhir/facts", "layout": "long", "numeric": {"1988-5": {}}}
    given["inputs"]["labs"] = labs
    sections = inspect_config(parse_config(given, "x"), SCREEN).sections
    assert [(row[0], row[2]) for row in sections["skipped"].rows] == [("fhir", 1)]


def test_a_terminal_shows_the_first_rows_and_how_many_more_there_are(tmp_path: Path) -> None:
    section = Section("A", ("b",), [(f"row {number}",) for number in range(9)], most=5)
    with (tmp_path / "screen").open("w") as file:
        show({"a": section, "c": Section("C", ("d",), [("whole",)])}, Screen(Console(file=file, width=100)))
    said = (tmp_path / "screen").read_text()
    assert "row 4" in said
    assert "row 5" not in said
    assert "... and 4 more, which --json lists" in said
    assert said.count("more") == 1
    assert len(section.plain()) == 9
