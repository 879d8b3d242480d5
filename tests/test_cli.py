"""The command: exit statuses, errors of one line, help that teaches."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from medmm.cohort.synthetic import SyntheticSettings, make_cohort


def medmm(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a new process."""
    command = [sys.executable, "-c", "from medmm.workflows.cli import main; main()", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command", ["demo", "inspect", "train", "evaluate", "score", "ui", "compare-runs", "package", "verify"]
)
def test_every_command_has_help(command: str) -> None:
    answer = medmm(command, "--help")
    assert answer.returncode == 0
    assert "Usage:" in answer.stdout


@pytest.mark.parametrize("words", [["train"], ["nonsense"], ["score", "a", "b"], ["demo", "--patients", "1"]])
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    assert medmm(*words).returncode == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "missing.yaml"], "there is no run file"),
        (["inspect", "missing.yaml"], "there is no run file"),
        (["score", "missing", "also-missing", "--out", "x"], "there is no such model"),
        (["verify", "missing"], "there is no such model"),
        (["ui", "missing"], "there is no mlflow.db"),
    ],
)
def test_what_the_user_can_repair_is_one_line_on_stderr_and_ends_with_1(words: list[str], message: str) -> None:
    answer = medmm(*words)
    assert answer.returncode == 1
    assert message in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_folder_is_inspected_and_the_answer_kept_as_json_and_as_a_contact_sheet(tmp_path: Path) -> None:
    make_cohort(tmp_path / "cohort", SyntheticSettings(patients=6, absent={}, broken=1))
    sheet = tmp_path / "sheet.html"
    more = ("--json", str(tmp_path / "answer.json"), "--thumbnails", str(sheet), "--tiles", "5")
    answer = medmm("inspect", str(tmp_path / "cohort"), *more)
    assert answer.returncode == 0, answer.stderr
    content = json.loads((tmp_path / "answer.json").read_text())
    assert content["folder"][0]["patients"] == 6
    assert [one["code"] for one in content["problems"]] == ["E_GAP"]
    assert "E_GAP" in answer.stdout
    assert sheet.read_text().count("<article") == 5


def test_the_help_of_score_names_every_report() -> None:
    from typer.main import get_command

    from medmm.scoring.sinks import REPORTS
    from medmm.workflows.cli import app

    options = {option.name: option for option in get_command(app).commands["score"].params}  # type: ignore[attr-defined]
    help_ = str(options["also"].help)  # type: ignore[attr-defined]
    assert [name for name in REPORTS if name in help_] == list(REPORTS)


def test_a_reader_that_has_gone_is_no_error() -> None:
    """As in `medmm score --help | head`."""
    code = """
import os, sys
from medmm.workflows import cli
if cli._is_nobody_reading():
    sys.exit("somebody reads")
gone, ours = os.pipe()
os.close(gone)
os.dup2(ours, 1)
@cli.app.command()
def speak():
    print("word " * 9_000)
sys.argv = ["medmm", "speak"]
cli.main()
"""
    ran = subprocess.run([sys.executable, "-u", "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
