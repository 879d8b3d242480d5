"""What `medmm inspect` says of signals: what they are, which would be refused and why, a sketch of each, and no identifier."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from signals import csv_table, ecg, sound

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.config import RunConfig, parse_config
from medmm.errors import Code
from medmm.preview.sketch import sketch
from medmm.preview.thumbnails import thumbnails
from medmm.preview.worklist_entries import Entry, Line
from medmm.preview.worklist_page import Head, worklist_page
from medmm.scoring.sinks.worklist import _wanted as wanted_of
from medmm.types import Evidence, Study
from medmm.workflows.inspect import Answer, inspect_config, inspect_folder, show
from medmm.workflows.screen import Screen
from medmm.workflows.thumbnails import write_thumbnails

SECRET = "MUELLER"
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def recordings() -> dict[str, bytes]:
    """Give files of six studies; the last two have none."""
    rng = np.random.default_rng(0)
    twelve = np.stack([ecg(2000, 500, rng) for _ in LEADS])
    names = ",".join(f"{lead} [mV]" for lead in LEADS)
    flat = twelve.copy()
    flat[4] = 0
    return {
        "1": csv_table(twelve, 500, names),
        "2": csv_table(np.tile(twelve, 2), 500, names),
        "3": csv_table(np.vstack([twelve[:2], twelve[:1]]), 250, f"I [mV],II [mV],{SECRET} [mV]"),
        "4": csv_table(flat, 500, names),
        "5": csv_table(twelve[:, :500], 500, names),
        "6": SECRET.encode(),
        "7": sound("WAV", "PCM_16"),
    }


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    (folder / "ecg").mkdir()
    for number, content in recordings().items():
        (folder / "ecg" / f"{SECRET}{number}").write_bytes(content)
    rows = [f"{SECRET}{number},{SECRET}{number},{'a' if number % 2 else 'b'}" for number in range(1, 9)]
    (folder / "studies.csv").write_text("\n".join(["patient_id,study_id,diagnosis", *rows]) + "\n")
    return folder


def config(export: Path) -> RunConfig:
    signal = {"kind": "signal", "path": "ecg", "leads": ["I", "II", "aVL"], "rate_hz": 250, "seconds": 2}
    content = {
        "name": "x",
        "cohort": {"root": str(export)},
        "target": {"column": "diagnosis", "positive": "a"},
        "inputs": {"heart": signal},
    }
    return parse_config(content, "x.yaml")


@pytest.fixture(scope="module")
def answer(export: Path) -> Answer:
    return inspect_config(config(export), Screen(Console(quiet=True)))


def test_recordings_are_counted_by_what_they_are(answer: Answer) -> None:
    assert answer.sections["inputs"].rows == [("heart", "signal", 7, 1, 0)]
    assert answer.sections["signals"].plain() == [
        {
            "input": "heart",
            "format": "table",
            "leads": "the 12 leads",
            "rate_hz": 500,
            "unit": "mV",
            "seconds": "1 to 8",
            "recordings": 4,
        },
        {
            "input": "heart",
            "format": "table",
            "leads": "I, II, 1 other",
            "rate_hz": 250,
            "unit": "mV",
            "seconds": "8",
            "recordings": 1,
        },
        {
            "input": "heart",
            "format": "sound",
            "leads": "1 channel",
            "rate_hz": 4000,
            "unit": "1",
            "seconds": "0.75",
            "recordings": 1,
        },
    ]


def test_what_the_run_would_refuse_is_counted_by_why(answer: Answer) -> None:
    refused = answer.sections["signals_refused"].rows
    assert set(refused) == {
        ("heart", Code.LEADS.value, 2),
        ("heart", Code.FLAT.value, 1),
        ("heart", Code.SHORT.value, 1),
        ("heart", Code.NOT_A_SIGNAL.value, 1),
    }
    each = answer.sections["each_signal"].plain()
    assert [row["study"] for row in each if row["why_not"] is None] == [1, 2]


def test_no_identifier_is_in_the_answer_on_the_screen_or_on_the_sheet(answer: Answer, tmp_path: Path) -> None:
    console = Console(record=True, width=200, file=StringIO())
    show(answer.sections, Screen(console))
    write_thumbnails("Run", answer.subjects, 200, tmp_path / "sheet.html", Screen(Console(quiet=True)))
    sheet = (tmp_path / "sheet.html").read_text()
    shown = console.export_text()
    for text in (json.dumps({name: one.plain() for name, one in answer.sections.items()}), shown, sheet):
        assert SECRET not in text
    assert "Signals that would be rejected" in shown
    assert sheet.count("<article") == 7
    assert sheet.count('class="sketch"') == 6
    assert "7 images and signals: 6 shown, 1 rejected." in sheet
    assert sheet.count("data:image/svg+xml;base64,") == 6


def test_a_sketch_names_leads_of_closed_lists_alone(export: Path) -> None:
    drawn = sketch([export / "ecg" / f"{SECRET}3"])
    assert SECRET not in drawn.svg
    assert ">lead 3<" in drawn.svg
    assert drawn.facts == ("I, II, 1 other", "250 Hz", "8 s")
    assert len(sketch([export / "ecg" / f"{SECRET}1"]).svg) < 40_000


def test_a_worklist_shows_a_sketch_of_a_signal_and_none_of_a_bad_one(export: Path) -> None:
    inputs = dict(config(export).inputs)
    shown = []
    for number in (3, 6):
        study = Study(1, "p", "s", evidence={"heart": Evidence(files=(export / "ecg" / f"{SECRET}{number}",))})
        wanted, more = wanted_of(study, inputs)
        assert [one.signal for one in wanted] == [True]
        assert not more
        shown += wanted
    (picture,), nothing = thumbnails(shown, seconds=60)
    assert nothing == ()
    assert picture.caption == "heart: I, II, 1 other, 250 Hz, 8 s"
    entry = Entry("p", "s", (Line("pneumonia", "70 %"),))
    page = "".join(worklist_page(Head("w", "", [], []), [(entry, [picture], "")], [], "", [], "", ""))
    assert page.count('<figure class="signal">') == 1
    assert page.count("data:image/svg+xml;base64,") == 1
    assert "data:image/jpeg" not in page
    assert SECRET not in page
    assert SECRET not in picture.svg


def test_a_folder_of_dicom_waveforms_is_counted_as_such(tmp_path: Path) -> None:
    settings = SyntheticSettings(patients=5, images=(), signals=("ecg",), ecg_rate_hz=250, ecg_seconds=2, absent={})
    make_cohort(tmp_path, settings)
    files = [file for file in (tmp_path / "ecg").rglob("*") if file.is_file()]
    sections = inspect_folder(tmp_path / "ecg", Screen(Console(quiet=True))).sections
    (folder,) = sections["folder"].plain()
    assert (folder["patients"], folder["studies"], folder["DICOM waveforms"]) == (5, len(files), len(files))
    assert sections["waveforms"].rows == [("ECG", len(files))]
