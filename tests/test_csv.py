"""CSV results: no cell starts a formula wherever a spreadsheet splits it, and every cell can be had back as it was."""

import csv
import random
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Hospital
from hostile import HOSTILE
from typer.testing import CliRunner

from medmm.inert import as_it_was, inert
from medmm.package import Package
from medmm.scoring.engine import Options
from medmm.scoring.results import VIOLATIONS, rejected, scored
from medmm.scoring.run import score
from medmm.scoring.sinks.csv import Csv, read_csv
from medmm.workflows.cli import app

SCHEMA = pa.schema(
    [("text", pa.string()), ("number", pa.float64()), ("row", pa.int64()), ("is", pa.bool_()), ("list", pa.list_(pa.string()))]
)

LIVE = (
    "=1+1",
    "+1",
    "-5",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "  =1+1",
    "'=1+1",
    '"=1+1',
    "'\"' =1+1",
    "\u3000=1",
    "\u00a0=1",
    "\u200b=1",
    "\ufeff=1",
    "\u202e=1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM(A1)",
    "\ufe661",
    "\u22121",
    "\x00=1",
    "\x01=1",
    "a;=1+1",
    "a;  =1+1",
    "a\t=1+1",
    "a|=1+1",
    "a\n=1+1",
    "a\r\n=1+1",
    "a\u2028=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://x";"y")',
    "\tplain",
)
QUIET = (
    "",
    "007",
    "12345678901234567890",
    "1E5",
    "NA",
    "a-b",
    "a = b",
    "a, -5",
    "O'Brien",
    "it's",
    "x@y",
    "é",
    "1;2",
    "a; 'b'",
)
FORMULA = set("=+-@\uff1d\uff0b\uff0d\uff20\u2212\ufe66\ufe62\ufe63\ufe6b")
PASSED = set(' \t\r\n\v\f\0\x01\u3000\u00a0\u200b\ufeff\u202e"')


def starts_a_formula(cell: str) -> bool:
    """Tell whether a spreadsheet that passes over blanks and double quotes would compute. An apostrophe makes it text."""
    rest = cell.lstrip("".join(PASSED))
    return rest[:1] in FORMULA


def pieces(content: str) -> list[str]:
    """Split a file as the worst reader would: at separators and line ends in quotes or not, at commas outside them."""
    found = []
    for row in csv.reader(content.splitlines(keepends=True)):
        for cell in row:
            found.append(cell)
            worst = cell
            for separator in ";\t|\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029":
                worst = worst.replace(separator, "\n")
            found += worst.split("\n")
    return found


def written(folder: Path, rows: list[dict[str, object]]) -> Path:
    with Csv().open(folder, "some", SCHEMA) as writer:
        for row in rows:
            writer.write([row])
    return folder / "some.csv"


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    letters = [*"=+-@'\";|,\t\r\n aZ0\u200b\uff1d\u2212\u2028", "\x85", "\u3000"]
    return ["".join(rng.choices(letters, k=rng.randrange(9))) for _ in range(count)]


@pytest.mark.parametrize("text", LIVE)
def test_what_would_compute_gets_an_apostrophe_and_loses_it_again(text: str) -> None:
    cell = inert(text)
    assert cell != text
    assert not any(starts_a_formula(piece) for piece in pieces(f'"{cell.replace(chr(34), chr(34) * 2)}"'))
    assert as_it_was(cell) == text


@pytest.mark.parametrize("text", QUIET)
def test_what_computes_nothing_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


def test_any_text_is_inert_in_every_place_and_can_be_had_back(tmp_path: Path) -> None:
    some = [*LIVE, *QUIET, *HOSTILE, *texts(3000, seed=0)]
    some = [text.replace("\0", "").encode("utf-8", "ignore").decode() for text in some]
    rows = [{"text": text, "list": [text, text[::-1]]} for text in some]
    path = written(tmp_path, rows)
    content = path.read_bytes().decode("utf-8-sig")
    assert not [piece for piece in pieces(content) if starts_a_formula(piece)]
    back = read_csv(path, SCHEMA)
    assert back.column("text").to_pylist() == some
    assert back.column("list").to_pylist() == [row["list"] for row in rows]
    with path.open(encoding="utf-8-sig", newline="") as file:  # as a plain reader of RFC 4180 sees it
        plain = list(csv.reader(file))
    assert [as_it_was(row[0]) for row in plain[1:]] == some
    assert {len(row) for row in plain} == {len(SCHEMA)}


def test_numbers_stay_numbers_and_absent_is_no_empty_text(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": "007", "number": -0.1, "row": -3, "is": True, "list": ["chest", "labs"]},
        {"text": "", "number": 1e-300, "row": 2**53 + 1, "is": False, "list": []},
        {"text": None, "number": None, "row": None, "is": None, "list": None},
        {"text": "NA", "number": 0.1 + 0.2, "row": 0, "is": True, "list": ["=1"]},
    ]
    path = written(tmp_path, rows)
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.decode("utf-8-sig").split("\r\n")[:4] == [
        '"text","number","row","is","list"',
        '"007",-0.1,-3,true,"[""chest"", ""labs""]"',
        '"",1e-300,9007199254740993,false,"[]"',
        ",,,,",
    ]
    assert read_csv(path, SCHEMA).to_pylist() == rows


def test_a_nul_and_half_a_letter_become_signs_that_every_program_reads(tmp_path: Path) -> None:
    path = written(tmp_path, [{"text": "a\0b"}, {"text": "a\ud800b"}])
    assert read_csv(path, SCHEMA).column("text").to_pylist() == ["a\u2400b", "a\\ud800b"]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        with Csv().open(tmp_path, "many", SCHEMA) as writer:
            for number in range(count):
                writer.write([{"text": f"study {number}", "number": number / 7, "row": number}])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    few, many = peak(500), peak(10_000)
    assert many < 1.5 * few


def test_an_error_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Csv().open(tmp_path, "some", SCHEMA) as writer:
        writer.write([{"text": "a"}])
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_both_formats_say_the_same(package: Package, hospital: Hospital, tmp_path: Path) -> None:
    studies = [*hospital.studies[:30], replace(hospital.studies[30], evidence={}, patient_id="=1+1")]
    done = [score(package, studies, tmp_path / sink, Options(workers=0), sink=sink) for sink in ("parquet", "csv")]
    assert done[0] == done[1]
    for name, schema in (("scores", scored(package)), ("rejected", rejected(package))):
        one = pq.read_table(tmp_path / "parquet" / f"{name}.parquet").drop_columns("scored_at")
        assert one.equals(read_csv(tmp_path / "csv" / f"{name}.csv", schema).drop_columns("scored_at"))
        assert one.num_rows


def test_the_command_writes_every_result_in_the_format_that_is_asked_for(
    saved: Path, hospital: Hospital, tmp_path: Path
) -> None:
    words = ["score", str(saved), str(hospital.cohort.root), "--out", str(tmp_path), "--workers", "0", "--format"]
    answer = CliRunner().invoke(app, [*words, "csv"])
    assert answer.exit_code == 0, answer.output
    assert "scores.csv" in "".join(answer.output.split())
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"scores.csv", "rejected.csv", "violations.csv"}
    read_csv(tmp_path / "violations.csv", VIOLATIONS)
    wrong = CliRunner().invoke(app, [*words, "xlsx"])
    assert wrong.exit_code != 0
