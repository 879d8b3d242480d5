import os
import random
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from medmm.errors import Code, Rejected
from medmm.readers import notes, table
from medmm.readers.notes import read_note
from medmm.readers.table import read_table


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path: Path) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read_table(path)
    return caught.value


CELLS = [
    "007",
    "1E5",
    "NA",
    "null",
    "None",
    "nan",
    "12345678901234567890",
    "1.10",
    " x ",
    "Müller",
    "ישראל",
    "a,b",
    'say "a"',
    "",
    "TRUE",
]


def test_every_cell_is_text_as_written(tmp_path: Path) -> None:
    lines = ["id,value", *(f'{number},"{cell.replace(chr(34), chr(34) * 2)}"' for number, cell in enumerate(CELLS))]
    frame = read_table(write(tmp_path / "a.csv", "\n".join(lines)))
    assert frame["value"].tolist() == CELLS
    assert frame["id"].tolist() == [str(number) for number in range(len(CELLS))]
    assert all(isinstance(cell, str) for cell in frame["value"])


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_line_ends_and_byte_order_marks(tmp_path: Path, separator: str, end: str) -> None:
    text = end.join([separator.join(cells) for cells in (("a", "b"), ("1", "x y"), ("", ""))]) + end
    frame = read_table(write(tmp_path / "a.csv", b"\xef\xbb\xbf" + text.encode()))
    assert frame.to_dict("list") == {"a": ["1", ""], "b": ["x y", ""]}


def test_a_cell_may_hold_lines(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path / "a.csv", 'id,text\n1,"one\r\ntwo"\n'))
    assert frame["text"].tolist() == ["one\r\ntwo"]


def test_the_name_of_a_table_need_not_be_utf_8(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["1"]})
    frame.to_csv(tmp_path / "csv", index=False)
    parquet.write_table(pa.table({"a": ["1"]}), tmp_path / "parquet")
    for name in ("csv", "parquet"):
        odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xfc." + name.encode()))
        (tmp_path / name).rename(odd)
        pd.testing.assert_frame_equal(read_table(odd), frame.astype(str), check_dtype=False)


def test_a_table_may_have_no_row(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path / "a.csv", "a,b\n"))
    assert (frame.columns.tolist(), len(frame)) == (["a", "b"], 0)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"a,b\n1,2\n\nsecret\n", "line 4"),
        (b"a,b\n1,2,secret\n", "line 2"),
        (b'a,b\n"1\n2",2\nsecret\n', "line 4"),
        (b"a,b\n1,2\nsecret,\0\n", "line 3"),
        (b"a,b\n1,2\nsecret,\xff\n", "line 3"),
        (b'a,b\n1,"secret"2\n', "line 2"),
        (b'a,b\n1,"secret\n', "line 2"),
        (b"a,secret,a\n1,2,3\n", "the column names"),
    ],
)
def test_broken_tables_name_the_line_and_not_the_content(tmp_path: Path, content: bytes, where: str) -> None:
    problem = refused(write(tmp_path / "a.csv", content))
    assert (problem.code, problem.where) == (Code.MALFORMED, where)
    assert "secret" not in str(problem)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_nothing_is_no_table(tmp_path: Path, content: bytes) -> None:
    assert refused(write(tmp_path / "a.csv", content)).code is Code.EMPTY
    assert refused(tmp_path / "nowhere").code is Code.EMPTY


def test_a_table_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "TABLE_LIMIT_BYTES", 3)
    assert refused(write(tmp_path / "a.csv", "a,b\n")).code is Code.TOO_LARGE


def test_parquet_reads_back_equal(tmp_path: Path) -> None:
    columns = {
        "text": pa.array(["007", None, "NA"]),
        "whole": pa.array([12345678901234567, None, -1]),
        "double": pa.array([0.1, None, 1e300]),
        "single": pa.array([0.1, float("nan"), 3.0], pa.float32()),
        "flag": pa.array([True, None, False]),
        "day": pa.array([date(2020, 2, 29), None, date(1970, 1, 1)]),
        "time": pa.array([datetime(2020, 2, 29, 1, 2, 3), None, datetime(1970, 1, 1)]),
        "exact": pa.array([Decimal("1.10"), None, Decimal("2.00")]),
        "choice": pa.array(["a", None, "a"]).dictionary_encode(),
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.csv")
    frame = read_table(tmp_path / "a.csv")
    assert frame.iloc[0].tolist() == [
        "007",
        "12345678901234567",
        "0.1",
        "0.1",
        "True",
        "2020-02-29",
        "2020-02-29T01:02:03",
        "1.10",
        "a",
    ]
    assert frame.iloc[1].tolist() == [""] * 9
    assert float(frame["double"][2]) == 1e300
    assert np.float32(frame["single"][0]) == np.float32(0.1)


def test_nanoseconds_survive(tmp_path: Path) -> None:
    pd.DataFrame({"time": pd.to_datetime(["2020-01-01T00:00:00.000000001"]).astype("datetime64[ns]")}).to_parquet(
        tmp_path / "a"
    )
    assert read_table(tmp_path / "a")["time"].tolist() == ["2020-01-01T00:00:00.000000001"]


def test_parquet_texts_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    offsets = pa.py_buffer(np.array([0, 7], np.int32).tobytes())
    broken = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"secret\xff"))
    parquet.write_table(pa.table({"a": broken}), tmp_path / "a")
    assert refused(tmp_path / "a").code is Code.MALFORMED


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("seed", range(4))
def test_both_parsers_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, separator: str, seed: int
) -> None:
    rng = random.Random(seed)
    words = [
        "007",
        "NA",
        "nan",
        "null",
        "",
        " ",
        " x ",
        "1E5",
        "true",
        "2024-01-01",
        "'",
        "\\",
        "\x0b",
        "\x1c",
        "\x85",
        "\u2028",
        "ישראל",
        "#N/A",
    ]
    lines = [separator.join(["a", "", " b"])]
    lines += [rng.choice(["", separator * 2, *[separator.join(rng.choices(words, k=3))] * 8]) for _ in range(200)]
    path = write(tmp_path / "a", rng.choice([b"", b"\xef\xbb\xbf"]) + end.join(lines).encode())
    fast = table._fast_frame(path, separator, ["a", "", " b"], quoted=False)
    assert fast is not None
    monkeypatch.setattr(table, "_fast_frame", lambda *_: None)
    slow = read_table(path)
    pd.testing.assert_frame_equal(fast, slow)
    assert set(slow["a"]) >= {"NA", "null", ""}


@pytest.mark.parametrize("piece", [1, 2, 3, 5])
def test_where_a_file_is_cut_into_pieces_is_of_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(table, "PIECE_BYTES", piece)
    monkeypatch.setattr(table, "ROWS_AT_ONCE", piece)
    text = "id,name\n" + "".join(f"{i},Müller שלום\n" for i in range(9))
    assert read_table(write(tmp_path / "a", text))["name"].tolist() == ["Müller שלום"] * 9
    for bad, line in ((b"\xc3", "line 11"), (b"\xc3\n", "line 11"), (b"\0", "line 11"), (b"x\n\xff\n", "line 12")):
        problem = refused(write(tmp_path / "a", text.encode() + b"1," + bad))
        assert (problem.code, problem.where) == (Code.MALFORMED, line)
    problem = refused(write(tmp_path / "a", text + "1,2,3\n"))
    assert problem.where == "line 11"


def test_nested_and_broken_parquet_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.array([[1], [2]])}), tmp_path / "a")
    assert refused(tmp_path / "a").code is Code.MALFORMED
    content = (tmp_path / "a").read_bytes()
    assert refused(write(tmp_path / "b", content[: len(content) // 2])).code is Code.MALFORMED


def test_notes_are_read_in_either_encoding(tmp_path: Path) -> None:
    assert read_note(write(tmp_path / "a", b"\xef\xbb\xbf" + "Übelkeit\r\nseit\rgestern".encode())) == "Übelkeit\nseit\ngestern"
    assert read_note(write(tmp_path / "b", "Übelkeit €".encode("cp1252"))) == "Übelkeit €"
    assert read_note(write(tmp_path / "c", b"")) == ""


@pytest.mark.parametrize("content", [b"secret\0", "secret".encode("utf-16"), b"secret \x81\x8d"])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Rejected, match="E_MALFORMED") as caught:
        read_note(write(tmp_path / "a", content))
    assert "secret" not in str(caught.value)


def test_long_and_missing_notes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "NOTE_LIMIT_BYTES", 3)
    assert read_note(write(tmp_path / "a", "abc")) == "abc"
    with pytest.raises(Rejected, match="E_TOO_LARGE"):
        read_note(write(tmp_path / "a", "abcd"))
    with pytest.raises(Rejected, match="E_EMPTY"):
        read_note(tmp_path / "nowhere")
