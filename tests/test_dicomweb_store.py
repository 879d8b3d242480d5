"""Reports stored by STOW-RS: in a server that misbehaves, and in a real one, Orthanc, that gives them back as they were."""

import json
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pandas as pd
import pydicom
import pytest
import requests
from dicomweb_server import Answer, Pacs, serving
from pydicom.dataset import Dataset
from rich.console import Console
from test_dicomweb_orthanc import ALICE, Orthanc, orthanc  # noqa: F401
from test_sinks_dicom_sr import SOURCE, row_of
from typer.testing import CliRunner

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.errors import ConfigError
from medmm.files import digest
from medmm.package import Package
from medmm.scoring.dicomweb.address import OF_STORE, OF_STUDIES, address_of, authorization
from medmm.scoring.dicomweb.listing import RemoteStudy
from medmm.scoring.dicomweb.spool import Spool, note_stored
from medmm.scoring.dicomweb.store import Store, store_folders
from medmm.scoring.dicomweb.store_answer import Unstored, in_words
from medmm.scoring.sinks.dicom_object import content_of, writer_of_dicom
from medmm.scoring.sinks.dicom_saliency import FOLDER as PICTURES
from medmm.scoring.sinks.dicom_sr import FOLDER, structured_report
from medmm.workflows.cli import app
from medmm.workflows.screen import Screen
from medmm.workflows.store import destination_of, store_meanwhile

SMALL = {
    "patients": 4,
    "first_patient": 200,
    "radiograph_size": 32,
    "ct_size": 32,
    "ct_slices": 5,
    "seed": 2,
    "unlabelled": True,
}
TOKEN = {"MEDMM_DICOMWEB_TOKEN": "abc"}


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    with serving() as pacs:
        yield pacs


@pytest.fixture
def out(loaded: Package, tmp_path: Path) -> Path:
    """Reports of two studies, of the first one two."""
    with writer_of_dicom():
        for study, precision in (("1.2.3", "fp32"), ("1.2.3", "bf16"), ("1.2.4", "fp32")):
            source = type(SOURCE)(study, SOURCE.modality, SOURCE.header, SOURCE.images)
            made = structured_report(source, row_of("binary", computed_in=precision), loaded)
            made.StudyInstanceUID = study
            (tmp_path / FOLDER).mkdir(exist_ok=True)
            (tmp_path / FOLDER / f"{made.SOPInstanceUID}.dcm").write_bytes(content_of(made))
    return tmp_path


def stored(pacs: Pacs, out: Path) -> tuple[dict[str, int], int, tuple[Unstored, ...]]:
    address = address_of(pacs.url)
    with Store(address, environment=TOKEN, pauses=(0.0, 0.0)) as store:
        done = store_folders(store, address, [out / FOLDER], out)
    return dict(done.studies), done.known, done.failed


def failing(reasons: dict[str, int | None], status: int) -> bytes:
    items = [
        {
            "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.88.22"]},
            "00081155": {"vr": "UI", "Value": [uid]},
            **({"00081197": {"vr": "US", "Value": [reason]}} if reason is not None else {}),
        }
        for uid, reason in reasons.items()
    ]
    return json.dumps({"00081198": {"vr": "SQ", "Value": items}}).encode()


def test_a_request_a_study_holds_its_files_to_the_byte(pacs: Pacs, out: Path) -> None:
    studies, known, failed = stored(pacs, out)
    assert (studies, known, failed) == ({"1.2.3": 2, "1.2.4": 1}, 0, ())
    assert sorted(map(len, pacs.posted)) == [1, 2]
    sent = {content for request in pacs.posted for content in request}
    assert sent == {file.read_bytes() for file in (out / FOLDER).iterdir()}
    for request in pacs.posted:
        assert len({pydicom.dcmread(BytesIO(one)).StudyInstanceUID for one in request}) == 1
    for headers in pacs.headers:
        assert headers["Authorization"] == "Bearer abc"
        assert 'type="application/dicom"' in headers["Content-Type"]


def test_what_was_stored_is_not_sent_again_but_to_another_server(pacs: Pacs, out: Path) -> None:
    stored(pacs, out)
    assert (out / ".stored.json").stat().st_mode & 0o777 == 0o600
    assert stored(pacs, out) == ({}, 3, ())
    assert len(pacs.posted) == 2
    with serving() as other:
        assert stored(other, out)[0] == {"1.2.3": 2, "1.2.4": 1}
        assert len(other.posted) == 2


def test_a_report_that_cannot_be_read_is_told_and_costs_no_other(pacs: Pacs, out: Path) -> None:
    (out / FOLDER / "1.2.9.dcm").write_bytes(b"no DICOM")
    studies, known, failed = stored(pacs, out)
    assert (studies, known) == ({"1.2.3": 2, "1.2.4": 1}, 0)
    assert failed == (Unstored("1.2.9", "its file in the folder of the results cannot be read"),)


@pytest.mark.parametrize("memory", [b"[1]", b"{", b'{"a": 3, "b": [{}]}'])
def test_a_damaged_memory_remembers_nothing(pacs: Pacs, out: Path, memory: bytes) -> None:
    (out / ".stored.json").write_bytes(memory.replace(b"a", digest(address_of(pacs.url).url.encode()).encode()))
    assert stored(pacs, out)[0] == {"1.2.3": 2, "1.2.4": 1}


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (0xA700, "it has no room (0xA700)"),
        (0xA7FF, "it has no room (0xA7FF)"),
        (0xA900, "the object is not as its kind asks (0xA900)"),
        (0xC122, "it does not take this transfer syntax (0xC122)"),
        (0xC456, "it cannot understand the object (0xC456)"),
        (0x0122, "it does not take this kind of object (0x0122)"),
        (0x0124, "it is not allowed (0x0124)"),
        (0x0110, "it could not process it (0x0110)"),
        (0x1234, "a reason of its own (0x1234)"),
        (None, "no reason given"),
    ],
)
def test_what_a_server_says_failed_is_told_by_reason_and_the_rest_is_stored(
    pacs: Pacs, out: Path, reason: int | None, words: str
) -> None:
    bad = sorted(file.stem for file in (out / FOLDER).iterdir())[0]

    def fault(request: Answer, _: str) -> bool:
        request.give(failing({bad: reason}, 202), status=202)
        return True

    pacs.fault = fault
    studies, _, failed = stored(pacs, out)
    assert failed == (Unstored(bad, f"the server refused it: {words}"),)
    assert in_words(reason) == words
    assert sum(studies.values()) == 2
    pacs.fault = None
    assert sum(stored(pacs, out)[0].values()) == 1


def test_where_a_server_takes_none_of_a_study_all_have_failed(pacs: Pacs, out: Path) -> None:
    bad = sorted(file.stem for file in (out / FOLDER).iterdir())

    def fault(request: Answer, _: str) -> bool:
        request.give(failing({bad[0]: 0xA700}, 409), status=409)
        return True

    pacs.fault = fault
    studies, _, failed = stored(pacs, out)
    assert studies == {}
    assert sorted(one.uid for one in failed) == bad
    assert {one.why for one in failed} == {
        "the server refused it: it has no room (0xA700)",
        "the server refused it: no reason given",
    }


def test_what_a_server_has_already_counts_as_stored(pacs: Pacs, out: Path) -> None:
    uids = [file.stem for file in (out / FOLDER).iterdir()]

    def fault(request: Answer, _: str) -> bool:
        request.give(failing(dict.fromkeys(uids, 0x0111), 409), status=409)
        return True

    pacs.fault = fault
    assert stored(pacs, out)[2] == ()


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"[[[[", b'{"00081198": 7}', b'{"00081198": {"Value": [7, {}]}}', b"null"]
)
def test_an_answer_that_cannot_be_read_counts_by_its_status(pacs: Pacs, out: Path, body: bytes) -> None:
    def fault(request: Answer, _: str) -> bool:
        request.give(body, status=200)
        return True

    pacs.fault = fault
    assert sum(stored(pacs, out)[0].values()) == 3


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (503, 3), (400, 1), (415, 1), (202, 1), (204, 1)])
def test_a_server_that_fails_is_tried_again_where_that_may_help_and_told_for_each_study(
    pacs: Pacs, out: Path, status: int, tries: int
) -> None:
    def fault(request: Answer, _: str) -> bool:
        request.give(b"", status=status)
        return True

    pacs.fault = fault
    studies, _, failed = stored(pacs, out)
    assert studies == {}
    assert len(failed) == 3
    assert all(f"the status {status}" in one.why for one in failed)
    assert len(pacs.posted) == 2 * tries


def test_a_server_that_is_down_is_not_waited_for_study_by_study(pacs: Pacs) -> None:
    def fault(request: Answer, _: str) -> bool:
        request.give(b"", status=503)
        return True

    pacs.fault = fault
    with Store(address_of(pacs.url), environment=TOKEN, pauses=(0.0,)) as store:
        told = [store.send({f"2.25.{number}": b"x"})[0].why for number in range(6)]
        assert ["not tried" in why for why in told] == [False, False, False, True, True, True]
        assert len(pacs.posted) == 6
    pacs.fault = lambda request, _: len(pacs.posted) % 2 == 0 and fault(request, _)
    with Store(address_of(pacs.url), environment=TOKEN, pauses=()) as store:
        kept = [store.send({f"2.25.{number}": b"x"}) for number in range(8)]
    assert [len(one) for one in kept] == [0, 1] * 4  # each other one, so it is not down


def test_one_study_that_fails_costs_no_other(pacs: Pacs, out: Path) -> None:
    def fault(request: Answer, _: str) -> bool:
        if len(pacs.posted[-1]) == 2:
            request.give(b"", status=400)
            return True
        return False

    pacs.fault = fault
    studies, _, failed = stored(pacs, out)
    assert studies == {"1.2.4": 1}
    assert len(failed) == 2


@pytest.mark.parametrize("status", [301, 307, 401, 403])
def test_a_server_that_refuses_us_ends_it_at_once(pacs: Pacs, out: Path, status: int) -> None:
    def fault(request: Answer, _: str) -> bool:
        request.give(b"", status=status, Location="http://127.0.0.1:1/")
        return True

    pacs.fault = fault
    with pytest.raises(ConfigError) as told:
        stored(pacs, out)
    assert len(pacs.posted) == 1
    if status in {401, 403}:
        assert "may store studies" in str(told.value)


def test_no_server_is_told_what_another_must_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDMM_DICOMWEB_TOKEN", "abc")
    back = destination_of("https://pacs.example/dicom-web", True, None)
    assert back is not None
    assert back.names == OF_STUDIES
    to = destination_of("https://pacs.example/dicom-web", False, "https://other.example/dicom-web")
    assert to is not None
    assert to.names == OF_STORE
    assert authorization(TOKEN, OF_STORE) is None
    assert authorization({"MEDMM_STORE_USER": "u", "MEDMM_STORE_PASSWORD": "p"}, OF_STORE) == "Basic dTpw"
    with pytest.raises(ConfigError, match="only one of MEDMM_STORE_USER"):
        authorization({"MEDMM_STORE_USER": "u"}, OF_STORE)
    assert destination_of("folder", False, None) is None
    with pytest.raises(ConfigError, match="--store-to ADDRESS"):
        destination_of("folder", True, None)
    with pytest.raises(ConfigError, match="two servers"):
        destination_of("https://pacs.example/", True, "https://other.example/")
    with pytest.raises(ConfigError, match="--insecure-http"):
        destination_of("folder", False, "http://pacs.example/dicom-web")
    assert destination_of("folder", False, "http://pacs.example/dicom-web", insecure=True) is not None


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cohort")
    make_cohort(root, SyntheticSettings.model_validate(SMALL))
    return root


def test_the_scores_stay_where_storing_fails(
    pacs: Pacs, cohort: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(request: Answer, _: str) -> bool:
        request.give(b"", status=400)
        return True

    pacs.fault = fault
    monkeypatch.setenv("COLUMNS", "400")
    command = ["score", str(saved), str(cohort), "--out", str(tmp_path), "--workers", "0", "--store-to", pacs.url]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    count = len(list((tmp_path / FOLDER).iterdir()))
    assert len(scores) >= count > 3
    assert done.output.count("not stored: the report") == count
    assert f"the reports of {count} studies were not stored" in done.output
    names = {str(pydicom.dcmread(file).PatientID) for file in (tmp_path / FOLDER).iterdir()}
    assert not [name for name in names if name in done.output]
    pacs.fault = None
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.output
    assert f"{count} reports stored in the DICOMweb server, of {count} studies" in again.output
    assert pd.read_parquet(tmp_path / "scores.parquet").equals(scores)


def test_while_more_studies_are_waited_for_a_failure_is_told_and_tried_again(
    pacs: Pacs, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault(request: Answer, _: str) -> bool:
        request.give(b"", status=401)
        return True

    pacs.fault = fault
    destination = destination_of("folder", False, pacs.url)
    screen = Screen(Console(width=400))
    store_meanwhile(destination, out, screen)
    assert "refuses the credentials (status 401): set MEDMM_STORE_TOKEN" in capsys.readouterr().out
    pacs.fault = None
    store_meanwhile(destination, out, screen)
    assert "3 reports stored in the DICOMweb server, of 2 studies" in capsys.readouterr().out
    store_meanwhile(None, out, screen)
    assert len(pacs.posted) == 3


class Empty:
    """A server that lists no instances."""

    def instances(self, *_: object) -> list[object]:
        return []


@pytest.mark.parametrize("order", ["scored, stored", "stored, scored", "again: stored, scored"])
def test_a_study_stays_scored_though_its_server_now_counts_our_reports(tmp_path: Path, order: str) -> None:
    with closing(Spool(tmp_path)) as spool:
        before, after, more = (RemoteStudy("1.2.3", "P", number) for number in (5, 7, 8))
        if order == "scored, stored":
            spool.mark_done(before)
            note_stored(tmp_path, "1.2.3", 2)
        else:  # as while one watches
            if order.startswith("again"):
                spool.mark_done(RemoteStudy("1.2.3", "P", 1))
                note_stored(tmp_path, "1.2.3", 2)
            spool.fetch(Empty(), before, ())  # type: ignore[arg-type]
            note_stored(tmp_path, "1.2.3", 2)
            spool.mark_done(before)
        assert spool.is_done(after)
        assert not spool.is_done(before)
        assert not spool.is_done(more)
        spool.fetch(Empty(), more, ())  # type: ignore[arg-type]
        spool.mark_done(more)
        assert spool.is_done(more)


def fetched(server: Orthanc, path: str) -> Dataset:
    """Fetch one instance by WADO-RS."""
    headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    answer = requests.get(f"{server.url}/{path}", headers=headers, auth=tuple(ALICE.values()), timeout=60)
    start, end = answer.content.index(b"\r\n\r\n") + 4, answer.content.rindex(b"\r\n--")
    return pydicom.dcmread(BytesIO(answer.content[start:end]))


def test_a_real_server_takes_the_reports_and_gives_them_back_as_they_were(
    orthanc: Orthanc,  # noqa: F811
    cohort: Path,
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from highdicom.sr import srread

    for name, value in ALICE.items():
        monkeypatch.setenv(name, value)
    files = [file for file in (cohort / "dicom").rglob("*") if file.is_file()]
    assert all(orthanc.store(file) for file in files)
    out = tmp_path / "out"
    command = ["score", str(saved), orthanc.url, "--out", str(out), "--workers", "0", "--store", "--also", "saliency"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    made, pictures = sorted((out / FOLDER).iterdir()), sorted((out / PICTURES).iterdir())
    scores = pd.read_parquet(out / "scores.parquet")
    assert len(made) == len(scores) > 3
    assert len(pictures) >= len(made)
    both = len(made) + len(pictures)
    assert f"{both} reports stored in the DICOMweb server, of {len(made)} studies" in done.output
    for file in pictures:
        read = pydicom.dcmread(file)
        place = f"studies/{read.StudyInstanceUID}/series/{read.SeriesInstanceUID}/instances/{read.SOPInstanceUID}"
        assert fetched(orthanc, place) == read
    for file in made:
        read = srread(file)
        there = fetched(
            orthanc, f"studies/{read.StudyInstanceUID}/series/{read.SeriesInstanceUID}/instances/{read.SOPInstanceUID}"
        )
        assert there == pydicom.dcmread(file)
        held = {header.SOPInstanceUID for header in (pydicom.dcmread(one, stop_before_pixels=True) for one in files)}
        assert {uid for _, _, uid, _ in read.get_evidence()} <= held
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.output
    assert f"scored before and not changed since: {len(scores)} studies" in again.output
    assert f"0 reports stored in the DICOMweb server, of 0 studies; {both} stored before" in again.output
    assert sorted((out / FOLDER).iterdir()) == made
    (out / ".stored.json").unlink()
    third = CliRunner().invoke(app, command)
    assert third.exit_code == 0, third.output
    studies = requests.get(f"{orthanc.url}/instances?Modality=SR", auth=tuple(ALICE.values()), timeout=60).json()
    assert len(studies) == len(made)  # twice stored is once there
