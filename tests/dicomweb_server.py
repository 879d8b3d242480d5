"""A small DICOMweb server in a thread, which misbehaves on request."""

import email
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pydicom

BOUNDARY = "b0undary"


class Answer(BaseHTTPRequestHandler):
    """One request and its answer."""

    protocol_version = "HTTP/1.1"
    pacs: "Pacs"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.pacs.asked.append(self.path)
        self.pacs.headers.append(dict(self.headers))
        if self.pacs.fault is None or not self.pacs.fault(self, self.path):
            self.pacs.answer(self)

    def do_POST(self) -> None:
        """Take instances by STOW-RS, and say what became of each."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.pacs.headers.append(dict(self.headers))
        message = email.message_from_bytes(b"Content-Type: %b\r\n\r\n%b" % (self.headers["Content-Type"].encode(), body))
        assert message.get_content_type() == "multipart/related"
        boundary = message.get_boundary()
        assert boundary is not None
        parts = body.split(b"--" + boundary.encode())[1:-1]
        self.pacs.posted.append([part.removeprefix(b"\r\n").partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts])
        if self.pacs.fault is None or not self.pacs.fault(self, self.path):
            self.give(b'{"00081199": {"vr": "SQ", "Value": []}}')

    def give(self, body: bytes, kind: str = "application/dicom+json", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def give_parts(self, *parts: bytes, cut: int = 0) -> None:
        """Give instances as a multipart message, cut short where asked for, with the connection."""
        body = b"".join(b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (BOUNDARY.encode(), part) for part in parts)
        body += b"--%b--\r\n" % BOUNDARY.encode()
        self.close_connection = bool(cut)
        self.send_response(200)
        self.send_header("Content-Type", f'multipart/related; type="application/dicom"; boundary={BOUNDARY}')
        if not cut:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: len(body) - cut])


class Pacs:
    """What a server holds, and how it misbehaves.

    Attributes:
        held: Study Instance UID -> Series Instance UID -> SOP Instance UID -> a file.
        fault: Called with each request; gives whether it has answered.
        page: Most results that it gives at a time.
        asked: Paths of the requests.
        posted: Instances of each request that came to be stored.
    """

    def __init__(self) -> None:
        self.held: dict[str, dict[str, dict[str, bytes]]] = {}
        self.about: dict[str, tuple[str, str]] = {}
        self.fault: Callable[[Answer, str], bool] | None = None
        self.page = 1000
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.posted: list[list[bytes]] = []
        self.url = ""

    def store(self, file: Path | bytes) -> None:
        content = file if isinstance(file, bytes) else file.read_bytes()
        header = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        series = self.held.setdefault(header.StudyInstanceUID, {}).setdefault(header.SeriesInstanceUID, {})
        series[header.SOPInstanceUID] = content
        self.about[header.StudyInstanceUID] = header.PatientID, ""
        self.about[header.SeriesInstanceUID] = header.PatientID, header.Modality

    def fetched(self) -> list[str]:
        """Give the paths of the instances that were asked for."""
        return [path for path in self.asked if "/instances/" in path]

    def answer(self, request: Answer) -> None:
        parts = urlsplit(request.path)
        query = parse_qs(parts.query)
        names = parts.path.strip("/").split("/")[1:]  # below the root
        if len(names) == 1:
            wanted = query.get("ModalitiesInStudy")
            rows = [
                self.study_row(uid)
                for uid in self.held
                if wanted is None or any(self.about[series][1] in wanted for series in self.held[uid])
            ]
        elif len(names) == 3:
            rows = [self.series_row(names[1], uid) for uid in self.held[names[1]]]
        elif len(names) == 5:
            rows = [{"00080018": value(uid, "UI")} for uid in self.held[names[1]][names[3]]]
        else:
            content = self.held.get(names[1], {}).get(names[3], {}).get(names[5])
            if content is None:
                request.give(b"", status=404)
            else:
                request.give_parts(content)
            return
        begin = int(query.get("offset", ["0"])[0])
        many = min(self.page, int(query.get("limit", ["1000"])[0]))
        request.give(json.dumps(rows[begin : begin + many]).encode())

    def study_row(self, uid: str) -> dict[str, object]:
        series = self.held[uid]
        return {
            "0020000D": value(uid, "UI"),
            "00100020": value(self.about[uid][0], "LO"),
            "00080061": {"vr": "CS", "Value": sorted({self.about[one][1] for one in series})},
            "00201208": value(sum(map(len, series.values())), "IS"),
        }

    def series_row(self, study: str, uid: str) -> dict[str, object]:
        return {
            "0020000E": value(uid, "UI"),
            "00080060": value(self.about[uid][1], "CS"),
            "00201209": value(len(self.held[study][uid]), "IS"),
        }


def value(content: object, vr: str) -> dict[str, object]:
    return {"vr": vr, "Value": [content]}


@contextmanager
def serving() -> Iterator[Pacs]:
    """Run a server on a free port of this machine."""
    pacs = Pacs()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Answer,), {"pacs": pacs}))
    server.daemon_threads = True
    pacs.url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
