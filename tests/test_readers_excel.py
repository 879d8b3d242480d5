"""Workbooks: cells as they are shown, and what a workbook hides."""

import random
import unicodedata
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pandas as pd
import pytest
from openpyxl import Workbook, load_workbook

from medmm.errors import Code, Rejected
from medmm.readers import excel
from medmm.readers.table import read_table


def workbook(path: Path, *rows: tuple[object, ...], change: Callable[[Workbook], None] = lambda _: None) -> Path:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    change(book)
    book.save(path)
    return path


def repack(path: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """Change one part of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    assert change(parts[name]) != parts[name]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one, content in parts.items():
            archive.writestr(one, change(content) if one == name else content)
    return path


def refused(path: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_table(path)
    assert "secret" not in str(caught.value)
    return caught.value


SHEET = "xl/worksheets/sheet1.xml"

TEXTS = [
    "007",
    "1E5",
    "12345678901234567890",
    "NA",
    "null",
    "Müller",
    "ישראל",
    "Zoë",
    "Zoe\u0308",
    "محمد",
    " x ",
    "0x1F",
    "1.0",
]


def identifiers(seed: int) -> list[str]:
    rng = random.Random(seed)
    letters = [c for c in map(chr, range(0x20, 0x700)) if unicodedata.category(c)[0] in "LNPSZ"]
    return TEXTS + ["x" + "".join(rng.choices(letters, k=rng.randint(1, 30))) + "x" for _ in range(30)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "xlsx"])
def test_identifiers_survive_every_format(tmp_path: Path, kind: str, seed: int) -> None:
    frame = pd.DataFrame({"id": identifiers(seed), "row": [str(i) for i in range(len(identifiers(seed)))]}, dtype=str)
    path = tmp_path / f"table.{kind}"
    if kind == "xlsx":
        workbook(path, tuple(frame.columns), *frame.itertuples(index=False, name=None))
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t" if kind == "tsv" else ",", index=False)
    again = read_table(path)
    assert again["id"].tolist() == frame["id"].tolist()
    assert again["row"].tolist() == frame["row"].tolist()


def test_numbers_read_back_equal_and_times_are_iso(tmp_path: Path) -> None:
    row = (0.1, -7, 7.0, 1e-300, date(2020, 2, 29), datetime(2020, 2, 29, 1, 2, 3), time(4, 5), True, None, 123456789012345)
    frame = read_table(workbook(tmp_path / "a", tuple("abcdefghij"), row))
    assert frame.iloc[0].tolist() == [
        "0.1", "-7", "7", "1e-300", "2020-02-29", "2020-02-29T01:02:03", "04:05:00", "TRUE", "", "123456789012345",
    ]  # fmt: skip


def test_leading_zeros_that_a_format_shows_are_kept(tmp_path: Path) -> None:
    def pad(book: Workbook) -> None:
        book.active["A2"].number_format = "000"

    assert read_table(workbook(tmp_path / "a", ("id",), (7,), change=pad))["id"].tolist() == ["007"]


def test_a_day_with_a_hidden_time_keeps_its_time(tmp_path: Path) -> None:
    def hide(book: Workbook) -> None:
        book.active["A2"].number_format = "yyyy-mm-dd"

    path = workbook(tmp_path / "a", ("time",), (datetime(2024, 1, 1, 14, 30),), change=hide)
    assert read_table(path)["time"].tolist() == ["2024-01-01T14:30:00"]


def test_rows_without_a_value_and_a_wrong_extent_hide_nothing(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a", ("id", "x"), (None, None), ("1",), ("2", "b"))
    repack(path, SHEET, lambda text: text.replace(b'ref="A1:B4"', b'ref="A1"'))
    assert read_table(path).to_dict("list") == {"id": ["1", "2"], "x": ["", "b"]}


def test_cells_that_are_only_formatted_are_no_columns(tmp_path: Path) -> None:
    def format_more(book: Workbook) -> None:
        for place in ("D1", "C2", "A5"):
            book.active[place].number_format = "0"

    path = workbook(tmp_path / "a", ("id", "x"), ("1", "b"), change=format_more)
    assert read_table(path).to_dict("list") == {"id": ["1"], "x": ["b"]}


def test_a_formula_needs_its_value(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a", ("id", "x"), ("secret", "=1+1"))
    problem = refused(path)
    assert (problem.code, problem.where) == (Code.MALFORMED, "row 2, column 2")
    repack(
        path,
        SHEET,
        lambda text: text.replace(b"<v/>", b"<v></v>").replace(b"<v></v>", b"<v>2</v>").replace(b"<v />", b"<v>2</v>"),
    )
    assert read_table(path)["x"].tolist() == ["2"]


def test_a_formula_may_give_an_empty_text(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a", ("id", "x"), ("1", '=""'))
    repack(path, SHEET, lambda text: text.replace(b'<c r="B2">', b'<c r="B2" t="str">'))
    assert read_table(path)["x"].tolist() == [""]


@pytest.mark.parametrize(
    ("rows", "change", "code"),
    [
        ([("id",), ("secret",)], lambda book: book.create_sheet("secret"), Code.AMBIGUOUS),
        ([("id", "x"), ("secret", "b")], lambda book: book.active.merge_cells("A2:B2"), Code.MALFORMED),
        ([("id",), ("secret", "more")], lambda book: None, Code.MALFORMED),
        ([("id",), ("#N/A",)], lambda book: None, Code.MALFORMED),
        ([("id",), (12345678901234567890,)], lambda book: None, Code.MALFORMED),
        ([("id",), (timedelta(hours=26),)], lambda book: None, Code.MALFORMED),
        ([("id", "id"), ("1", "2")], lambda book: None, Code.MALFORMED),
        ([], lambda book: None, Code.EMPTY),
    ],
)
def test_what_cannot_be_read_right_is_refused(
    tmp_path: Path, rows: list[tuple[object, ...]], change: Callable[[Workbook], None], code: Code
) -> None:
    assert refused(workbook(tmp_path / "a", *rows, change=change)).code is code


def test_an_unpacked_workbook_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "a", ("id",), ("secret",))
    monkeypatch.setattr(excel, "CELLS_LIMIT", 1)
    assert refused(path).code is Code.TOO_LARGE
    monkeypatch.setattr(excel, "UNPACKED_LIMIT_BYTES", 1000)
    assert refused(path).code is Code.TOO_LARGE


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a", ("id",), ("1",))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/media/x.xml", "w") as part:
        for _ in range(600):
            part.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    assert refused(path).code is Code.TOO_LARGE


def test_entities_are_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a", ("id",), ("1",))
    repack(path, SHEET, lambda text: b'<!DOCTYPE x [<!ENTITY a "secret">]>' + text)
    assert refused(path).code is Code.MALFORMED


def test_older_and_broken_workbooks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    assert "without a password" in str(refused(tmp_path / "a"))
    whole = workbook(tmp_path / "b", ("id",), ("secret",)).read_bytes()
    rng = random.Random(0)
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(rng.randint(1, 20)):
            broken[rng.randrange(4, len(broken))] = rng.randrange(256)
        (tmp_path / "c").write_bytes(broken[: rng.choice([len(broken), rng.randrange(4, len(broken))])])
        try:
            columns, said = read_table(tmp_path / "c").columns.tolist(), ""
        except Rejected as problem:
            columns, said = ["id"], str(problem)
        assert columns == ["id"]
        assert "secret" not in said
    with zipfile.ZipFile(tmp_path / "d", "w") as archive:
        archive.writestr("x.txt", "secret")
    assert refused(tmp_path / "d").code is Code.MALFORMED


def test_openpyxl_itself_reads_what_these_tests_write(tmp_path: Path) -> None:
    assert load_workbook(workbook(tmp_path / "a.xlsx", ("id",), ("007",))).active["A2"].value == "007"
