"""Structured reports of a scoring: valid, of the right images and patient, the same each time, unmoved by hostile headers."""

import hashlib
import json
import logging
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from hostile import HOSTILE
from pydicom.dataset import Dataset
from test_hostile_tags import KEYWORDS, MARK, TEXTS, write

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.cohort.target import TargetSettings
from medmm.errors import ConfigError
from medmm.evaluation.answers import answer_cells
from medmm.package import Package
from medmm.scoring.engine import Options
from medmm.scoring.run import Scorer
from medmm.scoring.sinks import REPORTS
from medmm.scoring.sinks.dicom_codes import own_concept, uid_of, unit_of
from medmm.scoring.sinks.dicom_object import content_of, writer_of_dicom
from medmm.scoring.sinks.dicom_source import (
    NO_PATIENT,
    NO_STUDY,
    NOT_DICOM,
    OTHERS,
    Reference,
    Source,
    fit_name,
    one_line,
    read_source,
)
from medmm.scoring.sinks.dicom_sr import FOLDER, structured_report
from medmm.scoring.sinks.dicom_sr_content import DISCLAIMER
from medmm.scoring.studies import find_studies
from medmm.types import Evidence, Study

SMALL = {
    "patients": 8,
    "first_patient": 100,
    "radiograph_size": 32,
    "ct_size": 32,
    "ct_slices": 5,
    "seed": 1,
    "unlabelled": True,
}
UIDS = ("1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.1", "1.2.3.4.5")
SOURCE = Source(
    "1.2.3",
    "DX",
    {"PatientName": "Ünal^Jürgen", "PatientID": "007", "PatientBirthDate": "19500131", "PatientSex": "M"},
    (Reference(*UIDS),),
)
DECIDED = ("binary", "multilabel", "ordinal")
WHEN = "2026-01-31T12:00:00+00:00"

TARGETS = {
    "binary": TargetSettings(column="diagnosis", positive="pneumonia"),
    "multiclass": TargetSettings(column="diagnosis", task="multiclass", classes=("none", "benign", "malign")),
    "multilabel": TargetSettings(column="diagnosis", task="multilabel", classes=("nodule", "effusion")),
    "ordinal": TargetSettings(column="grade", task="ordinal", classes=("I", "II", "III")),
    "regression": TargetSettings(column="fraction", task="regression", unit="%"),
    "survival": TargetSettings(task="survival", time="days", event="death", unit="d", horizons=(365.0, 730.0)),
}
ANSWERS = {
    "binary": [0.8125],
    "multiclass": [0.2, 0.5, 0.3],
    "multilabel": [0.7, 0.1],
    "ordinal": [0.9, 0.3],
    "regression": [-54.123456789012345],
    "survival": [0.1, 1 / 3],
}


@pytest.fixture(scope="module")
def incoming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New studies: one lacks a slice, and is rejected; one has no image."""
    root = tmp_path_factory.mktemp("incoming")
    make_cohort(root, SyntheticSettings.model_validate({**SMALL, "broken": 1}))
    table = pd.read_csv(root / "studies.csv", dtype=str, keep_default_na=False)
    patient, study = table.loc[0, ["patient_id", "study_id"]]
    with (root / "studies.csv").open("a") as file:
        file.write(f"{patient},{study}-b,1.2.3,{table.loc[0, 'time']},A,F,50\n")
    return root


def reports(out: Path) -> list[Path]:
    return sorted((out / FOLDER).iterdir())


def scored_into(package: Package, incoming: Path, out: Path) -> list[str]:
    told: list[str] = []
    with Scorer(package, out, Options(workers=0), also=["dicom-sr"], notice=told.append) as scorer:
        scorer.round(find_studies(package, incoming))
        scorer.export()
    return told


@pytest.fixture(scope="module")
def out(loaded: Package, incoming: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    (out / "told.json").write_text(json.dumps(scored_into(loaded, incoming, out)))
    return out


def images(folder: Path) -> dict[str, list[Dataset]]:
    """Study Instance UID -> headers of its images."""
    found: dict[str, list[Dataset]] = {}
    for file in (folder / "dicom").rglob("*"):
        if file.is_file():
            header = pydicom.dcmread(file, stop_before_pixels=True)
            found.setdefault(header.StudyInstanceUID, []).append(header)
    return found


def items(made: Dataset, kind: str | None = None) -> Iterator[Dataset]:
    """Give the content items, at any depth, of one value type."""
    for item in made.get("ContentSequence", ()):
        if kind in {None, item.ValueType}:
            yield item
        yield from items(item, kind)


def meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def validated(path: Path) -> None:
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed: apt install dicom3tools")
    done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False, errors="replace")
    assert not [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line], done.stderr


def test_each_scored_study_with_dicom_images_has_one_report_of_its_images(out: Path, incoming: Path, loaded: Package) -> None:
    scores = pd.read_parquet(out / "scores.parquet")
    found = images(incoming)
    studies = {study.study_id: study for study in find_studies(loaded, incoming)}
    made = {}
    for path in reports(out):
        read = pydicom.dcmread(path)
        assert path.stem == read.SOPInstanceUID
        made[read.StudyInstanceUID] = read
    expected = {}
    for name in scores["study_id"]:
        files = [file for one in studies[name].evidence.values() for file in one.files]
        if files:
            expected[pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID] = name
    assert made.keys() == expected.keys()
    assert len(scores) > len(made) > 5
    several = 0
    for uid, read in made.items():
        (evidence,) = read.CurrentRequestedProcedureEvidenceSequence
        referenced = {
            (series.SeriesInstanceUID, one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID)
            for series in evidence.ReferencedSeriesSequence
            for one in series.ReferencedSOPSequence
        }
        used = [file for one in studies[expected[uid]].evidence.values() for file in one.files]
        headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in used]
        assert referenced == {(one.SeriesInstanceUID, one.SOPClassUID, one.SOPInstanceUID) for one in headers}
        assert {one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in items(read, "IMAGE")} == {
            uid for _, _, uid in referenced
        }
        several += len(referenced) > 1
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
            assert read[keyword].value == found[uid][0][keyword].value, keyword
        assert read.AccessionNumber == found[uid][0].AccessionNumber
        assert read.SeriesInstanceUID not in {one.SeriesInstanceUID for one in found[uid]}
    assert several


def test_a_report_says_what_the_row_says(out: Path, loaded: Package) -> None:
    from highdicom.sr import srread

    scores = pd.read_parquet(out / "scores.parquet").set_index("study_id")
    for path in reports(out):
        read = srread(path)
        row = scores.loc[read.AccessionNumber]
        (group,) = read.content.get_image_measurement_groups()
        (number,) = group.get_measurements()
        assert number.value == row["probability_pneumonia"]
        assert (number.name.value, number.unit.value) == ("122157", "1")
        assert group.finding_type.meaning == "pneumonia"
        said = {item.name.meaning: item.value.meaning for item in group.get_qualitative_evaluations()}
        assert said == {"Said by the model, at its threshold": "Yes" if row["decision_pneumonia"] else "No"}
        (device,) = read.content.get_observer_contexts()
        attributes = device.observer_identifying_attributes
        assert (attributes.manufacturer_name, attributes.model_name, attributes.serial_number) == (
            "medmm",
            "chest",
            loaded.digest,
        )
        assert attributes.uid == uid_of("device", loaded.digest)
        assert pd.Timestamp(f"{read.ContentDate}T{read.ContentTime}", tz=datetime.now().astimezone().tzinfo) == pd.Timestamp(
            row["scored_at"]
        ).floor("s")
        texts = {meaning(item): item.TextValue for item in items(read, "TEXT")}
        assert texts["Disclaimer"] == DISCLAIMER
        assert "not a diagnosis" in DISCLAIMER
        assert texts["Inputs of the model that the study has"] == ", ".join(row["inputs"])
        assert texts["Algorithm Version"] == loaded.digest
        assert "research use only" in read.SeriesDescription
        assert (read.VerificationFlag, read.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")


def test_every_report_of_a_scoring_is_valid(out: Path) -> None:
    for path in reports(out):
        validated(path)


def thresholds_of(task: str) -> tuple[float, ...]:
    return (0.4,) * len(TARGETS[task].names) if task in DECIDED else ()


def row_of(task: str, **more: object) -> dict[str, object]:
    target = TARGETS[task]
    cells = answer_cells(target, np.array([ANSWERS[task]]), thresholds_of(task))
    row: dict[str, object] = {name: one[0] for name, one in cells.items()}
    return {"patient_id": "P", "study_id": "S", **row, "inputs": ["chest"], "computed_in": "fp32", "scored_at": WHEN, **more}


def made_of(package: Package, task: str, source: Source = SOURCE, **more: object) -> Dataset:
    target = TARGETS[task]
    with writer_of_dicom():
        made = structured_report(source, row_of(task, **more), replace(package, target=target, thresholds=thresholds_of(task)))
        return pydicom.dcmread(__import__("io").BytesIO(content_of(made)))


@pytest.mark.parametrize("task", TARGETS)
def test_each_task_gives_a_valid_report_with_its_numbers_exact(loaded: Package, task: str, tmp_path: Path) -> None:
    made = made_of(loaded, task, abstain=True, abstain_why="age 3 years, made for 18 or more; novel")
    numbers = [item.MeasuredValueSequence[0].FloatingPointValue for item in items(made, "NUM")]
    assert numbers == ANSWERS[task]
    findings = [item.ConceptCodeSequence[0].CodeMeaning for item in items(made, "CODE") if meaning(item) == "Finding"]
    assert findings == list(TARGETS[task].names)
    reasons = [item.TextValue for item in items(made, "TEXT") if meaning(item) == "Reason to abstain"]
    assert reasons == ["age 3 years, made for 18 or more", "novel"]
    coded = {meaning(item): item.ConceptCodeSequence[0].CodeMeaning for item in items(made, "CODE")}
    assert coded["Abstains: no answer should be relied on"] == "Yes"
    if task == "ordinal":
        assert coded["Grade that the model says"] == "II"
    units = {item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue for item in items(made, "NUM")}
    assert units == {"%" if task == "regression" else "1"}
    made.save_as(tmp_path / "report.dcm")
    validated(tmp_path / "report.dcm")


def test_conformal_sets_and_intervals_are_told(loaded: Package) -> None:
    made = made_of(loaded, "binary", set_has_pneumonia=True, set_not_pneumonia=False)
    coded = {item.ConceptNameCodeSequence[0].CodeValue: item.ConceptCodeSequence[0].CodeMeaning for item in items(made, "CODE")}
    assert (coded["POSSIBLE"], coded["OTHER_POSSIBLE"]) == ("Yes", "No")
    made = made_of(loaded, "multiclass", set_none=True, set_benign=True, set_malign=False)
    told = [item.ConceptCodeSequence[0].CodeMeaning for item in items(made, "CODE") if "ruled out" in meaning(item)]
    assert told == ["Yes", "Yes", "No"]
    made = made_of(loaded, "regression", set_low=-60.5, set_high=None)
    ends = {meaning(item): item.MeasuredValueSequence[0].FloatingPointValue for item in items(made, "NUM")}
    assert ends == {"fraction": ANSWERS["regression"][0], "Lower end of the conformal interval": -60.5}


def test_what_rules_say_stands_in_the_report(loaded: Package) -> None:
    made = made_of(loaded, "binary", alerts=["call: troponin high"], flags=["check the date"], rules=["r1: penalty"])
    texts = {meaning(item): item.TextValue for item in items(made, "TEXT")}
    assert texts["Alert of a clinical rule"] == "call: troponin high"
    assert texts["Flag of a clinical rule"] == "check the date"
    assert texts["Clinical rule that fired"] == "r1: penalty"


@pytest.mark.parametrize(("offset", "day", "clock"), [("+0530", "20260131", "173000"), ("-1200", "20260131", "000000")])
def test_the_time_is_told_by_the_clock_of_the_images(loaded: Package, offset: str, day: str, clock: str) -> None:
    source = replace(SOURCE, header={**SOURCE.header, "TimezoneOffsetFromUTC": offset})
    made = made_of(loaded, "binary", source)
    assert (made.TimezoneOffsetFromUTC, made.ContentDate, made.ContentTime) == (offset, day, clock)


def test_the_private_scheme_is_declared(loaded: Package) -> None:
    made = made_of(loaded, "binary")
    declared = {one.CodingSchemeDesignator for one in made.CodingSchemeIdentificationSequence}
    used = {element.value for element in made.iterall() if element.keyword == "CodingSchemeDesignator"}
    assert {name for name in used if name.startswith("99")} == declared == {"99MEDMM"}


def test_the_same_scoring_again_gives_the_same_bytes_and_a_new_one_the_same_uids(
    out: Path, loaded: Package, incoming: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(out, again)
    shutil.rmtree(again / FOLDER)
    scored_into(loaded, incoming, again)
    assert {path.name: path.read_bytes() for path in reports(out)} == {path.name: path.read_bytes() for path in reports(again)}
    scored_into(loaded, incoming, tmp_path / "new")
    assert [path.name for path in reports(tmp_path / "new")] == [path.name for path in reports(out)]
    for one, other in zip(reports(out), reports(tmp_path / "new"), strict=True):
        first, second = pydicom.dcmread(one), pydicom.dcmread(other)
        for made in (first, second):
            for name in ("Content", "Series", "InstanceCreation"):
                del made[f"{name}Date"], made[f"{name}Time"]
            del made.ContributingEquipmentSequence[0].ContributionDateTime
        assert first == second


def test_another_answer_or_model_is_another_report_and_another_series_where_the_model_differs(loaded: Package) -> None:
    one, same, other = made_of(loaded, "binary"), made_of(loaded, "binary"), made_of(loaded, "binary", computed_in="bf16")
    assert one.SOPInstanceUID == same.SOPInstanceUID != other.SOPInstanceUID
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    model = made_of(replace(loaded, digest=hashlib.sha256(b"another").hexdigest()), "binary")
    assert one.SOPInstanceUID != model.SOPInstanceUID
    assert one.SeriesInstanceUID != model.SeriesInstanceUID


def test_a_report_that_stands_is_not_made_anew(out: Path, loaded: Package, incoming: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(out, again)
    marked = reports(again)[0]
    marked.write_bytes(marked.read_bytes() + b"\0\0")
    scored_into(loaded, incoming, again)
    assert (again / FOLDER / marked.name).read_bytes().endswith(b"\0\0")


def test_it_is_told_how_many_studies_have_no_report_and_why(out: Path) -> None:
    told = json.loads((out / "told.json").read_text())
    count, studies = len(reports(out)), len(pd.read_parquet(out / "scores.parquet"))
    assert told[-1] == f"{count} DICOM reports: {out / FOLDER}; 2 studies have none ({NOT_DICOM}: 2)"
    assert count + 2 == studies


def test_a_study_that_this_scoring_did_not_look_at_has_no_report_but_where_it_is_remembered(
    out: Path, loaded: Package, incoming: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(out, again)
    told: list[str] = []
    with Scorer(loaded, again, Options(workers=0), also=["dicom-sr"], notice=told.append) as scorer:
        scorer.export()
    assert len(reports(again)) == len(reports(out))
    shutil.rmtree(again / ".dicom")
    with Scorer(loaded, again, Options(workers=0), also=["dicom-sr"], notice=told.append) as scorer:
        scorer.export()
    assert reports(again) == []
    assert "an earlier scoring" in told[-1]


def test_what_is_remembered_of_patients_is_for_its_owner_alone(out: Path) -> None:
    kept = list((out / ".dicom").iterdir())
    assert (out / ".dicom").stat().st_mode & 0o777 == 0o700
    assert kept
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}


def study_of(*files: Path) -> Study:
    return Study(7, "P", "S", evidence={"chest": Evidence(files=files)})


def test_hostile_headers_break_no_report_and_tell_nobody(
    loaded: Package, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.clear()
    made = 0
    with caplog.at_level(logging.DEBUG), writer_of_dicom():
        for name, text in TEXTS.items():
            for keyword in (*KEYWORDS, "StudyDescription", "ReferringPhysicianName", "PatientBirthDate", "PatientSex"):
                path = tmp_path / f"{name}-{keyword}"
                write(path, text.ljust(10), keyword)
                source = read_source(study_of(path))
                if isinstance(source, str):
                    assert keyword in {"PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}, (name, keyword)
                    assert MARK not in source
                    continue
                report = tmp_path / f"{name}-{keyword}.dcm"
                report.write_bytes(content_of(structured_report(source, row_of("binary"), loaded)))
                read = pydicom.dcmread(report)
                assert read.StudyInstanceUID == source.study
                made += 1
    assert made > 100
    for line in (*caplog.messages, *capfd.readouterr()):
        assert MARK not in line
    assert not [record for record in caplog.records if record.name.startswith("highdicom")]  # it would tell UIDs
    validated(tmp_path / "latin-PatientName.dcm")
    validated(tmp_path / "lines-PatientName.dcm")
    validated(tmp_path / "zero-PatientBirthDate.dcm")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_in_names_and_answers_stay_text(loaded: Package, text: str, tmp_path: Path) -> None:
    source = replace(SOURCE, header={**SOURCE.header, "PatientName": fit_name(text), "StudyDescription": one_line(text, 64)})
    made = made_of(replace(loaded, name=text), "binary", source, abstain=True, abstain_why=text, alerts=[text], inputs=[text])
    for element in made.iterall():
        if element.VR in {"LO", "SH", "PN"}:
            for value in element.value if element.VM > 1 else [element.value]:
                assert len(str(value)) <= 64
                assert not set(str(value)) & set("\0\r\n\x1b\x07")
    made.save_as(tmp_path / "report.dcm")
    validated(tmp_path / "report.dcm")


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Ünal^Jürgen"),
        ("ISO_IR 192", "Nguyễn^Thị=阮^氏"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_of_any_script_survive(loaded: Package, charset: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    write(path, b"7777777777", "StudyID")
    image = pydicom.dcmread(path)
    image.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
    image.PatientName = name
    image.save_as(path)
    source = read_source(study_of(path))
    assert isinstance(source, Source)
    made = made_of(loaded, "binary", source)
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert str(made.PatientName) == name


def test_texts_that_are_too_long_are_cut_but_identifiers_never(tmp_path: Path, loaded: Package) -> None:
    write(tmp_path / "a", b"D" * 80, "StudyDescription", "PatientName")
    write(tmp_path / "b", b"7" * 40, "AccessionNumber", "StudyID")
    write(tmp_path / "c", b"7" * 80, "PatientID")
    source = read_source(study_of(tmp_path / "a"))
    assert isinstance(source, Source)
    assert source.header["StudyDescription"] == source.header["PatientName"] == "D" * 64
    source = read_source(study_of(tmp_path / "b"))
    assert isinstance(source, Source)
    assert source.header["AccessionNumber"] == source.header["StudyID"] == ""
    assert read_source(study_of(tmp_path / "c")) == NO_PATIENT


def test_a_study_that_cannot_have_a_report_says_why(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no image")
    assert read_source(study_of(tmp_path / "note.txt")) == NOT_DICOM
    assert read_source(study_of(tmp_path / "gone")) == NOT_DICOM
    assert read_source(Study(1, "P", "S", evidence={"labs": Evidence(cells={"crp": "1"})})) == NOT_DICOM
    write(tmp_path / "a", b"7777777777", "StudyID")
    image = pydicom.dcmread(tmp_path / "a")
    del image.StudyInstanceUID
    image.save_as(tmp_path / "b")
    assert read_source(study_of(tmp_path / "b")) == NO_STUDY
    image = pydicom.dcmread(tmp_path / "a")
    image.PatientID = "another"
    image.save_as(tmp_path / "c")
    assert read_source(study_of(tmp_path / "a", tmp_path / "c")) == OTHERS


def test_images_of_an_earlier_study_are_other_evidence(tmp_path: Path, loaded: Package) -> None:
    headers = []
    for name, day in (("old", "20200101"), ("new", "20240101"), ("newer", "20230101")):
        write(tmp_path / name, b"7777777777", "StudyID")
        image = pydicom.dcmread(tmp_path / name)
        image.StudyDate = day
        image.save_as(tmp_path / name)
        headers.append(image)
    source = read_source(study_of(*(tmp_path / name for name in ("old", "new", "newer"))))
    assert isinstance(source, Source)
    assert source.study == headers[1].StudyInstanceUID
    made = made_of(loaded, "binary", source)
    assert made.StudyDate == "20240101"
    assert [one.StudyInstanceUID for one in made.CurrentRequestedProcedureEvidenceSequence] == [source.study]
    others = {one.StudyInstanceUID for one in made.PertinentOtherEvidenceSequence}
    assert others == {headers[0].StudyInstanceUID, headers[2].StudyInstanceUID}
    named = replace(study_of(*(tmp_path / name for name in ("old", "new"))), study_id=str(headers[0].StudyInstanceUID))
    source = read_source(named)
    assert isinstance(source, Source)
    assert source.study == headers[0].StudyInstanceUID


@pytest.mark.parametrize(
    ("text", "code"),
    [("%", "%"), ("mg/L", "mg/L"), ("", "1"), ("points", "{points}"), ("Grad {C}", "{Grad_C_}"), ("µg/L", "{_g/L}")],
)
def test_units_are_ucum(text: str, code: str) -> None:
    assert unit_of(text).value == code


def test_classes_of_other_names_have_other_codes() -> None:
    names = ["pneumonia", "Pneumonia", "pneumonia ", "p" * 100, "p" * 101]
    assert len({own_concept(name).value for name in names}) == len(names)
    assert all(len(own_concept(name).value) <= 16 for name in names)


def test_without_highdicom_the_repair_is_told_before_any_study_is_scored(
    loaded: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(ConfigError, match=r"pip install medmm\[clinic\]"):
        Scorer(loaded, tmp_path, also=["dicom-sr"])


def test_a_refused_scoring_leaves_the_reports_of_the_last_one(out: Path, loaded: Package, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(out, again)
    with pytest.raises(RuntimeError), REPORTS.pick("dicom-sr").open(again, loaded):
        raise RuntimeError
    assert [path.name for path in reports(again)] == [path.name for path in reports(out)]
