"""Studies from a real DICOMweb server, Orthanc: scored to the same bit as from the folder that was stored in it."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pydicom
import pytest
import requests
from typer.testing import CliRunner

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.errors import Code, ConfigError
from medmm.package import Package
from medmm.scoring.dicomweb.address import PASSWORD, USER, address_of
from medmm.scoring.dicomweb.incoming import Fetching, incoming
from medmm.scoring.dicomweb.listing import Search
from medmm.scoring.dicomweb.server import Server
from medmm.scoring.engine import Options
from medmm.scoring.run import Scorer, score
from medmm.scoring.studies import find_studies
from medmm.workflows.cli import app

PLUGINS = (Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc"), Path("/usr/local/share/orthanc/plugins"))
ALICE = {USER: "alice", PASSWORD: "correct horse"}
BOUNDARY = b"b0undary"


@dataclass(frozen=True)
class Orthanc:
    """A server that runs.

    Attributes:
        url: Root of its DICOMweb service.
    """

    url: str

    def store(self, file: Path) -> bool:
        """Store the bytes of a file by STOW-RS, and tell whether the server took it."""
        body = b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--%b--\r\n" % (BOUNDARY, file.read_bytes(), BOUNDARY)
        kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY.decode()}'
        headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
        answer = requests.post(f"{self.url}/studies", data=body, headers=headers, auth=tuple(ALICE.values()), timeout=60)
        return answer.status_code == 200


def plugin() -> Path | None:
    return next((path for folder in PLUGINS for path in folder.glob("libOrthancDicomWeb.so*")), None)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Run Orthanc on this machine only, with a password and a storage of its own, until the tests have ended."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    if program is None or plugin() is None:
        pytest.skip("Orthanc with its DICOMweb plugin is not installed: apt install orthanc orthanc-dicomweb")
    folder = tmp_path_factory.mktemp("orthanc")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": False,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(plugin())],
        "AuthenticationEnabled": True,
        "RegisteredUsers": {ALICE[USER]: ALICE[PASSWORD]},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/system", process)
        yield Orthanc(f"http://127.0.0.1:{port}/dicom-web")
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        assert process.poll() is None, "Orthanc has ended"
        try:
            if requests.get(url, auth=tuple(ALICE.values()), timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError("Orthanc does not answer")


@pytest.fixture(scope="module")
def cohort(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of studies in every transfer syntax of the synthetic hospital, one of a CT without a slice, all of them stored."""
    root = tmp_path_factory.mktemp("cohort")
    settings = {
        "patients": 14,
        "first_patient": 100,
        "radiograph_size": 32,
        "ct_size": 32,
        "ct_slices": 5,
        "seed": 1,
        "broken": 1,
    }
    make_cohort(root, SyntheticSettings.model_validate(settings))
    for file in sorted((root / "dicom").rglob("IM*")):
        assert orthanc.store(file)
    return root / "dicom"


@pytest.fixture
def server(orthanc: Orthanc) -> Iterator[Server]:
    with Server(address_of(orthanc.url), environment=ALICE) as server:
        yield server


def table(folder: Path, name: str) -> pd.DataFrame:
    """Give a result without the time of scoring and the numbers of rows, in the order of its studies."""
    found = pq.read_table(folder / f"{name}.parquet").to_pandas().drop(columns=["scored_at", "row"], errors="ignore")
    if "reason" in found:
        found["reason"] = [re.sub(r"in row \d+", "in row N", reason) for reason in found["reason"]]
    return found.sort_values("study_id", ignore_index=True)


def test_studies_of_a_server_score_to_the_bit_as_those_of_a_folder(
    loaded: Package, cohort: Path, server: Server, tmp_path: Path
) -> None:
    score(loaded, find_studies(loaded, cohort), tmp_path / "folder", Options(workers=0))
    out = tmp_path / "server"
    with Scorer(loaded, out, Options(workers=0)) as scorer:
        for studies in incoming(server, loaded, out / ".spool", Search(), fetching=Fetching(least=4, most=8, ahead=4)):
            scorer.round(studies)
        done = scorer.export()
    for name in ("scores", "rejected"):
        assert table(out, name).equals(table(tmp_path / "folder", name))
    assert len(table(out, "scores")) == done.scored > 15
    assert table(out, "rejected")["code"].tolist() == [Code.GAP.value]
    assert not list((out / ".spool").rglob("*.dcm"))


def test_the_server_searches_by_modality_and_day(cohort: Path, server: Server) -> None:
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in cohort.rglob("IM*")]
    days = sorted({header.StudyDate for header in headers})
    first, last = days[2], days[-3]
    inside = {h.StudyInstanceUID for h in headers if h.Modality == "CT" and first <= h.StudyDate <= last}
    search = Search(("CT",), date.fromisoformat(first), date.fromisoformat(last))
    listed = list(server.studies(search))
    assert sorted(study.uid for study in listed) == sorted(inside)
    for study in listed:
        assert study.instances == sum(h.StudyInstanceUID == study.uid for h in headers)
        assert {h.PatientID for h in headers if h.StudyInstanceUID == study.uid} == {study.patient_id}
        slices = server.instances(study, ("CT",))
        assert sorted(one.uid for one in slices) == sorted(
            h.SOPInstanceUID for h in headers if h.StudyInstanceUID == study.uid and h.Modality == "CT"
        )


def test_another_password_is_refused(orthanc: Orthanc, cohort: Path) -> None:
    for environment in ({}, {**ALICE, PASSWORD: "guess"}):
        with Server(address_of(orthanc.url), environment=environment) as server, pytest.raises(ConfigError, match="401"):
            list(server.studies(Search()))


def test_the_command_scores_a_server_and_goes_on_where_it_ended(
    orthanc: Orthanc, cohort: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ALICE.items():
        monkeypatch.setenv(name, value)
    command = ["score", str(saved), orthanc.url, "--out", str(tmp_path / "out"), "--workers", "0"]
    some = CliRunner().invoke(app, [*command, "--max-studies", "5"])
    assert some.exit_code == 0, some.output
    assert len(table(tmp_path / "out", "scores")) + len(table(tmp_path / "out", "rejected")) == 5
    every = CliRunner().invoke(app, command)
    assert every.exit_code == 0, every.output
    assert "scored before and not changed since: 5 studies" in every.output
    studies = {pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID for file in cohort.rglob("IM*")}
    scores, rejected = table(tmp_path / "out", "scores"), table(tmp_path / "out", "rejected")
    assert sorted([*scores["study_id"], *rejected["study_id"]]) == sorted(studies)
    for uid in studies:
        assert uid not in some.output + every.output
    again = CliRunner().invoke(app, command)
    assert f"scored before and not changed since: {len(studies)} studies" in again.output
    assert table(tmp_path / "out", "scores").equals(scores)
    wrong = CliRunner().invoke(app, [*command, "--modality", "MR"])
    assert wrong.exit_code == 1
