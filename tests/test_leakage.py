"""Each fault that a synthetic cohort can have is found by its check, through the whole intake; a clean cohort passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from rich.console import Console

from medmm.cohort.leakage import Finding
from medmm.cohort.manifest import patient_numbers
from medmm.cohort.studies import Sources
from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.cohort.telltales import Sample
from medmm.config import RunConfig, parse_config
from medmm.errors import ConfigError, DataError
from medmm.workflows.cohort import Intake, leaks, prepare, share_out, take_in
from medmm.workflows.inspect import inspect_config
from medmm.workflows.screen import Screen

SCREEN = Screen(Console(quiet=True))


def export(folder: Path, patients: int = 120, seed: int = 5, **settings: Any) -> dict[str, Any]:
    """Make a cohort, and the settings of a run that reads all of it."""
    made = {"images": ("radiograph",), "radiograph_size": 32, **settings}
    make_cohort(folder, SyntheticSettings(patients=patients, seed=seed, **made))
    person = ["sex", "antibiotic"] if settings.get("leak") == "column" else ["sex"]
    return {
        "name": "leak",
        "cohort": {"root": str(folder), "time": "time", "subgroups": ["site"]},
        "target": {"column": "diagnosis", "positive": "pneumonia"},
        "inputs": {
            "chest": {"kind": "image", "path": "dicom", "column": "study_uid", "modality": ["CR", "DX"], "size": [32, 32]},
            "labs": {"kind": "tabular", "table": "labs.csv", "layout": "long", "numeric": {"crp": {}, "wbc": {}}},
            "person": {"kind": "tabular", "table": "studies.csv", "numeric": {"age": {}}, "categorical": person},
            "history": {"kind": "text", "table": "notes.csv"},
        },
        "output": str(folder / "runs"),
    }


def taken_in(config: RunConfig) -> tuple[Sources, Intake, dict[int, str]]:
    sources = Sources.open(config.cohort)
    images = [one.open(name) for name, one in config.inputs.items() if one.kind == "image"]
    intake = take_in(config, sources, images, SCREEN)
    sides, _ = share_out(config, intake.studies, intake.left_out)
    return sources, intake, sides


def leaking(content: dict[str, Any]) -> set[tuple[str, str]]:
    config = parse_config(content, "x")
    sources, intake, sides = taken_in(config)
    return {(one.check, one.name) for one in leaks(config, sources, intake, sides) if one.leaks}


@pytest.mark.parametrize("seed", range(20))
def test_a_clean_cohort_passes_every_check(tmp_path: Path, seed: int) -> None:
    assert leaking(export(tmp_path / "cohort", seed=seed)) == set()


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"leak": "column"}, {("column", "person.antibiotic")}),
        (
            {"leak": "word"},
            {
                ("own words", "history.own_words"),
                ("one word", "history.pneumonia"),
                ("all words", "history.all_words"),
            },
        ),
        ({"leak": "marker"}, {("image corners", "chest.corners")}),
        ({"absent_by_label": {"note": 0.8}}, {("missing", "missing")}),
        ({"site_effect": 5.0, "patients": 400}, {("group", "site")}),
    ],
)
def test_each_fault_of_a_synthetic_cohort_is_found_and_ends_the_run(
    tmp_path: Path, settings: dict[str, Any], found: set[tuple[str, str]]
) -> None:
    content = export(tmp_path / "cohort", **settings)
    assert leaking(content) == found
    with pytest.raises(DataError, match=r"^the data leak: .*leakage\.waive"):
        prepare(parse_config(content, "x"), SCREEN)


@pytest.mark.parametrize("job", [prepare, inspect_config])
def test_the_labels_of_test_studies_are_never_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Callable[[RunConfig, Screen], object]
) -> None:
    looked: list[Sample] = []

    def watched(one: Sample) -> list[Finding]:
        looked.append(one)
        return []

    config = parse_config(export(tmp_path / "cohort", patients=90), "x")
    _, intake, sides = taken_in(config)
    monkeypatch.setattr("medmm.workflows.leaks.telltales", watched)
    job(config, SCREEN)
    (one,) = looked
    learning = [i for i, side in sides.items() if side != "test"]
    assert len(one.label) == len(learning) < len(sides)
    numbers = np.array(patient_numbers(intake.studies))
    tested = {int(numbers[i]) for i, side in sides.items() if side == "test"}
    assert tested
    assert not set(one.patient.tolist()) & tested


def test_times_of_recording_without_a_time_of_the_study_are_a_leak(tmp_path: Path) -> None:
    content = export(tmp_path / "cohort", patients=90)
    del content["cohort"]["time"], content["inputs"]["labs"]
    assert leaking(content) == {("no index time", "history.time")}


def radiographs(folder: Path) -> dict[str, Path]:
    """Give the file of each StudyInstanceUID."""
    paths = [path for path in (folder / "dicom").rglob("*") if path.is_file()]
    return {pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID: path for path in paths}


def sent_again(folder: Path, source: int, copy: int) -> None:
    """Put the radiograph and the note of one study in the place of another's: encoded in another way, with a word changed."""
    studies, files = pd.read_csv(folder / "studies.csv", dtype=str), radiographs(folder)
    uids = studies["study_uid"]
    image, taken = pydicom.dcmread(files[uids[source]]), pydicom.dcmread(files[uids[copy]])
    image.decompress()
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "PatientName", "PatientBirthDate"):
        setattr(image, name, getattr(taken, name))
    pixels = image.pixel_array
    image.PixelData = (pixels.max() * np.sqrt(pixels / pixels.max())).astype(pixels.dtype).tobytes()
    image.save_as(files[uids[copy]])
    notes = pd.read_csv(folder / "notes.csv", dtype=str)
    texts = notes.set_index("study_id")["text"]
    ids = studies["study_id"]
    texts[ids[copy]] = texts[ids[source]].replace("Please assess", "Please look at")
    notes["text"] = notes["study_id"].map(texts)
    notes.to_csv(folder / "notes.csv", index=False)


def test_an_image_and_a_note_that_another_patient_has_too_are_found(tmp_path: Path) -> None:
    content = export(tmp_path / "cohort", patients=90)
    content["inputs"]["chest"]["size"] = [64, 64]
    _, intake, sides = taken_in(parse_config(content, "x"))
    whole = [i for i in sides if {"chest", "history"} <= set(intake.studies[i].evidence)]
    source = next(i for i in whole if sides[i] == "train")
    copy = next(i for i in whole if sides[i] == "test")
    sent_again(tmp_path / "cohort", source, copy)
    assert leaking(content) == {("two sides", "chest.images"), ("two sides", "history.notes")}
    with pytest.raises(
        DataError, match=rf"chest\.images \(two sides: 1 pairs of studies, in rows {source + 1} and {copy + 1}\)"
    ):
        prepare(parse_config(content, "x"), SCREEN)


def test_times_of_recording_under_another_name_are_a_leak(tmp_path: Path) -> None:
    content = export(tmp_path / "cohort", patients=90)
    notes = pd.read_csv(tmp_path / "cohort" / "notes.csv", dtype=str).rename(columns={"time": "recorded_at"})
    notes.to_csv(tmp_path / "cohort" / "notes.csv", index=False)
    assert leaking(content) == set()  # all of them were written before
    notes.loc[:4, "recorded_at"] = "2099-01-01T00:00:00"
    notes.to_csv(tmp_path / "cohort" / "notes.csv", index=False)
    assert leaking(content) == {("later", "history.recorded_at")}


def test_a_waiver_that_lets_nothing_pass_is_told(tmp_path: Path) -> None:
    content = export(tmp_path / "cohort", patients=90, leak="column")
    content["leakage"] = {"waive": {"person.antibiotic": "a test", "person.antibiotics": "misspelt"}}
    with (tmp_path / "screen").open("w") as file:
        prepare(parse_config(content, "x"), Screen(Console(file=file, width=200)))
    said = (tmp_path / "screen").read_text()
    assert "leakage.waive lets nothing pass under person.antibiotics: correct the name" in said


def test_other_words_must_be_those_of_a_class(tmp_path: Path) -> None:
    content = export(tmp_path / "cohort", patients=10)
    content["leakage"] = {"words": {"pneumoni": ["lung"]}}
    with pytest.raises(ConfigError, match=r"leakage\.words: 'pneumoni' is no class of the target, which has pneumonia"):
        parse_config(content, "x")


def test_what_is_not_looked_at_of_images_joined_by_their_files_is_said(tmp_path: Path) -> None:
    content = export(tmp_path / "cohort", patients=90)
    files = radiographs(tmp_path / "cohort")
    studies = pd.read_csv(tmp_path / "cohort" / "studies.csv", dtype=str)
    known = studies["study_uid"].map({uid: str(path.relative_to(tmp_path / "cohort" / "dicom")) for uid, path in files.items()})
    studies.assign(file=known.fillna("")).to_csv(tmp_path / "cohort" / "studies.csv", index=False)
    content["inputs"]["chest"] |= {"match": "file", "column": "file", "modality": []}
    config = parse_config(content, "x")
    sources, intake, sides = taken_in(config)
    found = {one.name: one for one in leaks(config, sources, intake, sides)}
    assert [found[name].verdict(config.leakage) for name in ("chest.size", "chest.scanner")] == ["not judged"] * 2
    assert found["chest.corners"].judged


def test_notes_in_files_are_checked_like_those_in_a_table(tmp_path: Path) -> None:
    content = export(tmp_path / "cohort", patients=90, leak="word")
    of_table = leaking(content)
    (tmp_path / "cohort" / "notes").mkdir()
    for study, text in pd.read_csv(tmp_path / "cohort" / "notes.csv", dtype=str)[["study_id", "text"]].itertuples(index=False):
        (tmp_path / "cohort" / "notes" / f"{study}.txt").write_text(text)
    content["inputs"]["history"] = {"kind": "text", "folder": "notes"}
    assert leaking(content) == of_table
    assert {"history.own_words", "history.pneumonia", "history.all_words"} <= {name for _, name in of_table}
    config = parse_config(content, "x")
    sources, intake, sides = taken_in(config)
    (one,) = [found for found in leaks(config, sources, intake, sides) if found.check == "no index time"]
    assert one.verdict(config.leakage) == "not judged"
