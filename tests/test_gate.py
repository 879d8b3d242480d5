"""The gate: what is not listed does not pass, an identifier is taken out, and neither happens in silence."""

import logging
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from medmm.config import RunConfig
from medmm.errors import DataError
from medmm.inputs.tabular import TabularInput, TabularSettings
from medmm.privacy.foreign_words import TRACEBACK, in_one_line, withheld
from medmm.privacy.gate import GATE, MODE, SECTIONS, STRICT, WITHHELD, Escaped, Gate, write_page
from medmm.training.tracking import TrackingSettings, connect, open_record
from medmm.types import Study
from medmm.workflows import cli
from medmm.workflows.cli import app

UID = "1.2.826.0.1.3680043.8.498.4711"
STUDIES = (
    Study(1, "MRN-0815", "A-2024/17", cells={"study_uid": UID, "age": "63"}),
    Study(2, "1234", "novak"),  # neither can be told from text
    Study(3, "40123456", "ACC:0003"),
)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """A gate as in use, which knows three studies."""
    monkeypatch.delenv(MODE)
    gate = Gate()
    gate.remember(STUDIES)
    return gate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("of MRN-0815, seen", f"of {WITHHELD}, seen"),
        ("<td>A-2024/17</td>", f"<td>{WITHHELD}</td>"),
        (f"{UID}.", f"{WITHHELD}."),
        (f"{UID}.5", f"{UID}.5"),
        ("mrn-0815", WITHHELD),
        ("MRN-08151", "MRN-08151"),
        ("40123456 patients", f"{WITHHELD} patients"),
        ("0.40123456", "0.40123456"),
        ("40123456.5", "40123456.5"),
        ("1234 studies of novak, 63 years", "1234 studies of novak, 63 years"),
    ],
)
def test_an_identifier_is_taken_out_where_it_stands_alone(gate: Gate, text: str, expected: str) -> None:
    assert gate.text(text, "a page") == expected
    assert bool(gate.told()) == (text != expected)


def test_plain_data_is_looked_through_to_its_keys(gate: Gate) -> None:
    assert gate.plain({"a": ["ACC:0003", 1, None, {"MRN-0815": 2.5}]}, "x") == {"a": [WITHHELD, 1, None, {WITHHELD: 2.5}]}
    assert len(gate.told()) == 1
    assert "(2 times)" in gate.told()[0]


def test_only_listed_tags_pass_and_each_in_its_form(gate: Gate) -> None:
    asked = {
        "model": "models:/chest/3",
        "audit": "pass",
        "cohort_digest": "0f" * 32,
        "model_digest": "Novak",
        "init": "models:/home/novak/x",
        "error": "in /data/Novak/1.dcm",
        "verdict": "better\nNovak",
        "mlflow.user": "novak",
        "verdict of Novak": "yes",
    }
    passed = gate.tags(asked)
    assert passed == {name: asked[name] for name in ("model", "audit", "cohort_digest", "init")}
    told = " ".join(gate.told())
    assert "mlflow.user" in told
    assert "Novak" not in told


def test_parameters_are_those_of_listed_sections_without_paths(gate: Gate) -> None:
    passed = gate.parameters(
        {
            "training.epochs": 5,
            "inputs.labs.table": "labs/2024.csv",
            "inputs.labs.folder": "/data/Novak/labs",
            "inputs.notes.strike": ["a", "~/Novak/x"],
            "inputs.crp.unit": "10*9/L",
            "output": "runs",
            "tracking.uri": "sqlite:////home/novak/mlflow.db",
            "target.column": "MRN-0815",
        }
    )
    assert passed == {
        "training.epochs": "5",
        "inputs.labs.table": "labs/2024.csv",
        "inputs.labs.folder": WITHHELD,
        "inputs.notes.strike": WITHHELD,
        "inputs.crp.unit": "10*9/L",
        "target.column": WITHHELD,
    }
    assert len(gate.told()) == 3


def test_the_sections_are_those_of_the_run_file() -> None:
    assert set(RunConfig.model_fields) - SECTIONS == {"tracking", "output"}


def test_a_table_loses_columns_that_identify(gate: Gate) -> None:
    table = pd.DataFrame({"row": [1], "Patient_ID": ["x"], "label": [0]})
    assert list(gate.table(table, "x").columns) == ["row", "label"]
    assert gate.told()


def test_in_strict_mode_it_raises_and_does_not_repeat_it(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE, STRICT)
    for pass_on in (
        lambda: gate.text("MRN-0815", "a page"),
        lambda: gate.tags({"owner": "Novak"}),
        lambda: gate.parameters({"inputs.x": "/data/Novak/"}),
    ):
        with pytest.raises(Escaped) as raised:
            pass_on()
        assert not [one for one in ("MRN", "Novak") if one in str(raised.value)]


def test_what_an_input_learned_of_an_identifier_is_refused(gate: Gate) -> None:
    gate.refuse('{"cough": 3, "rigor": 4}', "what inputs.notes learned")
    with pytest.raises(DataError, match="strike") as raised:
        gate.refuse('{"cough": 3, "40123456": 4}', "what inputs.notes learned")
    assert "40123456" not in str(raised.value)


def test_nothing_of_a_cohort_passes_into_a_record(
    tracking: TrackingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MODE)
    GATE.remember(STUDIES)
    figure = Figure()
    figure.suptitle("MRN-0815")
    with open_record(connect(tracking), tracking, "chest") as record:
        record.parameters({"target.column": "MRN-0815", "owner": "MRN-0815"})
        record.measures({"subgroups/MRN-0815": 1.0})
        record.tags({"verdict": "MRN-0815", "owner": "MRN-0815"})
        record.table(pd.DataFrame({"patient_id": ["MRN-0815"], "x": ["A-2024/17"]}), "table.csv")
        record.document({"MRN-0815": UID}, "document.json")
        record.text("MRN-0815", "page.html")
        record.figure(figure, "figure.svg")
    write_page(tmp_path / "store" / "page.html", "MRN-0815")
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert len(files) == 6
    for path in files:
        assert not [one for one in (b"MRN-0815", b"A-2024/17", UID.encode()) if one in path.read_bytes()], path.name
    assert [one.get_text() for one in figure.texts] == [WITHHELD]
    assert len(GATE.told()) >= 7


def test_rare_categories_are_unknown_ones() -> None:
    one = TabularInput("ward", TabularSettings.model_validate({"table": "x", "categorical": ["ward"]}))
    cells = [("1", "icu"), ("2", "icu"), ("3", "icu"), ("4", "Novak"), ("4", "Novak"), ("5", "Novak"), ("6", "")]
    fitted = one.fit((patient, {"ward": cell}) for patient, cell in cells)
    assert fitted.state["categories"] == {"ward": ["icu"]}
    codes = [int(fitted.prepare({"ward": cell})["category"][0]) for cell in ("", "Novak", "icu")]
    assert codes == [0, 1, 2]


def test_words_of_other_programs_stay_in(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.delenv(TRACEBACK, raising=False)
    handler = logging.StreamHandler(sys.stderr)
    loggers = logging.getLogger("elsewhere"), logging.getLogger("medmm.here")
    for logger in loggers:
        logger.addHandler(handler)
    before = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning, logging.getLogRecordFactory()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with withheld():
            loggers[0].warning("of %s", "Novak")
            loggers[1].warning("of ours")
            try:
                raise ValueError("Novak")
            except ValueError as error:
                loggers[0].exception("again Novak")
                sys.excepthook(ValueError, error, error.__traceback__)
            warnings.warn("Novak", stacklevel=1)
            thread = threading.Thread(target=lambda: {}["Novak"])
            thread.start()
            thread.join()
    for logger in loggers:
        logger.removeHandler(handler)
    said = capsys.readouterr().err
    assert "Novak" not in said
    assert "Traceback" not in said
    assert said.count("withheld") == 2
    assert "of ours" in said
    assert "ValueError" in said
    assert "UserWarning" in said
    assert "KeyError" in said
    after = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning, logging.getLogRecordFactory()
    assert after == before


def test_a_crash_is_one_line_with_its_place_and_on_purpose_the_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(TRACEBACK, raising=False)

    def breaks(*_: object) -> None:
        raise ValueError("Novak in /data/Novak")

    monkeypatch.setattr("medmm.config.load_config", breaks)
    said = CliRunner().invoke(app, ["train", "x.yaml"])
    assert said.exit_code == cli.FAULT
    assert "Novak" not in said.output
    assert "ValueError at medmm.workflows.cli" in said.output.replace("\n", "")
    assert len(said.output.splitlines()) == 1
    monkeypatch.setenv(TRACEBACK, "1")
    assert isinstance(CliRunner().invoke(app, ["train", "x.yaml"]).exception, ValueError)


def test_an_error_that_never_was_in_our_code_has_no_place() -> None:
    assert "no place of ours" in in_one_line(ValueError("Novak"))


def test_what_was_kept_in_is_said_at_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(MODE)

    def load(*_: object) -> None:
        GATE.remember(STUDIES)
        write_page(tmp_path / "page.html", "MRN-0815")
        raise DataError("enough")

    monkeypatch.setattr("medmm.config.load_config", load)
    said = CliRunner().invoke(app, ["train", "x.yaml"]).output
    assert "kept in: an identifier in a page (1 times)" in said
    assert "MRN" not in said
