"""Whatever stands in a tag, a note, a cell, a file name or a name that a user chose: no output does more than show it."""

import ast
import csv
import io
import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from browser import CHROMIUM, needs_chromium, visit
from conftest import Hospital
from hostile import HOSTILE, Seen
from rich.console import Console
from test_csv import LIVE, pieces, starts_a_formula
from test_explanation import everywhere, explained, planted  # noqa: F401 - the fixtures
from test_hostile_tags import write
from test_report_page import SVG
from test_worklist import MORE, refusal, row
from typer.testing import CliRunner

from medmm.cohort.target import TargetSettings
from medmm.errors import Code, Rejected
from medmm.explanation.page import study_page
from medmm.explanation.study import Explanation
from medmm.inert import as_it_was, csv_text, visible
from medmm.package import Package, load_package
from medmm.preview.page import Grid, grid, page
from medmm.preview.report_page import Drawing, Link, Part, Sheet, Summary, Tag, report_page
from medmm.preview.sheet import Tile, contact_sheet
from medmm.preview.thumbnails import Thumbnail
from medmm.preview.worklist_entries import Entry, Head, Line, Refused
from medmm.preview.worklist_page import worklist_page
from medmm.scoring.engine import Options
from medmm.scoring.run import score
from medmm.scoring.sinks.worklist import NAME, Worklist
from medmm.scoring.studies import find_studies
from medmm.training.tracking import Record
from medmm.workflows.cli import app
from medmm.workflows.screen import Screen

ROOT = Path(__file__).parents[1]

LONG = "<b>" + "A" * 200_000
TEXTS = (*HOSTILE, LONG)
IDS = range(len(TEXTS))

RAN = "7777"
"""Becomes the title of a page in which a text was run as a script."""

UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What no line of a terminal or a log may hold: controls but for the end of a line, what turns text around or is not seen."""


def armed(text: str) -> str:
    """Give a text that leaves a mark where it is run, instead of a dialog that nobody sees."""
    return text.replace("alert(1)", f"top.document.title={RAN}").replace("&#97;lert(1)", f"top&#46;document.title={RAN}")


def whole_worklist(texts: tuple[str, ...]) -> str:
    """Give a worklist with texts in every place that can hold one."""
    first = texts[0]
    entries = [
        Entry(
            patient=text,
            study=text,
            lines=(Line(text, text, 0.5, 0.4, True), Line(text, text)),
            abstains=True,
            why=(text, text),
            remaining=text,
            inputs=(text,),
            absent=(text,),
            adds=((text, 0.5), (text, None)),
            adds_for=text,
            alerts=(text,),
        )
        for text in texts
    ]
    head = Head(first, first, [(1, text, "studies") for text in texts], list(texts), first)
    shown = [(one, [Thumbnail(b"", (1, 1), one.study, (one.study,) * 4)], one.study) for one in entries]
    refused = [Refused(text, text, 1, text, text, text) for text in texts]
    return "".join(worklist_page(head, shown, entries, first, refused, first, first))


@pytest.mark.parametrize("text", TEXTS, ids=IDS)
def test_a_hostile_text_changes_no_tag_of_the_worklist(text: str) -> None:
    harmless, seen = Seen(whole_worklist(("harmless",)), MORE), Seen(whole_worklist((text,)), MORE)
    assert seen.tags == harmless.tags
    assert seen.links == harmless.links
    assert not UNSEEN.search("".join(seen.texts).replace("\n", ""))
    shown = visible(text) if len(text) <= 120 else visible(text)[:119] + "\N{HORIZONTAL ELLIPSIS}"
    assert seen.texts.count(shown) >= 8
    assert len(whole_worklist((text,))) < 60_000


@pytest.mark.parametrize("text", TEXTS, ids=IDS)
def test_hostile_names_of_a_package_and_hostile_rows_stay_text(package: Package, tmp_path: Path, text: str) -> None:
    text = text[:5_000]
    inputs = {text: package.inputs["labs"]}
    target = TargetSettings(column=text, positive=text) if text.strip() else package.target
    one = replace(package, name=text, digest=text, target=target, inputs=inputs, computed_in=text)
    cells = {
        **row(1, 0.5),
        **{f"{what}_{text}": value for what, value in (("probability", 0.5), ("decision", True), ("contribution", 0.5))},
        **dict.fromkeys(("patient_id", "study_id", "abstain_why", "computed_in", "scored_at"), text),
        **{"inputs": [text], "alerts": [text], "flags": [text], "abstain": True},
    }
    with Worklist().open(tmp_path, one) as rows:
        rows.scored(cells, None)
        rows.rejected(refusal(1) | {"reason": text, "code": text, "study_id": text}, None)
    seen = Seen((tmp_path / NAME).read_text(encoding="utf-8"), MORE)
    assert seen.links == ["studies", "rejected"]
    assert not UNSEEN.search("".join(seen.texts).replace("\n", ""))


def report(texts: tuple[str, ...]) -> str:
    parts = [
        Part("one", text, [text], [Drawing(SVG, text)], [Sheet(text, (text, "n"), [(Link(text, "one"), Tag(text, "bad"))])])
        for text in texts
    ]
    summary = Summary(texts[0], texts[0], texts[0], texts[0], [(text, text) for text in texts], [])
    return report_page(texts[0], texts[0], summary, parts, texts[0])


def cohort(texts: tuple[str, ...]) -> str:
    return page(texts[0], texts[0], [grid(Grid(text, text, (text, text), [(text, text)])) for text in texts])


def sheet(texts: tuple[str, ...]) -> str:
    tiles = [Tile(text, text, Rejected(Code.GAP, text, text, text, text)) for text in texts]
    return contact_sheet(texts[0], tiles, texts)


PAGES = {"worklist": whole_worklist, "report": report, "cohort": cohort, "contact sheet": sheet}


@needs_chromium
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("guarded", [True, False], ids=["as it is", "without its policy"])
def test_a_browser_runs_nothing_asks_for_nothing_and_keeps_the_title(name: str, guarded: bool) -> None:
    """The policy of a page alone would hide a text that is not escaped, so that it is looked at without, too."""
    texts = tuple(armed(text)[:3_000] for text in TEXTS)
    texts = (next(text for text in texts if text.startswith("</title>")), *texts)
    content = PAGES[name](texts)
    assert "Content-Security-Policy" in content
    if not guarded:
        content = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", content)
    seen = visit(content)
    assert seen.asked == ()
    assert seen.title == texts[0]
    assert seen.dom.rstrip().endswith("</html>")
    assert seen.dom.count("<script") == 0


@needs_chromium
def test_a_browser_runs_nothing_on_the_page_of_a_study(explained: Explanation) -> None:  # noqa: F811
    for text in ("</style><script>alert(1)</script>", '"><img src=x onerror=alert(1)>'):
        content = study_page(everywhere(explained, armed(text)), {armed(text): b"png"})
        seen = visit(re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", content))
        assert seen.asked == ()
        assert RAN not in seen.title


@needs_chromium
@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("<script>alert(1)</script>", ()),
        ("<img src=x onerror=alert(1)>", ("/x",)),
        ("<img src=http://example.org/x.png>", ("example.org /x.png",)),
        ("<style>@import 'http://example.org/x.css';</style>", ("example.org /x.css",)),
        ("<img src=https://example.org/x.png>", ("https",)),
    ],
)
def test_the_browser_would_tell(text: str, asked: tuple[str, ...]) -> None:
    seen = visit(f"<!doctype html><html><head><title>quiet</title></head><body>{armed(text)}</body></html>")
    assert (seen.title == RAN) == ("alert" in text)
    assert all(any(one in found for found in seen.asked) for one in asked)
    assert bool(seen.asked) == bool(asked)


def cells_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_every_table_of_a_run_is_inert_and_can_be_had_back() -> None:
    texts = [*LIVE, *(text[:3_000] for text in TEXTS)]
    clean = [text.replace("\0", "").encode("utf-8", "ignore").decode() for text in texts]
    table = pd.DataFrame(
        {"level": clean, "n": -1.5, "kind": pd.Categorical(clean), "=1+1": None, "whole": pd.array([1] * len(clean))}
    )
    kept: dict[str, str] = {}
    client = SimpleNamespace(log_text=lambda run, content, path: kept.update({path: content}))
    for name in ("table1.csv", "leaks.csv"):
        Record(cast(Any, client), "run", "experiment").table(table, name)
        content = kept[name]
        assert not [piece for piece in pieces(content.replace("-1.5", "1.5")) if starts_a_formula(piece)]
        head, *rows = cells_of(content)
        assert head == ["level", "n", "kind", "'=1+1", "whole"]
        assert [as_it_was(one[0]) for one in rows] == clean
        assert [one[0] for one in rows] == [one[2] for one in rows]
        assert {(one[1], one[3], one[4]) for one in rows} == {("-1.5", "", "1")}
    assert table["level"].tolist() == clean  # the caller's own stays as it is
    halves = pd.DataFrame({"text": pd.Series(["a\0b", "\ud800"], dtype=object)})
    assert csv_text(halves) == "text\r\na\u2400b\r\n\\ud800\r\n"


def test_no_table_is_written_in_another_way() -> None:
    calls = set()
    for folder in ("medmm", "workflows"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and node.attr == "to_csv":
                    calls.add(str(path.relative_to(ROOT)))
    assert sorted(calls) == ["medmm/cohort/synthetic/export.py", "medmm/inert.py"]  # data of nobody; the way


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("terminal", [True, False])
def test_a_text_on_the_screen_is_read_and_nothing_else(text: str, terminal: bool) -> None:
    file = io.StringIO()
    screen = Screen(Console(file=file, force_terminal=terminal, width=300))
    screen.say(text)
    said = file.getvalue()
    assert said == visible(text) + "\n"
    assert not UNSEEN.search(said)
    screen.table(text, (text, "n"), [(text, 1)])
    with screen.step(text) as step:
        step(1, 2, text)
    rest = re.sub(r"\x1b\[(?:[0-9;]*m|\?25[lh]|2K|[0-9]*A)|\r", "", file.getvalue()) if terminal else file.getvalue()
    assert not UNSEEN.search(rest)
    assert "\x1b[31m" not in file.getvalue()
    assert visible(text).strip()[:60] in rest


def test_a_screen_shows_styles_where_they_are_meant() -> None:
    file = io.StringIO()
    Screen(Console(file=file, force_terminal=True, color_system="standard")).say("[bold]a[/] \x1b[31mb", marked=True)
    assert file.getvalue() == "\x1b[1ma\x1b[0m \N{REPLACEMENT CHARACTER}[31mb\n"


@pytest.mark.parametrize("text", [one for one in HOSTILE if "\0" not in one])
def test_an_error_is_one_line_that_is_read_and_nothing_else(tmp_path: Path, text: str) -> None:
    config = tmp_path / "run.yaml"
    quoted = text.encode("utf-8", "ignore").decode().replace("\\", "\\\\").replace('"', '\\"')
    quoted = "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)
    config.write_text(f'"{quoted}": 1\nname: "{quoted}"\n', encoding="utf-8")
    name = text.replace("/", "").encode("utf-8", "ignore").decode()
    for words in (["inspect", str(config)], ["inspect", f"x{name}.yaml"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code != 0
        assert not UNSEEN.search(done.output)
        assert len(done.output.strip().splitlines()) == 1


NAMED = tuple(re.sub("[/\0\ud800-\udfff]", "", text)[:60].ljust(12) for text in HOSTILE)
"""As file names and as text of a tag, which has a length."""


@pytest.fixture(scope="module")
def incoming(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies whose table, notes and file names hold hostile texts, and a folder of files with such tags."""
    root = tmp_path_factory.mktemp("hostile")
    shutil.copytree(hospital.cohort.root, root / "tables")
    texts = [text.replace("\0", "").encode("utf-8", "ignore").decode().strip() for text in HOSTILE]
    studies = pd.read_csv(root / "tables" / "studies.csv", dtype=str, keep_default_na=False)
    named = dict(zip(studies["study_id"], texts, strict=False))
    for name in ("studies", "labs", "notes"):
        table = pd.read_csv(root / "tables" / f"{name}.csv", dtype=str, keep_default_na=False)
        if "study_id" in table:
            table["study_id"] = [named.get(one, one) for one in table["study_id"]]
        if "text" in table:
            table["text"] = [texts[i % len(texts)] + " " + note for i, note in enumerate(table["text"])]
        table.to_csv(root / "tables" / f"{name}.csv", index=False)
    files = sorted(path for path in (root / "tables" / "dicom").rglob("*") if path.is_file())
    for path, name in zip(files, NAMED, strict=False):
        path.rename(path.with_name(name))
    for i, text in enumerate(NAMED):
        (root / "tags" / str(i)).mkdir(parents=True)
        content = text.encode("utf-8").ljust(80)[:80]
        write(root / "tags" / str(i) / text, content, "PatientID", "StudyInstanceUID", "PatientName", "SeriesDescription")
    return root


@pytest.mark.parametrize("source", ["tables", "tags"])
def test_a_scoring_of_hostile_studies_shows_them_and_does_nothing_else(
    saved: Path, incoming: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any, source: str
) -> None:
    package = load_package(saved)
    told: list[str] = []
    with caplog.at_level(logging.DEBUG):
        studies = find_studies(package, incoming / source, told.append, tmp_path / "cache")
        done = score(package, studies, tmp_path / "out", Options(workers=2), sink="csv", also=["worklist"])
    assert done.scored >= 20
    for text in (*told, *caplog.messages, *capfd.readouterr()):
        assert not UNSEEN.search(text)
        assert not re.search("alert|calc|example.org", text)
    for path in (tmp_path / "out").rglob("*"):
        assert not re.search("alert|calc|example|script|[^ -~]", path.name)
    found = set()
    for name in ("scores", "rejected"):
        content = (tmp_path / "out" / f"{name}.csv").read_bytes().decode("utf-8-sig")
        head, *rows = cells_of(content)
        texts = [one[i] for one in rows for i in (head.index("patient_id"), head.index("study_id"))]
        assert not [
            piece for text in texts for piece in pieces(f'"{text.replace(chr(34), chr(34) * 2)}"') if starts_a_formula(piece)
        ]
        found |= {as_it_was(text) for text in texts}
    assert sum("alert(1)" in text for text in found) >= 10
    shown = (tmp_path / "out" / NAME).read_text(encoding="utf-8")
    seen = Seen(shown, MORE)
    assert {visible(text)[:40] for text in found} <= {text[:40] for text in seen.texts} | {""}
    assert seen.pictures
    assert not UNSEEN.search("".join(seen.texts).replace("\n", ""))
    if CHROMIUM is not None:
        unguarded = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", shown)
        result = visit(armed(unguarded))
        assert (result.asked, result.title) == ((), "Worklist: chest")
