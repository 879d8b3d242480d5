"""One scorer beside others: what it waits for, what it says, when it stops, and the options of the command."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pyarrow.parquet as pq
import pytest
from conftest import Hospital
from typer.testing import CliRunner

from medmm.errors import DataError
from medmm.package import Package
from medmm.scoring import run
from medmm.scoring.engine import Options
from medmm.scoring.identity import Named, keys_of, study_digest
from medmm.scoring.ledger import SqliteLedger
from medmm.scoring.run import Scorer, model_key, score
from medmm.scoring.shards import Shard
from medmm.scoring.sinks.base import Row
from medmm.scoring.studies import find_studies
from medmm.tables import Table
from medmm.types import Evidence, Study
from medmm.workflows.cli import app

ALONE = Options(workers=0)


@pytest.fixture(scope="module")
def studies(hospital: Hospital, loaded: Package) -> tuple[Study, ...]:
    return find_studies(loaded, hospital.cohort.root)[:20]


def codes(out: Path) -> list[str]:
    return list(pq.read_table(out / "rejected.parquet")["code"].to_pylist())


def empty(studies: tuple[Study, ...]) -> list[Study]:
    """The studies without what they had, so that each is rejected."""
    return [replace(study, evidence={}) for study in studies]


def test_a_scorer_says_that_it_waits_for_another_and_goes_on_when_that_ends(
    loaded: Package, studies: tuple[Study, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PATIENCE_SECONDS", 0.5)
    other = SqliteLedger(tmp_path, loaded.digest)
    keys = keys_of(studies)
    other.claim([Named(studies[i], keys[i], study_digest(studies[i])) for i in range(3)])
    told: list[str] = []

    def free() -> None:
        while not told:
            time.sleep(0.05)
        other.close()

    thread = Thread(target=free)
    thread.start()
    with Scorer(loaded, tmp_path, ALONE, notice=told.append) as scorer:
        scorer.round(studies)
        done = scorer.export()
    thread.join()
    assert told == ["waiting for 3 studies that another scorer has: if it is stuck, end it to free them"]
    assert (done.now, done.scored + sum(done.rejected.values())) == (len(studies), len(studies))


def test_many_rejections_at_the_beginning_stop_a_scorer_unless_they_are_accepted(
    loaded: Package, studies: tuple[Study, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FIRST", 20)
    bad = [*empty(studies[:6]), *studies[6:]]
    with (
        Scorer(loaded, tmp_path / "stops", ALONE) as scorer,
        pytest.raises(DataError, match=r"of the first 20 .*--accept-rejects"),
    ):
        scorer.round(bad)
    with Scorer(loaded, tmp_path / "accepts", ALONE, stops=False) as scorer:
        scorer.round(bad)
        assert sum(scorer.export().rejected.values()) >= 6


def test_rejected_studies_are_tried_again_only_on_request(loaded: Package, studies: tuple[Study, ...], tmp_path: Path) -> None:
    bad = [*empty(studies[:2]), *studies[2:]]
    score(loaded, bad, tmp_path, ALONE)
    assert score(loaded, bad, tmp_path, ALONE).now == 0
    with Scorer(loaded, tmp_path, ALONE) as scorer:
        again = scorer.retry_rejected()
        scorer.round(bad)
        assert scorer.export().now == again >= 2


def test_a_shard_tries_its_own_rejected_studies_again(loaded: Package, studies: tuple[Study, ...], tmp_path: Path) -> None:
    bad = [*empty(studies[:10]), *studies[10:]]
    score(loaded, bad, tmp_path, ALONE)
    rejected = len(codes(tmp_path))
    again = 0
    for number in (1, 2):  # the second one must not undo what the first has done
        with Scorer(loaded, tmp_path, ALONE, shard=Shard(number, 2)) as scorer:
            again += scorer.retry_rejected()
            scorer.round(bad)
            done = scorer.export()
    assert (again, done.waits) == (rejected, ())
    assert len(codes(tmp_path)) == rejected


def test_a_study_that_changes_after_it_was_scored_is_scored_again_before_the_end(
    loaded: Package, studies: tuple[Study, ...], tmp_path: Path
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("cough and fever")
    changing = [replace(studies[0], evidence={"history": Evidence(files=(note,))}), *studies[1:]]
    options = Options(workers=0, tile=2)

    def change(done: int, _whole: int) -> None:
        if done == len(changing) // 2:
            note.write_text("no cough and no fever at all")

    done = score(loaded, changing, tmp_path / "out", options, progress=change)
    assert done.now == len(changing) + 1
    assert done.digest == score(loaded, changing, tmp_path / "clean", options).digest


def test_another_tile_is_another_model_to_the_ledger(loaded: Package, studies: tuple[Study, ...], tmp_path: Path) -> None:
    assert model_key(loaded, Options()) == model_key(loaded, Options(tile=loaded.tile)) == loaded.digest
    score(loaded, studies, tmp_path, ALONE)
    assert score(loaded, studies, tmp_path, Options(workers=0, tile=3)).now == len(studies)
    assert score(loaded, studies, tmp_path, ALONE).now == 0


def test_two_studies_of_one_row_number_are_the_programmers_fault(
    loaded: Package, studies: tuple[Study, ...], tmp_path: Path
) -> None:
    with Scorer(loaded, tmp_path, ALONE) as scorer, pytest.raises(AssertionError):
        scorer.round([studies[0], replace(studies[1], row=studies[0].row)])


@pytest.fixture
def command(saved: Path, hospital: Hospital, tmp_path: Path) -> Callable[..., str]:
    def asked(*words: str, status: int = 0) -> str:
        line = ["score", str(saved), str(hospital.cohort.root), "--out", str(tmp_path / "out"), "--workers", "0", *words]
        answer = CliRunner().invoke(app, line)
        assert answer.exit_code == status, answer.output
        return " ".join(answer.output.split())

    return asked


def test_the_command_scores_in_shards_and_says_which_are_not_there(command: Callable[..., str], tmp_path: Path) -> None:
    assert "this shard has ended, but not 2, 3" in command("--shard", "1/3", "--accept-rejects")
    assert not (tmp_path / "out" / "scores.parquet").exists()
    assert "this shard has ended, but not 3" in command("--shard", "2/3", "--accept-rejects")
    assert "studies scored: " in command("--shard", "3/3", "--accept-rejects")
    assert (tmp_path / "out" / "scores.parquet").exists()
    assert (tmp_path / "out" / ".ledger" / "partitions").is_dir()
    rejected = len(codes(tmp_path / "out"))
    assert f"{rejected} studies that were rejected are tried again" in command("--retry-rejected")
    assert "has a ledger of the kind partitions: leave out --ledger" in command("--ledger", "sqlite", status=1)
    assert "give 3/8 for the third of eight" in command("--shard", "third", status=1)


class Recorder:
    """A report that remembers what it was told, and when it is whole."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, object, Study | None]] = []
        self.whole = False

    @contextmanager
    def open(self, out: Path, package: Package) -> Iterator["Recorder"]:
        self.seen, self.whole = [], False
        yield self
        self.whole = True

    def scored(self, row: Row, study: Study | None) -> None:
        self.seen.append(("scored", row["study_id"], study))

    def rejected(self, row: Row, study: Study | None) -> None:
        self.seen.append(("rejected", row["study_id"], study))


def test_a_report_sees_every_row_with_its_study_and_changes_no_digest(
    loaded: Package, studies: tuple[Study, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(run, "REPORTS", Table("report", {"recorder": recorder}))
    some = [*studies[:6], *empty(studies[6:8])]
    plain = score(loaded, some, tmp_path / "plain")
    found = score(loaded, some, tmp_path / "told", also=["recorder"])
    assert recorder.whole
    assert found.digest == plain.digest
    by_id = {study.study_id: study for study in some}
    rows = {
        name: pq.read_table(tmp_path / "told" / f"{name}.parquet")["study_id"].to_pylist() for name in ("scores", "rejected")
    }
    expected = [("scored", one, by_id[one]) for one in rows["scores"]] + [
        ("rejected", one, by_id[one]) for one in rows["rejected"]
    ]
    assert recorder.seen == expected
    assert rows["rejected"]
    with Scorer(loaded, tmp_path / "told", also=["recorder"]) as scorer:  # a row whose study it was not asked for
        scorer.export()
    assert {study for _, _, study in recorder.seen} == {None}
