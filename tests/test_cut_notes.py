"""What of the notes is cut is counted, told with its repair, and kept with the run."""

from pathlib import Path

import numpy as np
from rich.console import Console

from medmm.dataset.cache import PreparedInput, prepare_input
from medmm.inputs.text import TextSettings
from medmm.training.tracking import TrackingSettings, connect, open_record
from medmm.types import Evidence, Study
from medmm.workflows.cut_notes import CutNotes, cut_notes, record_cut_notes, tell_cut_notes
from medmm.workflows.screen import Screen

WORDS = (1, 8, 9, 12, 50, None)
"""Words of the note of each study; None lacks it."""


def prepared(folder: Path, max_tokens: int) -> PreparedInput:
    """Prepare notes of a word, which is a token, said so many times."""
    settings = TextSettings.model_validate(
        {"table": "x", "max_tokens": max_tokens, "mark": False, "encoder": {"name": "transformer", "min_patients": 2}}
    )
    notes = [None if count is None else " ".join(["fever"] * count) for count in WORDS]
    one = settings.open("history").fit([("p1", "fever"), ("p2", "fever")])
    studies = [
        Study(row, f"P{row}", f"S{row}", evidence={} if note is None else {"history": Evidence(text=note)})
        for row, note in enumerate(notes, 1)
    ]
    return prepare_input(studies, one, folder, workers=0)


def test_what_is_cut_is_counted_by_hand(tmp_path: Path) -> None:
    # Of 1, 8, 9, 12 and 50 tokens, 8 fit: 0, 0, 1, 4 and 42 are cut.
    assert cut_notes(prepared(tmp_path, 8)) == CutNotes(notes=5, cut=3, median_tokens=4.0)
    assert cut_notes(prepared(tmp_path, 64)) == CutNotes(notes=5, cut=0, median_tokens=0.0)
    assert cut_notes(PreparedInput(np.full((1, 2), -1), ({"number": np.zeros((3, 2))},), {}, [])) is None
    assert cut_notes(PreparedInput(np.full((1, 2), -1), (), {}, [])) is None


def test_it_is_told_with_its_repair_and_only_where_something_was_cut(tmp_path: Path) -> None:
    with (tmp_path / "screen").open("w") as file:
        tell_cut_notes("history", prepared(tmp_path, 64), Screen(Console(file=file, width=300)))
        file.flush()
        assert (tmp_path / "screen").read_text() == ""
        tell_cut_notes("history", prepared(tmp_path, 8), Screen(Console(file=file, width=300)))
    said = (tmp_path / "screen").read_text()
    assert said.startswith("3 of 5 notes of history were cut, by 4 tokens in the median: ")
    assert "inputs.history.max_tokens" in said
    assert "inputs.history.chunks" in said


def test_it_is_kept_with_the_run(tmp_path: Path, tracking: TrackingSettings) -> None:
    client = connect(tracking)
    with open_record(client, tracking, "small") as record:
        record_cut_notes({"history": prepared(tmp_path, 8)}, record)
    metrics = client.get_run(record.run_id).data.metrics
    assert metrics == {"notes/history/notes": 5, "notes/history/cut": 3, "notes/history/median_tokens_cut": 4}
