"""A logged model scores in a new environment made of its own requirements, without a network, to the same bit by every way."""

import json
import os
import shutil
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import Hospital

from medmm.package import load_package
from medmm.registry import log_model, requirements
from medmm.scoring.engine import Options
from medmm.scoring.run import score
from medmm.scoring.studies import find_studies
from medmm.training.tracking import TrackingSettings, connect, open_record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # an installation of a few GB

ROOT = Path(__file__).parents[1]
STUDIES = 40
CHUNK = 7
ONLINE = 8
"""Every so many studies one is asked alone; each time the headers of all images are read."""

NO_NETWORK = """
import os, sys

def watch(event, arguments):
    if event == "socket.getaddrinfo" or event == "socket.connect" and not isinstance(arguments[1], (str, bytes)):
        with open(os.environ["ATTEMPTS"], "a") as file:
            file.write(f"{event} {arguments[1:]}\\n")
        raise OSError("there is no network")

sys.addaudithook(watch)
"""

WAYS = """
import json, sys
from pathlib import Path

import mlflow
import pandas as pd
import medmm
from mlflow.pyfunc.scoring_server import invocations

def main():
    model_path, root, out, chunk = sys.argv[1:]
    assert Path(sys.prefix) in Path(medmm.__file__).parents, "the installed package is asked, not the checkout"
    model = mlflow.pyfunc.load_model(model_path)
    params = {"root": root, "workers": 0}
    read = {"dtype": str, "keep_default_na": False}
    file = Path(root) / "studies.csv"
    table = pd.read_csv(file, **read)

    def rows(frames):
        return [row for frame in frames for row in frame.to_dict("records")]

    def asked(some):
        data = json.dumps({"dataframe_split": some.to_dict("split"), "params": params})
        answer = invocations(data, "application/json", model, model.metadata.get_input_schema())
        assert answer.status == 200, answer.response
        return answer.response

    def no_constant(word):
        raise ValueError(f"{word} is no JSON")

    one_by_one = [table.iloc[[i]].reset_index(drop=True) for i in range(0, len(table), 8)]  # the last one, too
    said = {
        "whole": rows([model.predict(table, params=params)]),
        "chunks": rows(model.predict(some, params=params) for some in pd.read_csv(file, chunksize=int(chunk), **read)),
        "online": rows(model.predict(some, params=params) for some in one_by_one),
        "server": [row for some in one_by_one for row in json.loads(asked(some), parse_constant=no_constant)["predictions"]],
    }
    Path(out).write_text(json.dumps(said, allow_nan=False))

if __name__ == "__main__":
    main()
"""


class Fresh:
    """A new environment with a model in it.

    Args:
        folder: Where it lies.
        model: The logged model.
    """

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.model = model
        self.python = folder / "venv" / "bin" / "python"
        self.attempts = folder / "attempts"

    def run(self, words: list[str], environment: Mapping[str, str] | None = None) -> str:
        """Run its Python outside the checkout, and give what it printed."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW", "COV"))}
        done = subprocess.run(  # noqa: PLW1510 (what it said is in the message)
            [str(self.python), *words], cwd=self.folder, env={**kept, **(environment or {})}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def alone(self, words: list[str]) -> str:
        """Run its Python without a network."""
        own = {"PYTHONPATH": str(self.folder / "hook"), "ATTEMPTS": str(self.attempts)}
        return self.run(words, {**own, "HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"})


@pytest.fixture(scope="module")
def fresh(saved: Path, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "store").mkdir()
    shutil.copy(empty_store, folder / "store" / "mlflow.db")
    tracking = TrackingSettings(uri=f"sqlite:///{folder}/store/mlflow.db")
    with open_record(connect(tracking), tracking, "chest") as record:
        log_model(record, load_package(saved), saved)
    (found,) = (folder / "store").rglob("MLmodel")
    shutil.copytree(found.parent, folder / "model")
    one = Fresh(folder, folder / "model")

    venv.create(folder / "venv", with_pip=True)
    pip = ["-m", "pip", "--disable-pip-version-check"]
    (small,) = (need for need in requirements({}) if need.startswith("lark=="))
    asked = subprocess.run(  # noqa: PLW1510 (a failure is an answer)
        [str(one.python), *pip, "download", "--no-deps", "--dest", str(folder / "probe"), small, "--retries", "1"],
        capture_output=True,
    )
    if asked.returncode != 0:
        pytest.skip(f"pip gets no package here (asked for {small}), so no environment can be made")
    for name in ("medmm", "workflows"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    one.run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder / "wheels"), str(folder / "source")])
    wanted = ["--requirement", str(one.model / "requirements.txt"), "--find-links", str(folder / "wheels")]
    one.run([*pip, "install", "--quiet", "--no-compile", *wanted])
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(NO_NETWORK)
    (folder / "ways.py").write_text(WAYS)
    return one


@pytest.fixture(scope="module")
def root(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some studies of the hospital; the last one has nothing."""
    folder = tmp_path_factory.mktemp("some") / "hospital"
    shutil.copytree(hospital.cohort.root, folder)
    table = pd.read_csv(folder / "studies.csv", dtype=str, keep_default_na=False).iloc[:STUDIES]
    nothing = table.iloc[-1:].assign(patient_id="90000", study_id="900-nothing", study_uid="1.2.3")
    pd.concat([table, nothing]).to_csv(folder / "studies.csv", index=False)
    return folder


def scored_here(saved: Path, root: Path, out: Path) -> tuple[dict[str, dict[str, object]], dict[str, object]]:
    """Give the rows of `scores` by study, without the time, and the codes of `rejected` by study."""
    package = load_package(saved)
    score(package, find_studies(package, root), out, Options(workers=0))
    scores, rejected = (pq.read_table(out / f"{name}.parquet").to_pylist() for name in ("scores", "rejected"))
    return {str(row["study_id"]): without_time(row) for row in scores}, {str(row["study_id"]): row["code"] for row in rejected}


def without_time(row: Mapping[str, object]) -> dict[str, object]:
    return {name: cell for name, cell in row.items() if name not in {"scored_at", "code", "reason"}}


def ended(rows: list[dict[str, object]]) -> tuple[dict[str, dict[str, object]], dict[str, object]]:
    good = {str(row["study_id"]): without_time(row) for row in rows if row["code"] == ""}
    return good, {str(row["study_id"]): row["code"] for row in rows if row["code"] != ""}


def test_every_way_says_what_scoring_says_to_the_bit_without_a_network(
    fresh: Fresh, saved: Path, root: Path, tmp_path: Path
) -> None:
    expected = scored_here(saved, root, tmp_path / "here")
    assert len(expected[0]) > STUDIES / 2
    assert expected[1]
    fresh.alone(["ways.py", str(fresh.model), str(root), str(tmp_path / "said.json"), str(CHUNK)])
    said = json.loads((tmp_path / "said.json").read_text())
    for way in ("whole", "chunks"):
        assert ended(said[way]) == expected, way
    for way in ("online", "server"):
        asked = {str(row["study_id"]) for row in said[way]}
        assert len(asked) == 1 + STUDIES // ONLINE
        assert ended(said[way]) == tuple({name: one[name] for name in one if name in asked} for one in expected), way
    table = pd.read_csv(root / "studies.csv", dtype=str, keep_default_na=False)
    given = {"dataframe_split": table.to_dict("split"), "params": {"root": str(root), "workers": 0}}
    (tmp_path / "given.json").write_text(json.dumps(given))
    assert ended(predicted(fresh, tmp_path / "given.json", tmp_path / "predicted.json", "json")) == expected
    assert not fresh.attempts.exists(), fresh.attempts.read_text()


def test_the_command_of_mlflow_scores_a_csv_of_studies_whose_identifiers_are_words(
    fresh: Fresh, saved: Path, root: Path, tmp_path: Path
) -> None:
    plain = fresh.folder  # the command knows no params, so it looks where it stands
    (plain / "dicom").mkdir()
    names = {"patient_id": "P", "study_id": "S"}
    for table in ("studies", "labs", "notes"):
        read = pd.read_csv(root / f"{table}.csv", dtype=str, keep_default_na=False)
        read = read.assign(**{column: letter + read[column] for column, letter in names.items() if column in read})
        read.to_csv(plain / f"{table}.csv", index=False)
    expected = scored_here(saved, plain, tmp_path / "here")
    assert len(expected[0]) > STUDIES / 4
    rows = predicted(fresh, plain / "studies.csv", tmp_path / "predicted.json", "csv")
    assert ended(rows) == expected
    assert not fresh.attempts.exists(), fresh.attempts.read_text()


def predicted(fresh: Fresh, given: Path, out: Path, kind: str) -> list[dict[str, object]]:
    """Run `mlflow models predict`, and give the rows of its answer, in which there must be no bare NaN."""
    words = ["-m", "mlflow", "models", "predict", "--model-uri", str(fresh.model), "--env-manager", "local"]
    fresh.alone([*words, "--input-path", str(given), "--output-path", str(out), "--content-type", kind])

    def no_constant(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    rows: list[dict[str, object]] = json.loads(out.read_text(), parse_constant=no_constant)["predictions"]
    return rows
