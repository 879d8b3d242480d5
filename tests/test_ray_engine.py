"""A Ray cluster gives the rows of one machine, whatever is killed, and only a cluster that asks for a token is used."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.errors import Code, ConfigError, DataError
from medmm.package import Package
from medmm.scoring import ray_cluster, ray_worker
from medmm.scoring import ray_engine as engine_module
from medmm.scoring.engine import Options
from medmm.scoring.messages import outcomes_of, studies_text
from medmm.scoring.ray_cluster import Cluster, refuse_open
from medmm.scoring.ray_engine import ray_engine
from medmm.scoring.ray_worker import LotScorer, each_ended, files_of, package_of
from medmm.scoring.rows import Outcome
from medmm.scoring.run import Scored, Scorer, score
from medmm.scoring.studies import find_studies
from medmm.scoring.tries import TRIES, Tries
from medmm.types import Evidence, Study
from medmm.workers import Limits

STUDIES = {"patients": 40, "first_patient": 100, "radiograph_size": 32, "ct_size": 32, "ct_slices": 5, "seed": 1}
TOKEN = secrets.token_hex(32)
CLOSED = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
OPEN = {"RAY_AUTH_MODE": "disabled", ray_cluster.LOOPBACK: "0"}  # open to this machine alone
ACTOR = "ray::MapWorker"

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'medmm[ray]'")
HUNG_SECONDS = 8.0


@pytest.fixture(scope="module")
def incoming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("incoming")
    make_cohort(root, SyntheticSettings.model_validate({**STUDIES, "unlabelled": True, "broken": 2}))
    return root


@pytest.fixture(scope="module")
def studies(loaded: Package, incoming: Path) -> tuple[Study, ...]:
    return find_studies(loaded, incoming)


@pytest.fixture(scope="module")
def local(loaded: Package, studies: tuple[Study, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scored]:
    out = tmp_path_factory.mktemp("local")
    return out, score(loaded, studies, out, Options(workers=0))


def table(folder: Path, name: str) -> pd.DataFrame:
    return pq.read_table(folder / f"{name}.parquet").to_pandas().drop(columns="scored_at").set_index("study_id")


def test_a_package_that_was_changed_on_the_way_is_refused(saved: Path, loaded: Package) -> None:
    files = dict(files_of(saved))
    assert package_of(files, loaded.digest).digest == loaded.digest
    with pytest.raises(DataError, match="another package came"):
        package_of(files, "0" * 64)
    name = next(one for one in files if one.endswith("weights.safetensors"))
    files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])
    with pytest.raises(DataError, match="changed"):
        package_of(files, loaded.digest)


def test_what_the_model_raises_costs_the_study_alone_that_makes_it(
    loaded: Package, studies: tuple[Study, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = studies[5].row
    whole = {one.study.row: one for some in each_ended(loaded, studies[:9], Options(workers=0)) for one in some}
    true = ray_worker.score_stream

    def raising(package: Package, some: Sequence[Study], options: Options) -> Iterator[list[Outcome]]:
        for outcomes in true(package, some, options):
            if any(one.study.row == bad for one in outcomes):
                raise RuntimeError("DOE^JANE")
            yield outcomes

    monkeypatch.setattr(ray_worker, "score_stream", raising)
    ended = [one for some in each_ended(loaded, studies[:9], Options(workers=0, tile=4)) for one in some]
    assert sorted(one.study.row for one in ended) == sorted(whole)
    (rejected,) = [one for one in ended if one.reason is not None and one.study.row == bad]
    assert rejected.row["code"] == Code.CRASH.value
    assert "RuntimeError" in str(rejected.reason)
    assert "DOE" not in str(rejected.reason)
    for one in ended:
        if one.study.row != bad:
            assert one.row.keys() == whole[one.study.row].row.keys()


class Losing:
    """A pool that loses whole lots with some studies in them, and gives others twice."""

    def __init__(self, package: Package, poison: set[int]) -> None:
        self._package = package
        self._poison = poison
        self.lots: list[int] = []

    def outcomes(self, studies: Sequence[Study], most: int, tile: int) -> Iterator[list[Outcome]]:
        for at in range(0, len(studies), most):
            lot = studies[at : at + most]
            self.lots.append(len(lot))
            if not self._poison & {study.row for study in lot}:
                yield [Outcome(study, {"row": study.row}) for study in lot]
                yield [Outcome(study, {"row": study.row}) for study in lot]


def test_no_study_vanishes_and_none_is_doubled_when_lots_are_lost_or_come_twice(loaded: Package) -> None:
    studies = [Study(row, "", "") for row in range(1, 40)]
    pool: Any = Losing(loaded, {3, 17})
    ended = [one for some in engine_module._ended(pool, loaded, studies) for one in some]
    assert sorted(one.study.row for one in ended) == list(range(1, 40))
    assert sorted(one.study.row for one in ended if one.reason is not None) == [3, 17]
    assert all(one.row["code"] == Code.CRASH.value for one in ended if one.reason is not None)
    assert pool.lots == [39, 16, 16, 7, *[1] * 32]


def test_files_are_found_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = Study(1, "", "", evidence={"ct": Evidence(files=(Path("in/1"), Path("/disk/2"))), "labs": Evidence(cells={})})
    there = engine_module.from_anywhere(study)
    assert there.evidence["ct"].files == (tmp_path / "in" / "1", Path("/disk/2"))
    assert there.evidence["labs"] == study.evidence["labs"]


def test_a_lot_is_begun_a_number_of_times_and_no_more() -> None:
    tries = Tries()
    assert [tries.begin("a") for _ in range(TRIES + 1)] == [True] * TRIES + [False]
    assert tries.begin("b")


@pytest.mark.parametrize("address", ["auto", "ray://10.0.0.1:10001", "10.0.0.1", ":6379", "10.0.0.1:x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        refuse_open(address)


def test_an_address_where_nothing_is_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing answers"):
        refuse_open(f"127.0.0.1:{free_port()}")


def test_a_cluster_that_gives_no_clear_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "STRANGER", "raise SystemExit(1)")
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ConfigError, match="cannot be told"):
        refuse_open(f"127.0.0.1:{server.getsockname()[1]}")


def answers_of(lots: LotScorer, studies: Sequence[Study]) -> list[dict[str, str]]:
    batch = {ray_worker.LOT: ["a"], ray_worker.STUDIES: [studies_text(list(studies))]}
    return [json.loads(row[ray_worker.ANSWER][0]) for row in lots(batch)]


def test_an_actor_tells_the_fault_of_its_machine_and_leaves_a_lot_that_was_begun_too_often(
    loaded: Package, saved: Path, studies: tuple[Study, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_worker, "_prepare_processes", lambda: None)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=lambda value: value))
    tries: Any = SimpleNamespace(begin=SimpleNamespace(remote=Tries().begin))
    good = LotScorer(files_of(saved), loaded.digest, tries, Options(workers=0))
    (answer, *_) = answers_of(good, studies[:2])
    assert [one.study.row for one in outcomes_of(answer["outcomes"])] == [study.row for study in studies[:2]]
    (fault,) = answers_of(LotScorer(files_of(saved), "0" * 64, tries, Options()), studies[:2])
    assert "another package came" in fault["fault"]
    (fault,) = answers_of(LotScorer(None, loaded.digest, tries, Options()), studies[:2])
    assert "while the model was loaded" in fault["fault"]
    assert answers_of(good, studies[:2]) == []


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def head(environment: Mapping[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    """Start a cluster of two cores as an administrator would, and end every process of it."""
    port = free_port()
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = ["start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *command, f"--temp-dir={folder}", f"--object-store-memory={100 << 20}"],
        env={**own, **environment, "RAY_USAGE_STATS_ENABLED": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    known = psutil.Process(process.pid)
    try:
        end = time.monotonic() + 120
        while not _answers(port):
            assert process.poll() is None, "the cluster ended at its start"
            assert time.monotonic() < end, "the cluster does not start"
            time.sleep(0.2)
        yield f"127.0.0.1:{port}", known
    finally:
        all_of_it = [*known.children(recursive=True), known] if known.is_running() else []
        process.terminate()
        psutil.wait_procs(all_of_it, 20)
        for one in all_of_it:
            if one.is_running():
                one.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def closed() -> Iterator[tuple[str, psutil.Process]]:
    """A cluster that asks for a token, which this process has."""
    with pytest.MonkeyPatch.context() as patch, head(CLOSED) as found:
        for name, value in {**CLOSED, "RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}.items():
            patch.setenv(name, value)
        yield found


def actors(cluster: psutil.Process) -> list[psutil.Process]:
    """Find the actors that run; a child may end while it is looked at."""
    return [one for one in cluster.children(recursive=True) if _is_actor(one)]


def _is_actor(process: psutil.Process) -> bool:
    try:
        return ACTOR in " ".join(process.cmdline()[:1]) and process.is_running()
    except psutil.Error:
        return False


@needs_ray
@pytest.mark.slow
def test_a_cluster_gives_the_rows_of_one_machine_though_a_study_hangs_and_an_actor_is_killed(
    closed: tuple[str, psutil.Process], loaded: Package, saved: Path, studies: tuple[Study, ...], tmp_path: Path
) -> None:
    address, cluster = closed
    os.mkfifo(tmp_path / "pipe")  # whoever opens it waits for ever
    at = next(i for i, study in enumerate(studies) if "chest" in study.evidence and not study.rejected)
    hanging = {**studies[at].evidence, "chest": replace(studies[at].evidence["chest"], files=(tmp_path / "pipe",))}
    poisoned = [*studies[:at], replace(studies[at], evidence=hanging), *studies[at + 1 :]]
    options = Options(workers=1, limits=Limits(seconds=HUNG_SECONDS))
    expected = score(loaded, poisoned, tmp_path / "local", options)
    assert expected.rejected[Code.TIMEOUT] == 1
    killed: list[int] = []

    def kill_one(done: int, _whole: int) -> None:
        if done and not killed:
            victim = actors(cluster)[0]
            killed.append(victim.pid)
            victim.kill()

    with ray_engine(saved, Cluster(address)) as engine:
        scored = score(loaded, poisoned, tmp_path / "ray", options, engine=engine, progress=kill_one)
    assert len(killed) == 1
    assert scored == expected
    assert (scored.now, scored.digest) == (len(studies), expected.digest)


@needs_ray
@pytest.mark.slow
def test_an_open_cluster_is_refused(saved: Path) -> None:
    with (
        head(OPEN) as (address, _),
        pytest.raises(ConfigError, match="the Ray cluster is open"),
        ray_engine(saved, Cluster(address)),
    ):
        pass


@needs_ray
@pytest.mark.slow
def test_the_command_starts_a_cluster_of_its_own_and_leaves_nothing_of_it(
    saved: Path, incoming: Path, loaded: Package, local: tuple[Path, Scored], tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    mark = secrets.token_hex(8)
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "workflows",
            "score",
            str(saved),
            str(incoming),
            "--out",
            str(tmp_path / "out"),
            "--engine",
            "ray",
        ],
        env={**own, "HOME": str(tmp_path / "home"), "MARK": mark},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "ray" not in done.stdout.lower().replace("--engine ray", "")
    with Scorer(loaded, tmp_path / "out") as scorer:
        assert scorer.export().digest == local[1].digest
    for name in ("scores", "rejected"):
        assert table(tmp_path / "out", name).equals(table(local[0], name))
    assert [path.name for path in (tmp_path / "home").rglob("*") if "token" in path.name] == []
    left = [one for one in psutil.process_iter() if _environ(one).get("MARK") == mark]
    assert psutil.wait_procs(left, 30)[1] == []  # actors end when they see that their cluster did


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}
