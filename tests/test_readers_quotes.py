"""Quotes that stand right, by hand and by a slow second method; whatever they are, one way to read a file gives the other's."""

import csv
import random
from pathlib import Path

import pandas as pd
import pytest

from medmm.errors import Rejected
from medmm.readers import quotes, table
from medmm.readers.quotes import quotes_stand_right
from medmm.readers.table import read_table

RIGHT = ['"a"', 'a\n"b"\n', '\ufeff"a"\n', 'a,b\n1,"x ""y"" z"\n', 'a\n""""\n', 'a,b\r\n"1","2\r\n3"\r\n', 'a\n"",""', 'a\n"b"']
WRONG = ['a\nb"\n', 'a\n"b\n', 'a\n"b"c\n', 'a\nb"c"\n', 'a,b\n1, "x"\n', 'a\n"b" \n', 'a\nx""\n', 'a\n"""\n', 'a\n"b;"\n;x"']


@pytest.mark.parametrize("window", [1, 2, 3, 1 << 24])
@pytest.mark.parametrize("text", RIGHT + WRONG)
def test_quotes_are_judged_as_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, window: int) -> None:
    monkeypatch.setattr(quotes, "WINDOW_BYTES", window)
    (tmp_path / "a").write_bytes(text.encode())
    assert quotes_stand_right(tmp_path / "a", ",") == (text in RIGHT)


CELLS = [
    "007",
    "NA",
    "",
    " ",
    " x ",
    "1E5",
    "a,b",
    'say "x"',
    '"',
    '""',
    "two\nlines",
    "two\r\nlines",
    "one\rtwo",
    "שלום",
    "\\",
    "'",
]


@pytest.mark.parametrize("seed", range(30))
def test_what_a_writer_quotes_is_read_alike_by_both_parsers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = random.Random(seed)
    separator, style = rng.choice([",", "\t", ";"]), rng.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
    end = "\r\n" if style == csv.QUOTE_MINIMAL else rng.choice(["\n", "\r\n"])  # it quotes no other character of a line's end
    rows = [rng.choices(CELLS, k=3) for _ in range(300)]
    path = tmp_path / "a"
    with path.open("w", encoding=rng.choice(["utf-8", "utf-8-sig"]), newline="") as file:
        writer = csv.writer(file, delimiter=separator, quoting=style, lineterminator=end)
        writer.writerows([[f"a{separator}x", 'b "y"', separator * 5], *rows])
    assert quotes_stand_right(path, separator)
    whole = read_table(path)
    assert whole.to_numpy().tolist() == rows
    names = list(whole.columns)
    assert table._fast_frame(path, separator, names, quoted=True) is not None
    monkeypatch.setattr(table, "_fast_frame", lambda *_: None)
    pd.testing.assert_frame_equal(whole, read_table(path))


@pytest.mark.parametrize("seed", range(300))
def test_whatever_stands_in_a_file_both_parsers_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    weights = [4, 2, 4, 3, 1, 1]
    (tmp_path / "a").write_text(
        '"a",b\n' + "".join(rng.choices(['"', "x", ",", "\n", "\r", " "], weights, k=rng.randrange(25)))
    )

    def answer() -> object:
        try:
            return read_table(tmp_path / "a").to_numpy().tolist()
        except Rejected as reason:
            return str(reason)

    both = answer()
    monkeypatch.setattr(table, "_fast_frame", lambda *_: None)
    assert answer() == both


def test_lines_within_cells_stay_whole_wherever_a_file_is_cut(tmp_path: Path) -> None:
    rows = [[str(number), "one\ntwo\r\n" * (number % 9), f'"{number}"\n,'] for number in range(60_000)]
    with (tmp_path / "a").open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c"], *rows])
    assert (tmp_path / "a").stat().st_size > 2 << 20  # two blocks of Arrow's parser and more
    fast = table._fast_frame(tmp_path / "a", ",", ["a", "b", "c"], quoted=True)
    assert fast is not None
    assert fast.to_numpy().tolist() == rows
