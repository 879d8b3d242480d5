"""The scripts for clusters do what their headers say; SLURM is played by its variables and a `scontrol` of the tests."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Hospital
from typer.testing import CliRunner

from medmm.package import load_package
from medmm.scoring.engine import Options
from medmm.scoring.run import score
from medmm.scoring.studies import find_studies
from medmm.workflows.cli import app

ROOT = Path(__file__).parents[1]
SBATCH = ROOT / "workflows" / "cluster" / "score.sbatch"
RAY_JOB = ROOT / "workflows" / "cluster" / "score_ray.py"


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
    (folder / name).chmod(0o755)


def task(path: Path, number: int, count: int, *words: str) -> subprocess.Popen[str]:
    """Start one task of an array as SLURM does, but for the start on another machine."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    variables = {
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": str(number),
        "SLURM_ARRAY_TASK_COUNT": str(count),
        "SLURM_CPUS_PER_TASK": "1",
    }
    environment = {**own, **variables, "PATH": f"{path}:{os.environ['PATH']}"}
    command = ["bash", str(SBATCH), *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_task_of_an_array_scores_its_shard(tmp_path: Path) -> None:
    program(tmp_path / "bin", "medmm", 'printf "%s\\n" "$@"')
    done = task(tmp_path / "bin", 2, 3, "/disk/a package", "/disk/new", "/disk/out", "--accept-rejects")
    said, _ = done.communicate(timeout=60)
    assert done.returncode == 0
    expected = "score|/disk/a package|/disk/new|--out|/disk/out|--workers|1|--shard|2/3|--accept-rejects"
    assert said.splitlines() == expected.split("|")


def test_a_task_ends_with_the_status_of_its_scoring(tmp_path: Path) -> None:
    program(tmp_path / "bin", "medmm", "exit 1")
    done = task(tmp_path / "bin", 1, 1, "package", "new", "out")
    done.communicate(timeout=60)
    assert done.returncode == 1


def test_a_task_without_its_words_says_how_it_is_called() -> None:
    done = subprocess.run(["bash", str(SBATCH), "package"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage: sbatch" in done.stderr


@pytest.mark.parametrize(("number", "status", "requeued"), [(signal.SIGUSR1, 0, ["requeue 7_2"]), (signal.SIGTERM, 143, [])])
def test_a_task_that_is_stopped_ends_its_scoring_and_goes_back_into_the_queue_when_its_time_is_up(
    tmp_path: Path, number: signal.Signals, status: int, requeued: list[str]
) -> None:
    program(tmp_path / "bin", "scontrol", f'echo "$@" >> {tmp_path}/requeued')
    program(
        tmp_path / "bin",
        "medmm",
        f"trap 'touch {tmp_path}/ended; exit 0' TERM\ntouch {tmp_path}/begun\nwhile true; do sleep 0.05; done",
    )
    running = task(tmp_path / "bin", 2, 3, "package", "new", "out")
    end = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode == status
    assert (tmp_path / "ended").exists()
    told = tmp_path / "requeued"
    assert (told.read_text().splitlines() if told.exists() else []) == requeued


def test_slurm_reads_what_the_script_asks_for() -> None:
    asked = [line.split()[1] for line in SBATCH.read_text().splitlines() if line.startswith("#SBATCH ")]
    assert {"--requeue", "--signal=B:USR1@120", "--open-mode=append"} <= set(asked)
    lines = SBATCH.read_text().splitlines()
    last = max(i for i, line in enumerate(lines) if line.startswith("#SBATCH"))
    assert all(line.startswith("#") or not line for line in lines[:last])  # SLURM reads no further than the first command


def test_the_job_for_ray_is_the_command_with_its_engine() -> None:
    done = subprocess.run(
        [sys.executable, str(RAY_JOB), "no-such-package", "nowhere", "--out", "out"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": "127.0.0.1:1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "there is no such model" in done.stderr


SHARDS = "--shard" in CliRunner().invoke(app, ["score", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output


@pytest.mark.slow
@pytest.mark.skipif(not SHARDS, reason="`medmm score` has no --shard in this version")
def test_three_tasks_of_an_array_give_the_results_of_one_scoring(saved: Path, hospital: Hospital, tmp_path: Path) -> None:
    incoming = hospital.cohort.root
    package = load_package(saved)
    whole = score(package, find_studies(package, incoming), tmp_path / "whole", Options(workers=0))
    program(tmp_path / "bin", "medmm", f'cd "{ROOT}" && exec "{sys.executable}" -m workflows "$@"')
    out = tmp_path / "out"
    tasks = [task(tmp_path / "bin", number, 3, str(saved), str(incoming), str(out)) for number in (1, 2, 3)]
    said = [one.communicate(timeout=280)[0] for one in tasks]
    assert [one.returncode for one in tasks] == [0, 0, 0], said
    assert len(pq.read_table(out / "scores.parquet")) == whole.scored
    for name in ("scores", "rejected"):
        one, other = (pq.read_table(folder / f"{name}.parquet").to_pandas() for folder in (out, tmp_path / "whole"))
        assert one.drop(columns="scored_at").equals(other.drop(columns="scored_at"))
