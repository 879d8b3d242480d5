"""A page opened in headless Chromium: what became of it, and what it asked for."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-domain-reliability",
    "--metrics-recording-only",
    "--no-pings",
    "--hide-scrollbars",
)

LONGEST_SECONDS = 120


@dataclass(frozen=True)
class Visit:
    """What came of a page.

    Attributes:
        dom: The page as it is when all has settled, as HTML.
        title: Its title.
        asked: What was asked for beside the page, of its own host or of example.org.
    """

    dom: str
    title: str
    asked: tuple[str, ...]


class _Title(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.inside, self.title = False, ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "title"

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        self.title += data if self.inside else ""


def visit(page: str) -> Visit:
    """Open a page and wait until nothing more happens.

    The host example.org is this machine, where each request is noted; there are no others.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def parse_request(self) -> bool:
            if self.raw_requestline.startswith(b"\x16\x03"):  # TLS: somebody wants https
                asked.append("https")
                return False
            return super().parse_request()

        def do_GET(self) -> None:
            own = self.path == "/page.html" and self.headers["Host"].startswith("127.0.0.1:")
            if not own and self.path != "/favicon.ico":  # a browser of its own accord
                asked.append(f"{self.headers['Host']} {self.path}")
            content = page.encode("utf-8", "replace") if own else b""
            self.send_response(200 if own else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_HEAD = do_OPTIONS = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    assert CHROMIUM is not None
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own,
    ):
        place = f"127.0.0.1:{server.server_address[1]}"
        Thread(target=server.serve_forever, daemon=True).start()
        words = [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={Path(own)}",
            f"--host-resolver-rules=MAP example.org {place}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--virtual-time-budget=3000",
            "--dump-dom",
            f"http://{place}/page.html",
        ]
        try:
            done = subprocess.run(words, capture_output=True, check=True, timeout=LONGEST_SECONDS)
        finally:
            server.shutdown()
    dom = done.stdout.decode()
    return Visit(dom, _Title(dom).title, tuple(asked))
