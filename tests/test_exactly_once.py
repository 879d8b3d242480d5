"""Real scorers that are killed with SIGKILL, race, and have their studies and their model changed under them.

However that went, the results are those of one clean run: the same digest, no row lost, none doubled, none mixed.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from scorers import REFUSED

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.errors import Code
from medmm.files import UNFINISHED
from medmm.package import Package, save_package
from medmm.scoring.ledger import LEDGERS
from medmm.scoring.run import TAKEN_OVER

pytestmark = pytest.mark.slow
KINDS = list(LEDGERS)
SETTINGS = {"patients": 14, "first_patient": 100, "radiograph_size": 32, "ct_size": 32, "ct_slices": 5, "seed": 1, "broken": 2}
TESTS = Path(__file__).parent


class Scorers:
    """Starts, kills and awaits scorers."""

    def __init__(self, studies: Path, models: list[Path], folder: Path) -> None:
        words = [sys.executable, str(TESTS / "scorers.py"), str(studies), *map(str, models)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self._folder = folder
        self._started = 0
        self.studies = int(self._answer())

    def start(
        self,
        out: Path,
        ledger: str,
        model: int = 0,
        kill_at: int | None = None,
        shard: str | None = None,
        pause: float = 0.0,
    ) -> int:
        """Start a scorer, and give its process number."""
        self._started += 1
        words = {"out": str(out), "ledger": ledger, "model": model, "kill_at": kill_at, "shard": shard, "pause": pause}
        child = int(self._ask({**words, "said": str(self._folder / f"{self._started}.json")}))
        self._said = {**getattr(self, "_said", {}), child: self._folder / f"{self._started}.json"}
        return child

    def end(self, child: int) -> dict[str, Any]:
        """Wait for the end of a scorer, and give what it said."""
        status = int(self._ask(child))
        said: dict[str, Any] = {"killed": os.WIFSIGNALED(status), "status": os.waitstatus_to_exitcode(status)}
        assert said["status"] in (0, REFUSED, -signal.SIGKILL)
        return said | (json.loads(self._said[child].read_text()) if not said["killed"] else {})

    def run(self, out: Path, ledger: str, model: int = 0, shard: str | None = None) -> dict[str, Any]:
        """Score to the end."""
        return self.end(self.start(out, ledger, model, shard=shard))

    def close(self) -> None:
        self._process.communicate("", timeout=60)

    def _ask(self, words: object) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """New studies: two that are broken, one that stands in two rows, one whose images lie in two folders."""
    root = tmp_path_factory.mktemp("export")
    make_cohort(root, SyntheticSettings.model_validate({**SETTINGS, "unlabelled": True}))
    with (root / "studies.csv").open("a") as file:
        file.writelines(["90000,900-twice,1.2.3,2024-01-01T10:00:00,A,F,50\n"] * 2)
    some = sorted(file for file in (root / "dicom").rglob("*") if file.is_file())[:3]
    (root / "dicom" / "again").mkdir()
    for file in some:
        shutil.copy(file, root / "dicom" / "again" / file.name)
    return root


@pytest.fixture(scope="module")
def scorers(export: Path, saved: Path, package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorers]:
    folder = tmp_path_factory.mktemp("scorers")
    torch.manual_seed(1)
    state = {
        name: one + 0.01 * torch.randn_like(one) if one.is_floating_point() else one
        for name, one in package.model.state_dict().items()
    }
    kept = {name: one.clone() for name, one in package.model.state_dict().items()}
    package.model.load_state_dict(state)
    save_package(replace(package, temperature=2.0), folder / "other")
    package.model.load_state_dict(kept)
    found = Scorers(export, [saved, folder / "other"], folder)
    yield found
    found.close()


@pytest.fixture(scope="module")
def clean(scorers: Scorers, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What a scorer that nobody disturbs says, of each model."""
    return {model: scorers.run(tmp_path_factory.mktemp("clean") / "out", "sqlite", model) for model in (0, 1)}


def table(out: Path, name: str) -> pd.DataFrame:
    return pq.read_table(out / f"{name}.parquet").to_pandas()


def check(out: Path, said: dict[str, Any], clean: dict[str, Any], studies: int, living: int = 0) -> None:
    """Check that a folder holds what a clean run leaves, and nothing of those who died."""
    assert said["status"] == 0, said
    assert said["digest"] == clean["digest"]
    assert (said["scored"], said["rejected"]) == (clean["scored"], clean["rejected"])
    assert said["scored"] + said["rejected"] == studies
    scores, rejected = table(out, "scores"), table(out, "rejected")
    assert (len(scores), len(rejected)) == (clean["scored"], clean["rejected"])
    assert scores["study_id"].is_unique
    assert rejected["row"].is_unique
    assert len({*scores["model_digest"], *rejected["model_digest"]}) == 1
    assert list(out.glob(f"{UNFINISHED}*")) == []
    assert len(list(out.rglob("*.owner"))) <= living


def test_clean_runs_of_both_ledgers_say_the_same(scorers: Scorers, clean: dict[int, dict[str, Any]], tmp_path: Path) -> None:
    assert clean[0]["digest"] != clean[1]["digest"]
    assert clean[0]["now"] == scorers.studies
    for kind in KINDS:
        said = scorers.run(tmp_path / kind, kind)
        check(tmp_path / kind, said, clean[0], scorers.studies)
        assert scorers.run(tmp_path / kind, kind)["now"] == 0
    assert table(tmp_path / "sqlite", "rejected")["code"].tolist().count(Code.AMBIGUOUS.value) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_before_any_line_loses_and_doubles_nothing(
    scorers: Scorers, clean: dict[int, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    rng = random.Random(kind)
    lines = scorers.run(tmp_path / "counted", kind)["lines"]
    killed = 0
    for chain in range(8):
        out = tmp_path / str(chain)
        moments = [rng.randrange(1, int(lines * share)) for share in (1.0, 0.5, 0.1)]  # what is done already is quick to pass
        moments.append(rng.randrange(lines * 9 // 10, lines) if chain % 2 else rng.randrange(1, lines // 20))
        rng.shuffle(moments)
        killed += sum(scorers.end(scorers.start(out, kind, kill_at=moment))["killed"] for moment in moments)
        check(out, scorers.run(out, kind), clean[0], scorers.studies)
    assert killed >= 16


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_the_end_leaves_old_results_or_new_ones(
    scorers: Scorers, clean: dict[int, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    scorers.run(tmp_path / "counted", kind)
    lines = scorers.run(tmp_path / "counted", kind)["lines"]  # all is done: it opens, looks and exports
    for moment in range(1, lines, max(lines // 12, 1)):
        scorers.end(scorers.start(tmp_path / "counted", kind, kill_at=moment))
        assert len(table(tmp_path / "counted", "scores")) == clean[0]["scored"]
    check(tmp_path / "counted", scorers.run(tmp_path / "counted", kind), clean[0], scorers.studies)


@pytest.mark.parametrize("kind", KINDS)
def test_two_scorers_at_once_of_whom_one_after_the_other_is_killed(
    scorers: Scorers, clean: dict[int, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    rng = random.Random(1)
    running = [scorers.start(tmp_path, kind, pause=0.02) for _ in range(2)]
    for _ in range(5):
        time.sleep(rng.uniform(0, 0.5))
        place = rng.randrange(2)
        os.kill(running[place], signal.SIGKILL) if not ended(running[place]) else None
        scorers.end(running[place])
        running[place] = scorers.start(tmp_path, kind, pause=0.02)
    for said in [scorers.end(child) for child in running]:
        check(tmp_path, said, clean[0], scorers.studies)


def ended(child: int) -> bool:
    return Path(f"/proc/{child}/stat").read_text().split(")")[1].split()[0] == "Z"


def test_two_scorers_at_once_share_the_work(scorers: Scorers, clean: dict[int, dict[str, Any]], tmp_path: Path) -> None:
    children = [scorers.start(tmp_path, "sqlite", pause=0.05) for _ in range(2)]
    said = [scorers.end(child) for child in children]
    for one in said:
        check(tmp_path, one, clean[0], scorers.studies)
    assert sum(one["now"] for one in said) == scorers.studies


def test_a_stopped_scorer_is_waited_for_and_a_killed_one_is_not(
    scorers: Scorers, clean: dict[int, dict[str, Any]], tmp_path: Path
) -> None:
    stopped = scorers.start(tmp_path, "sqlite", pause=0.3)
    wait_for_rows(tmp_path)
    os.kill(stopped, signal.SIGSTOP)
    other = scorers.start(tmp_path, "sqlite")
    time.sleep(1.5)
    assert not ended(other)
    assert not (tmp_path / "scores.parquet").exists()
    os.kill(stopped, signal.SIGKILL)
    scorers.end(stopped)
    check(tmp_path, scorers.end(other), clean[0], scorers.studies)


def wait_for_rows(out: Path) -> None:
    """Wait until a scorer has committed something."""
    import sqlite3

    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        if (out / ".ledger" / "ledger.sqlite").exists():
            base = sqlite3.connect(out / ".ledger" / "ledger.sqlite", timeout=10)
            try:
                if base.execute("SELECT COUNT(*) FROM rows").fetchone()[0]:
                    return
            except sqlite3.OperationalError:  # no tables yet
                pass
            finally:
                base.close()
        elif list(out.glob(".ledger/partitions/*/*.rows")):
            return
        time.sleep(0.02)
    raise AssertionError


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_replaced_in_mid_run_mixes_nothing(
    scorers: Scorers, clean: dict[int, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    old = scorers.start(tmp_path, kind, pause=0.2)
    wait_for_rows(tmp_path)
    check(tmp_path, scorers.run(tmp_path, kind, model=1), clean[1], scorers.studies, living=1)
    said = scorers.end(old)
    assert (said["status"], said["reason"]) == (REFUSED, TAKEN_OVER)
    assert table(tmp_path, "scores")["model_digest"].nunique() == 1
    check(tmp_path, scorers.run(tmp_path, kind, model=1), clean[1], scorers.studies)
    back = scorers.run(tmp_path, kind)
    check(tmp_path, back, clean[0], scorers.studies)
    assert 0 < back["now"] < scorers.studies  # what it had done itself stands


@pytest.mark.parametrize("kind", KINDS)
def test_studies_that_change_in_mid_run_end_as_they_are_at_the_end(
    scorers: Scorers, clean: dict[int, dict[str, Any]], export: Path, tmp_path: Path, kind: str
) -> None:
    """The first one changes after it was scored, the last one before; and a scorer is killed in between."""
    files = sorted(file for file in (export / "dicom").rglob("*") if file.is_file() and file.parent.name != "again")
    changing = [files[6], files[-1]]
    kept = [file.read_bytes() for file in changing]
    out = tmp_path / "out"
    try:
        first = scorers.start(out, kind, pause=0.2)
        wait_for_rows(out)
        for file in changing:
            file.write_bytes(file.read_bytes()[:-40])
        other = scorers.start(out, kind, pause=0.05)
        time.sleep(0.4)
        os.kill(first, signal.SIGKILL)
        scorers.end(first)
        said = scorers.end(other)
        undisturbed = scorers.run(tmp_path / "undisturbed", "sqlite")
        check(out, said, undisturbed, scorers.studies)
        assert said["digest"] != clean[0]["digest"]
    finally:
        for file, content in zip(changing, kept, strict=True):
            file.write_bytes(content)
    check(out, scorers.run(out, kind), clean[0], scorers.studies)


@pytest.mark.parametrize("kind", KINDS)
def test_shards_together_are_one_run_and_the_last_one_writes_it(
    scorers: Scorers, clean: dict[int, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    first = scorers.run(tmp_path, kind, shard="1/3")
    assert first["waits"] == [2, 3]
    assert not (tmp_path / "scores.parquet").exists()
    killed = scorers.start(tmp_path, kind, shard="3/3", pause=0.3)
    time.sleep(0.7)
    os.kill(killed, signal.SIGKILL)
    scorers.end(killed)
    children = [scorers.start(tmp_path, kind, shard=shard) for shard in ("2/3", "3/3")]
    said = [scorers.end(child) for child in children]
    last = next(one for one in said if not one["waits"])
    check(tmp_path, last, clean[0], scorers.studies)
    assert first["now"] + sum(one["now"] for one in said) <= scorers.studies
    assert scorers.run(tmp_path, kind, shard="1/3")["now"] == 0
