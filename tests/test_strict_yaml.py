"""YAML is read strictly, and a value of it is found again by line and column."""

from pathlib import Path

import pytest

from medmm.errors import ConfigError
from medmm.strict_yaml import Document, read_document


def read(folder: Path, text: str) -> Document:
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    return read_document(folder / "a.yaml", "run file")


def test_plain_values_come_back_with_their_places(tmp_path: Path) -> None:
    found = read(tmp_path, "a:\n  - {b: 1, c: two}\n  - 'three'\n")
    assert found.content == {"a": [{"b": 1, "c": "two"}, "three"]}
    for path, line, column in (
        ((), 1, 1),
        (("a", 0, "c"), 2, 15),
        (("a", 1), 3, 6),
        (("a", 0, "none"), 2, 5),  # the nearest that is there
        (("a", 7), 2, 3),
    ):
        place = found.place(path)
        assert (place.line, place.column) == (line, column)
    assert found.place(("a", 0), key="c").column == 12
    assert found.place(("a", 1), offset=2).column == 8
    assert found.place(("a", 0, "c")).excerpt == "  - {b: 1, c: two}\n              ^"


def test_an_empty_file_has_a_place_too(tmp_path: Path) -> None:
    found = read(tmp_path, "")
    assert found.content is None
    assert (found.place(("a",)).line, found.place(("a",)).column) == (1, 1)


def test_an_alias_may_repeat_a_value_but_not_without_end(tmp_path: Path) -> None:
    assert read(tmp_path, "a: &x [1, 2]\nb: *x\n").content["b"] == [1, 2]
    laughs = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcde", "bcdef", strict=True)
    )
    with pytest.raises(ConfigError, match=r"a\.yaml: its aliases stand for more than 100,000 values: write them out"):
        read(tmp_path, laughs)
    for endless in ("&a [*a]", "&a {b: *a}"):
        with pytest.raises(ConfigError, match="aliases"):
            read(tmp_path, endless)


def test_a_file_that_is_too_long_or_too_deep_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.yaml has 1,000,004 characters, at most 1,000,000 are read"):
        read(tmp_path, "a: x" + "x" * 1_000_000)
    assert read(tmp_path, "[" * 40 + "]" * 40).content
    with pytest.raises(ConfigError, match=r"a\.yaml, line 1: not YAML \(nested deeper than 40\)"):
        read(tmp_path, "[" * 42 + "]" * 42)
