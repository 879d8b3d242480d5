"""A DICOMweb server is believed in nothing: a study comes whole or is rejected by name, and a fault of one costs no other."""

import logging
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from dicomweb_server import Answer, Pacs, serving, value

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.errors import Code, ConfigError, DataError
from medmm.package import Package
from medmm.scoring.dicomweb import connection
from medmm.scoring.dicomweb import server as server_module
from medmm.scoring.dicomweb.address import address_of, authorization, is_address
from medmm.scoring.dicomweb.connection import TransferError, within_limits
from medmm.scoring.dicomweb.incoming import Fetching, incoming, wanted_modalities
from medmm.scoring.dicomweb.listing import RemoteInstance, RemoteStudy, Search
from medmm.scoring.dicomweb.multipart import PartError, only_part
from medmm.scoring.dicomweb.server import Server
from medmm.scoring.dicomweb.spool import Spool, study_name
from medmm.scoring.watching import Pace
from medmm.types import Study

HEAD = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
KIND = 'multipart/related; type="application/dicom"; boundary=b'
NO_PAUSE = (0.01, 0.01)
ALL = ("CR", "CT", "DX")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("cohort")
    make_cohort(root, SyntheticSettings(patients=4, first_patient=100, radiograph_size=32, ct_size=32, ct_slices=4, seed=1))
    return sorted((root / "dicom").rglob("IM*"))


@pytest.fixture
def pacs(files: list[Path]) -> Iterator[Pacs]:
    with serving() as pacs:
        for file in files:
            pacs.store(file)
        yield pacs
        while OPEN:
            OPEN.pop().close()


OPEN: list[Server | Spool] = []


def connected(pacs: Pacs, **environment: str) -> Server:
    """Connect until the test ends."""
    server = Server(address_of(pacs.url), environment=environment, pauses=NO_PAUSE)
    OPEN.append(server)
    return server


def spool_in(folder: Path) -> Spool:
    """Open a spool until the test ends, or it is closed."""
    spool = Spool(folder)
    OPEN.append(spool)
    return spool


def remote(pacs: Pacs, uid: str | None = None) -> RemoteStudy:
    """Give a study as it is listed; the first one with several instances where none is named."""
    many = {one: sum(map(len, series.values())) for one, series in pacs.held.items()}
    uid = uid or next(one for one, count in many.items() if count > 3)
    return RemoteStudy(uid, pacs.about[uid][0], many[uid])


def fetched(pacs: Pacs, server: Server, instance: RemoteInstance) -> bytes:
    file = BytesIO()
    server.fetch(instance, file)
    return file.getvalue()


# who is asked, and as whom


@pytest.mark.parametrize(
    ("text", "url", "host", "secure"),
    [
        ("https://pacs.example/dicom-web/", "https://pacs.example/dicom-web", "pacs.example", True),
        ("HTTPS://pacs.example:8443/a/b", "https://pacs.example:8443/a/b", "pacs.example:8443", True),
        ("http://localhost:8042", "http://localhost:8042", "localhost:8042", False),
        ("http://127.0.0.1:8042/x", "http://127.0.0.1:8042/x", "127.0.0.1:8042", False),
        ("http://[::1]:8042/x", "http://[::1]:8042/x", "[::1]:8042", False),
    ],
)
def test_an_address_is_read(text: str, url: str, host: str, secure: bool) -> None:
    address = address_of(text)
    assert is_address(text)
    assert (address.url, address.host, address.secure) == (url, host, secure)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://pacs.example/dicom-web", "--insecure-http"),
        ("http://10.0.0.1", "--insecure-http"),
        ("http://localhost.example", "--insecure-http"),
        ("https://alice:secret@pacs.example", "MEDMM_DICOMWEB_USER"),
        ("https://pacs.example/x?y=1", "root"),
        ("https://pacs.example/x y", "cannot be read"),
        ("https://pacs.example:port", "cannot be read"),
        ("https:///x", "cannot be read"),
    ],
)
def test_an_address_that_is_not_safe_is_refused_without_being_repeated(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        address_of(text)
    assert "secret" not in str(caught.value)
    assert "example" not in str(caught.value)


def test_the_clear_is_allowed_by_name_only() -> None:
    assert not address_of("http://10.0.0.1:8080/x", insecure=True).secure
    assert not is_address("incoming/")


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({}, None),
        ({"MEDMM_DICOMWEB_TOKEN": "abc.def"}, "Bearer abc.def"),
        # By hand: base64 of alice:pä in UTF-8.
        ({"MEDMM_DICOMWEB_USER": "alice", "MEDMM_DICOMWEB_PASSWORD": "pä"}, "Basic YWxpY2U6cMOk"),
    ],
)
def test_credentials_come_from_the_environment(environment: dict[str, str], header: str | None) -> None:
    assert authorization(environment) == header


@pytest.mark.parametrize(
    "environment",
    [
        {"MEDMM_DICOMWEB_TOKEN": "hush\r\nX: y"},
        {"MEDMM_DICOMWEB_TOKEN": "hush", "MEDMM_DICOMWEB_USER": "alice"},
        {"MEDMM_DICOMWEB_USER": "hush"},
        {"MEDMM_DICOMWEB_PASSWORD": "hush"},
        {"MEDMM_DICOMWEB_USER": "hush:x", "MEDMM_DICOMWEB_PASSWORD": "hush"},
    ],
)
def test_credentials_that_cannot_be_used_are_refused_without_being_repeated(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        authorization(environment)
    assert "hush" not in str(caught.value)


# the parts of an answer


@pytest.mark.parametrize("seed", range(20))
def test_a_part_is_read_whatever_the_pieces(seed: int) -> None:
    chance = random.Random(seed)
    content = chance.randbytes(chance.randrange(300)) + chance.choice([b"", b"\r\n", b"\r\n--", b"\r\n--a", b"--b--", b"\r"])
    body = chance.choice([b"", b"\r\n", b"preamble\r\n"]) + HEAD + content + b"\r\n--b--\r\n"
    pieces = []
    while body:
        size = chance.randrange(1, 9)
        pieces.append(body[:size])
        body = body[size:]
    kind = chance.choice([KIND, KIND.replace("=b", '="b"'), 'Multipart/Related; Boundary="b"; type=x'])
    assert b"".join(only_part(kind, pieces)) == content


def test_a_bare_instance_is_taken_as_it_is() -> None:
    assert b"".join(only_part("application/dicom", [b"ab", b"c"])) == b"abc"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<html>"),
        ("multipart/related", HEAD + b"x\r\n--b--"),
        (KIND, b"--b--\r\n"),
        (KIND, b""),
        (KIND, HEAD),
        (KIND, HEAD + b"x" * 99),
        (KIND, HEAD + b"x\r\n--b"),
        (KIND, HEAD + b"x\r\n" + HEAD + b"y\r\n--b--"),
        (KIND, b"z" * (1 << 15) + HEAD + b"x\r\n--b--"),
        (KIND, b"--b\r\n" + b"A: b\r\n" * 4000),
    ],
)
def test_an_answer_that_is_not_one_whole_part_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(PartError):
        b"".join(only_part(kind, [body[at : at + 1000] for at in range(0, len(body), 1000)]))


def test_an_answer_is_bounded_in_size_and_time() -> None:
    stop = threading.Event()
    assert b"".join(within_limits(iter([b"ab"] * 5), 10, stop)) == b"ab" * 5
    with pytest.raises(TransferError, match="without end"):
        list(within_limits(iter([b"ab"] * 6), 10, stop))
    # 1 byte a minute: given up once 120 s and the bytes at 32 KiB/s are over.
    drips, seconds = iter([b"a"] * 100), iter(range(0, 6000, 60))
    with pytest.raises(TransferError, match="slowly"):
        list(within_limits(drips, 1000, stop, lambda: next(seconds)))
    assert len(list(drips)) == 97
    stop.set()
    with pytest.raises(TransferError):
        list(within_limits(iter([b"a"]), 10, stop))


# searches


def test_every_study_is_listed_once_page_by_page(pacs: Pacs) -> None:
    pacs.page = 2
    listed = list(connected(pacs).studies(Search()))
    assert [one.uid for one in listed] == list(pacs.held)
    assert [one.instances for one in listed] == [sum(map(len, series.values())) for series in pacs.held.values()]
    assert [one.patient_id for one in listed] == [pacs.about[uid][0] for uid in pacs.held]
    both = list(connected(pacs).studies(Search(modalities=("CR", "CT", "DX"))))
    assert sorted(one.uid for one in both) == sorted(pacs.held)
    assert len(list(connected(pacs).studies(Search(most=3)))) == 3


def test_a_server_without_offsets_or_filters_does_not_go_in_circles(pacs: Pacs) -> None:
    def always_all(request: Answer, path: str) -> bool:
        import json

        request.give(json.dumps([pacs.study_row(uid) for uid in pacs.held]).encode())
        return True

    pacs.fault = always_all
    assert [one.uid for one in connected(pacs).studies(Search())] == list(pacs.held)
    alone = list(pacs.held)[1]
    for series in pacs.held[alone]:
        pacs.about[series] = pacs.about[series][0], "MR"
    assert [one.uid for one in connected(pacs).studies(Search(modalities=("MR",)))] == [alone]


def test_days_are_asked_for(pacs: Pacs) -> None:
    list(connected(pacs).studies(Search(first_day=date(2024, 1, 2), last_day=date(2024, 3, 4))))
    assert "StudyDate=20240102-20240304" in pacs.asked[0]
    assert Search(first_day=date(2024, 1, 2)).days() == "20240102-"
    assert Search(last_day=date(2024, 1, 2)).days() == "-20240102"


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2/../3", "", "1" * 65, "1.2\n", "1..2", 7.5, None, {"a": 1}])
def test_a_study_whose_uid_is_none_is_left_out_and_counted(pacs: Pacs, uid: object) -> None:
    import json

    rows = [pacs.study_row(next(iter(pacs.held))), {"0020000D": value(uid, "UI")}]

    def lie(request: Answer, path: str) -> bool:
        request.give(json.dumps([] if "offset=0" not in path else rows).encode())
        return True

    pacs.fault = lie
    left: list[int] = []
    assert len(list(connected(pacs).studies(Search(), left.append))) == 1
    assert left == [1]


@pytest.mark.parametrize("body", [b"nonsense", b'{"a": ', b"7", b'"x"', b"[1]", b"[" * 100_000, b"\xff\xfe"])
def test_an_answer_that_is_no_list_of_results_ends_the_scoring_by_name(pacs: Pacs, body: bytes) -> None:
    pacs.fault = lambda request, path: request.give(body) or True  # type: ignore[func-returns-value]
    with pytest.raises(DataError, match="DICOMweb server"):
        list(connected(pacs).studies(Search()))


def test_a_server_that_stumbles_is_asked_again(pacs: Pacs) -> None:
    stumbles = iter([500, 503])

    def stumble(request: Answer, path: str) -> bool:
        status = next(stumbles, None)
        if status is not None:
            request.give(b"", status=status)
        return status is not None

    pacs.fault = stumble
    assert len(list(connected(pacs).studies(Search()))) == len(pacs.held)


def test_a_server_that_stays_down_is_given_up(pacs: Pacs) -> None:
    pacs.fault = lambda request, path: request.give(b"", status=502) or True  # type: ignore[func-returns-value]
    with pytest.raises(DataError, match="502"):
        list(connected(pacs).studies(Search()))
    assert len(pacs.asked) == len(NO_PAUSE) + 1


def test_nobody_at_the_address_is_an_error_of_one_line() -> None:
    with pytest.raises(DataError, match="broken connection") as caught:
        list(Server(address_of("http://127.0.0.1:9/x"), environment={}, pauses=()).studies(Search()))
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_end_the_scoring_at_once(pacs: Pacs, status: int) -> None:
    pacs.fault = lambda request, path: request.give(b"", status=status) or True  # type: ignore[func-returns-value]
    with pytest.raises(ConfigError, match="MEDMM_DICOMWEB_TOKEN") as caught:
        list(connected(pacs, MEDMM_DICOMWEB_TOKEN="hush").studies(Search()))
    assert len(pacs.asked) == 1
    assert "hush" not in str(caught.value)
    assert pacs.headers[0]["Authorization"] == "Bearer hush"


def test_a_netrc_is_not_asked_and_a_proxy_not_told(pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login eve password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    list(connected(pacs).studies(Search()))
    assert all("Authorization" not in headers for headers in pacs.headers)


def test_a_redirect_is_not_followed(pacs: Pacs) -> None:
    with serving() as other:
        pacs.fault = lambda request, path: (  # type: ignore[func-returns-value]
            request.give(b"", status=302, Location=f"{other.url}/studies") or True
        )
        with pytest.raises(ConfigError, match="elsewhere"):
            list(connected(pacs, MEDMM_DICOMWEB_TOKEN="hush").studies(Search()))
        instance = RemoteInstance("1.2", "1.3", "1.4")
        with pytest.raises(ConfigError, match="elsewhere"):
            fetched(pacs, connected(pacs, MEDMM_DICOMWEB_TOKEN="hush"), instance)
        assert other.asked == []


def test_what_inflates_is_refused(pacs: Pacs) -> None:
    pacs.fault = lambda request, path: request.give(b"x", Content_Encoding="gzip") or True  # type: ignore[func-returns-value]
    with pytest.raises(DataError, match="compressed"):
        list(connected(pacs).studies(Search()))
    assert pacs.headers[0]["Accept-Encoding"] == "identity"


def test_a_search_without_end_is_cut_off(pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SEARCH_LIMIT_BYTES", 1000)
    pacs.fault = lambda request, path: request.give(b" " * 5000 + b"[]") or True  # type: ignore[func-returns-value]
    with pytest.raises(DataError, match="without end"):
        list(connected(pacs).studies(Search()))


def test_no_log_holds_an_identifier(pacs: Pacs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = connected(pacs, MEDMM_DICOMWEB_TOKEN="hush")
    for study in server.studies(Search()):
        for instance in server.instances(study, ALL):
            fetched(pacs, server, instance)
    pacs.fault = lambda request, path: request.connection.shutdown(socket.SHUT_RDWR) or True  # type: ignore[func-returns-value]
    with pytest.raises(TransferError):
        server.instances(study, ALL)
    for secret in ("hush", *pacs.held, *(name for name, _ in pacs.about.values())):
        assert secret not in caplog.text


# the instances of a study


def test_instances_of_the_wanted_modalities_come_as_they_are_stored(pacs: Pacs) -> None:
    server = connected(pacs)
    for study in server.studies(Search()):
        for instance in server.instances(study, ("CT",)):
            assert pacs.about[instance.series][1] == "CT"
            assert fetched(pacs, server, instance) == pacs.held[study.uid][instance.series][instance.uid]
            assert "transfer-syntax=*" in pacs.headers[-1]["Accept"]
    assert len(server.instances(remote(pacs), ())) == remote(pacs).instances


def lie_about(pacs: Pacs, ending: str, rows: list[dict[str, object]]) -> None:
    import json

    def lie(request: Answer, path: str) -> bool:
        path, _, query = path.partition("?")
        if not path.endswith(ending):
            return False
        request.give(json.dumps(rows if "offset=0" in query else []).encode())
        return True

    pacs.fault = lie


@pytest.mark.parametrize("uid", ["../../../admin", "1" * 65, "x"])
def test_a_lying_uid_of_a_series_or_an_instance_costs_the_study(pacs: Pacs, uid: str) -> None:
    study = remote(pacs)
    series, held = max(pacs.held[study.uid].items(), key=lambda item: len(item[1]))
    of_series = [{**pacs.series_row(study.uid, series), "0020000E": value(uid, "UI")}]
    of_instances = [{"00080018": value(one, "UI")} for one in (uid, *list(held)[1:])]
    for ending, rows in (("/series", of_series), (f"{series}/instances", of_instances)):
        lie_about(pacs, ending, rows)
        with pytest.raises(TransferError, match="no UID"):
            connected(pacs).instances(study, ())
    assert not any("admin" in path for path in pacs.asked)


def test_fewer_instances_than_the_server_counts_cost_the_study(pacs: Pacs) -> None:
    study = remote(pacs)
    series, held = max(pacs.held[study.uid].items(), key=lambda item: len(item[1]))
    lie_about(pacs, f"{series}/instances", [{"00080018": value(uid, "UI")} for uid in list(held)[1:]])
    with pytest.raises(TransferError, match=f"{len(held) - 1} instances of a series of which it counts {len(held)}"):
        connected(pacs).instances(study, ())


def test_an_instance_that_is_listed_twice_costs_the_study(pacs: Pacs) -> None:
    study = remote(pacs)
    series, held = max(pacs.held[study.uid].items(), key=lambda item: len(item[1]))
    twice = [{"00080018": value(uid, "UI")} for uid in (list(held)[1], *list(held)[1:])]
    lie_about(pacs, f"{series}/instances", twice)
    with pytest.raises(TransferError, match="twice"):
        connected(pacs).instances(study, ())


def test_instances_without_end_cost_the_study(pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    import json
    from itertools import count

    numbers = count(1)
    monkeypatch.setattr(server_module, "MOST_INSTANCES", 500)

    def endless(request: Answer, path: str) -> bool:
        if path.partition("?")[0].endswith("/instances"):
            request.give(json.dumps([{"00080018": value(f"1.{next(numbers)}", "UI")} for _ in range(100)]).encode())
            return True
        return False

    pacs.fault = endless
    with pytest.raises(TransferError, match="more results"):
        connected(pacs).instances(remote(pacs), ())
    assert next(numbers) < 1000


@pytest.mark.parametrize(
    "answer",
    [
        lambda request, right, other: request.give_parts(right, cut=60),
        lambda request, right, other: request.give_parts(right, other),
        lambda request, right, other: request.give_parts(),
        lambda request, right, other: request.give(b"<html>", "text/html"),
        lambda request, right, other: request.give(b"", status=500),
        lambda request, right, other: request.give(b"", status=403),
        lambda request, right, other: request.give(b"", status=404),
        lambda request, right, other: request.give_parts(other),
        lambda request, right, other: request.give_parts(b"no DICOM at all" * 100),
        lambda request, right, other: request.give_parts(right[:140]),
        lambda request, right, other: request.give_parts(b""),
    ],
)
def test_an_instance_that_does_not_come_whole_costs_the_study_and_no_file(
    pacs: Pacs, tmp_path: Path, answer: Callable[[Answer, bytes, bytes], None]
) -> None:
    study = remote(pacs)
    every = [content for series in pacs.held[study.uid].values() for content in series.values()]
    bad = pydicom.dcmread(BytesIO(every[2])).SOPInstanceUID

    def fault(request: Answer, path: str) -> bool:
        if path.endswith(bad):
            answer(request, every[2], every[1])
        return path.endswith(bad)

    pacs.fault = fault
    spool = spool_in(tmp_path / "spool")
    with pytest.raises(TransferError):
        spool.fetch(connected(pacs), study, ALL)
    assert list((tmp_path / "spool/slot/0/whole").iterdir()) == []
    good = sorted((tmp_path / "spool/slot/0/part").rglob("*.dcm"))
    assert {file.read_bytes() for file in good} < set(every)
    pacs.fault, before = None, len(pacs.fetched())
    assert spool.fetch(connected(pacs), study, ALL) == len(every)
    assert len(pacs.fetched()) - before == len(every) - len(good)  # what was there was not fetched again
    whole = (tmp_path / "spool/slot/0/whole" / study_name(study.uid)).iterdir()
    assert sorted(file.read_bytes() for file in whole) == sorted(every)


def test_an_instance_without_end_is_cut_off(pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "INSTANCE_LIMIT_BYTES", 1 << 20)
    sent = [0]

    def pour(request: Answer, path: str) -> bool:
        request.send_response(200)
        request.send_header("Content-Type", KIND)
        request.end_headers()
        request.close_connection = True
        try:
            request.wfile.write(HEAD)
            while sent[0] < 1 << 30:
                sent[0] += request.wfile.write(bytes(1 << 16))
        except OSError:
            pass
        return True

    pacs.fault = pour
    file = BytesIO()
    with pytest.raises(TransferError, match="without end"):
        connected(pacs).fetch(RemoteInstance("1.2", "1.3", "1.4"), file)
    assert file.tell() <= 1 << 20
    assert sent[0] < 1 << 28


def test_a_server_that_falls_silent_is_given_up(pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "TIMEOUT_SECONDS", (1.0, 0.2))
    asleep = threading.Event()
    pacs.fault = lambda request, path: asleep.wait(5)
    with pytest.raises(TransferError):
        connected(pacs).fetch(RemoteInstance("1.2", "1.3", "1.4"), BytesIO())
    asleep.set()
    assert len(pacs.asked) == len(NO_PAUSE) + 1


# the spool


def test_the_spool_is_private_and_names_nobody(pacs: Pacs, tmp_path: Path) -> None:
    spool = spool_in(tmp_path / "out/.spool")
    for study in connected(pacs).studies(Search()):
        spool.fetch(connected(pacs), study, ALL)
        spool.mark_done(study)
    paths = list((tmp_path / "out").rglob("*"))
    assert sum(path.suffix == ".dcm" for path in paths) == sum(len(s) for one in pacs.held.values() for s in one.values())
    for path in paths:
        assert path.stat().st_mode & 0o077 == 0
        text = str(path.relative_to(tmp_path))
        assert not any(uid in text for uid in (*pacs.held, *(name for name, _ in pacs.about.values() if name)))


def test_a_study_that_grew_on_the_server_is_completed_and_one_that_shrank_loses_the_rest(pacs: Pacs, tmp_path: Path) -> None:
    study = remote(pacs)
    series = max(pacs.held[study.uid].values(), key=len)
    uid, content = series.popitem()
    spool = spool_in(tmp_path)
    whole = tmp_path / "slot/0/whole" / study_name(study.uid)
    many = spool.fetch(connected(pacs), study, ALL)
    series[uid] = content
    assert spool.fetch(connected(pacs), study, ALL) == many + 1 == len(list(whole.iterdir()))
    assert len(pacs.fetched()) == many + 1
    del series[uid]
    assert spool.fetch(connected(pacs), study, ALL) == many == len(list(whole.iterdir()))
    assert len(pacs.fetched()) == many + 1


def test_two_processes_have_spools_of_their_own_and_the_next_one_takes_what_is_left(pacs: Pacs, tmp_path: Path) -> None:
    one, other = spool_in(tmp_path), spool_in(tmp_path)
    assert one.chunk != other.chunk
    first, second = list(connected(pacs).studies(Search()))[:2]
    one.fetch(connected(pacs), first, ALL)
    other.fetch(connected(pacs), second, ALL)
    one.put_in_chunk([first.uid])
    one.close()
    other.close()
    before = len(pacs.fetched())
    third = spool_in(tmp_path)
    third.fetch(connected(pacs), first, ALL)
    third.fetch(connected(pacs), second, ALL)
    assert len(pacs.fetched()) == before


KILLED = """
import sys
from pathlib import Path
from medmm.scoring.dicomweb.address import address_of
from medmm.scoring.dicomweb.listing import Search
from medmm.scoring.dicomweb.server import Server
from medmm.scoring.dicomweb.spool import Spool
server = Server(address_of(sys.argv[1]), environment={})
spool = Spool(Path(sys.argv[2]))
for study in server.studies(Search()):
    spool.fetch(server, study, ())
"""


def test_a_download_that_is_killed_goes_on_where_it_stopped(pacs: Pacs, tmp_path: Path) -> None:
    stalled, halfway = threading.Event(), sum(len(s) for one in pacs.held.values() for s in one.values()) // 2

    def stall(request: Answer, path: str) -> bool:
        if len(pacs.fetched()) <= halfway:
            return False
        request.send_response(200)
        request.send_header("Content-Type", KIND)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        request.wfile.write(HEAD + bytes(1000))  # the file has begun
        request.wfile.flush()
        stalled.set()
        time.sleep(5)
        return True

    pacs.fault = stall
    child = subprocess.Popen([sys.executable, "-c", KILLED, pacs.url, str(tmp_path)])
    assert stalled.wait(60)
    time.sleep(0.2)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert list(tmp_path.rglob(".writing-*"))  # what the kill left
    pacs.fault = None
    spool, server = spool_in(tmp_path), connected(pacs)
    for study in server.studies(Search()):
        spool.fetch(server, study, ())
    every = [content for one in pacs.held.values() for series in one.values() for content in series.values()]
    assert len(pacs.fetched()) == len(every) + 1  # that which was cut off was asked for twice
    assert sorted(file.read_bytes() for file in (tmp_path / "slot/0/whole").rglob("*") if file.is_file()) == sorted(every)


# studies, chunk by chunk


def test_the_modalities_are_those_that_the_model_takes(loaded: Package) -> None:
    assert wanted_modalities(loaded) == ("CR", "CT", "DX")
    assert wanted_modalities(loaded, ["CT", "CT"]) == ("CT",)
    with pytest.raises(DataError, match="it takes CR, CT, DX"):
        wanted_modalities(loaded, ["MR"])


def names(studies: Iterator[list[Study]]) -> list[str]:
    return [study.study_id for chunk in studies for study in chunk]


def test_each_study_comes_whole_or_is_rejected_by_name_and_none_costs_another(
    loaded: Package, pacs: Pacs, tmp_path: Path
) -> None:
    """One holds an instance of another study, one is no image, one is kept from us, one is gone, one has another modality."""
    uids = list(pacs.held)
    foreign, broken, kept, gone, other, grown = uids[:6]

    def every(uid: str) -> Iterator[tuple[dict[str, bytes], str]]:
        return ((series, name) for series in pacs.held[uid].values() for name in series)

    series, name = next(every(foreign))
    dataset = pydicom.dcmread(BytesIO(series[name]))
    dataset.StudyInstanceUID, dataset.PatientID = uids[-1], "99999"
    file = BytesIO()
    dataset.save_as(file)
    series[name] = file.getvalue()
    for series, name in every(broken):
        series[name] = series[name][:400]
    for series_uid in pacs.held[other]:
        pacs.about[series_uid] = pacs.about[series_uid][0], "MR"

    def fault(request: Answer, path: str) -> bool:
        for uid, status in ((kept, 403), (gone, 404)):
            if uid in path and "/instances/" in path:
                request.give(b"", status=status)
                return True
        return False

    pacs.fault = fault
    said: list[str] = []
    chunks = list(
        incoming(connected(pacs), loaded, tmp_path, Search(), fetching=Fetching(least=4, most=5, ahead=3), notice=said.append)
    )
    studies = [study for chunk in chunks for study in chunk]
    assert sorted(study.study_id for study in studies) == sorted(set(uids) - {other})
    assert [study.row for study in studies] == list(range(1, len(studies) + 1))
    codes = {study.study_id: [one.code for one in study.rejected.values()] for study in studies if study.rejected}
    assert codes == {foreign: [Code.TRANSFER], broken: [Code.EMPTY], kept: [Code.TRANSFER], gone: [Code.TRANSFER]}
    for study in studies:
        assert study.patient_id == pacs.about[study.study_id][0]
        for reason in study.rejected.values():
            assert f"study in row {study.row}:" in str(reason)
            assert study.study_id not in str(reason)
    assert set(chunks[0][0].evidence) <= {"chest", "ct"}
    assert said == ["absent of every study, for they come from tables: history, labs"]
    assert not list(tmp_path.rglob("whole/*"))
    assert grown in names(iter(chunks))


def test_the_disk_holds_a_bounded_number_of_studies(loaded: Package, pacs: Pacs, tmp_path: Path, files: list[Path]) -> None:
    seen = []
    for chunk in incoming(connected(pacs), loaded, tmp_path, Search(), fetching=Fetching(least=2, most=2, ahead=1)):
        time.sleep(0.2)
        seen.append({path.name for path in (tmp_path / "slot/0").glob("*/*") if path.is_dir()})
        assert {study_name(study.study_id) for study in chunk} <= seen[-1]
    assert max(map(len, seen)) <= 3
    assert len(seen) >= len(pacs.held) // 2
    assert not [path for path in (tmp_path / "slot/0").glob("*/*") if path.is_dir()]


def test_what_was_scored_is_fetched_again_only_if_it_changed_or_its_row_is_gone(
    loaded: Package, pacs: Pacs, tmp_path: Path
) -> None:
    scored = set(names(incoming(connected(pacs), loaded, tmp_path, Search())))
    assert scored == set(pacs.held)
    before, said = len(pacs.fetched()), []

    def again() -> list[str]:
        return names(incoming(connected(pacs), loaded, tmp_path, Search(), is_scored=scored.__contains__, notice=said.append))

    assert again() == []
    assert len(pacs.fetched()) == before
    assert said[-1] == f"scored before and not changed since: {len(scored)} studies"
    lost, grown = sorted(scored)[:2]
    scored.discard(lost)
    series = next(iter(pacs.held[grown].values()))
    dataset = pydicom.dcmread(BytesIO(next(iter(series.values()))))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file = BytesIO()
    dataset.save_as(file)
    series["1.2.3"] = file.getvalue()
    assert sorted(again()) == sorted([lost, grown])


def test_to_stop_loses_no_study_and_rejects_none(loaded: Package, pacs: Pacs, tmp_path: Path) -> None:
    server = connected(pacs)
    stuck, seen = threading.Event(), []

    def stall(request: Answer, path: str) -> bool:
        if seen and "/instances/" in path and not server.stop.is_set():
            stuck.set()
            server.stop.wait(20)
        return False

    pacs.fault = stall
    for chunk in incoming(server, loaded, tmp_path, Search(), fetching=Fetching(least=2, most=2, ahead=2)):
        seen += chunk
        pacs.fault = stall
        threading.Thread(target=lambda: (stuck.wait(20), server.stop.set())).start()
    assert seen
    assert not any(study.rejected for study in seen)
    pacs.fault = None
    rest = names(incoming(connected(pacs), loaded, tmp_path, Search(), is_scored={s.study_id for s in seen}.__contains__))
    assert sorted([*rest, *(study.study_id for study in seen)]) == sorted(pacs.held)


def test_to_break_off_ends_the_threads(loaded: Package, pacs: Pacs, tmp_path: Path) -> None:
    server = connected(pacs)
    studies = incoming(server, loaded, tmp_path, Search(), fetching=Fetching(least=1, most=1, ahead=3))
    next(studies)
    studies.close()  # type: ignore[attr-defined]
    assert server.stop.is_set()
    Spool(tmp_path).close()  # the slot is free


class Hands:
    """A clock that moves as somebody waits, and what happens at each time."""

    def __init__(self, stop: threading.Event, happenings: dict[int, Callable[[], object]]) -> None:
        self.now = 0.0
        self.happenings = happenings
        self.stop = stop
        stop.wait = self.wait  # type: ignore[method-assign]

    def wait(self, timeout: float | None = None) -> bool:
        if timeout == 10.0:  # a poll; all else are pauses of requests
            self.now += timeout
            self.happenings.pop(int(self.now), lambda: None)()
        return self.stop.is_set()


def test_a_server_that_is_watched_gives_what_is_new_or_has_grown_once_it_is_at_rest(
    loaded: Package, pacs: Pacs, tmp_path: Path
) -> None:
    late, grown, *_ = [uid for uid, series in pacs.held.items() if sum(map(len, series.values())) > 3]
    held_back = pacs.held.pop(late)
    many = max(pacs.held[grown].values(), key=len)
    rest = [many.popitem() for _ in range(2)]
    failing = next(uid for uid in pacs.held if uid != grown)

    def fault(request: Answer, path: str) -> bool:
        if failing in path and "/instances/" in path:
            request.give(b"", status=404)
            return True
        return False

    pacs.fault = fault
    server = connected(pacs)
    happenings: dict[int, Callable[[], object]] = {
        30: lambda: many.update(rest[:1]),
        50: lambda: many.update(rest[1:]),
        60: lambda: pacs.held.update({late: held_back}),
        70: lambda: setattr(pacs, "url", ""),
        300: server.stop.set,
    }
    hands = Hands(server.stop, happenings)
    given: list[tuple[int, Study]] = []
    for chunk in incoming(
        server, loaded, tmp_path, Search(), watch=Pace(settle_seconds=30, poll_seconds=10), clock=lambda: hands.now
    ):
        given += [(int(hands.now), study) for study in chunk]
    when = {uid: [time for time, study in given if study.study_id == uid] for uid in pacs.held}
    assert when[late] == [90]  # first seen at 60
    assert when[grown] == [80]  # last changed at 50: never while it grew
    assert len(when[failing]) == 3  # tried again, but not for ever
    assert all(times == [30] for uid, times in when.items() if uid not in {late, grown, failing})
    slices = next(study for _, study in given if study.study_id == grown)
    assert not slices.rejected
