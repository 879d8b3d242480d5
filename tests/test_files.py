import math
import multiprocessing
import os
from pathlib import Path

import pytest

from medmm.files import digest, digest_file, is_safe_name, json_text, write_bytes, write_json, writing, writing_folder


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "scores.bin"
    write_bytes(path, b"old")
    with pytest.raises(RuntimeError), writing(path) as temporary:
        temporary.write_bytes(b"half of the new")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["scores.bin"]


def _die_while_writing(path: Path) -> None:
    with writing(path) as temporary:
        temporary.write_bytes(b"half")
        os._exit(9)


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "scores.bin"
    write_bytes(path, b"old")
    process = multiprocessing.get_context("spawn").Process(target=_die_while_writing, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert path.read_bytes() == b"old"


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with writing_folder(tmp_path / "package") as temporary:
            (temporary / "inner").mkdir()
            (temporary / "inner" / content).write_text(content)
    assert [path.name for path in (tmp_path / "package" / "inner").iterdir()] == ["two"]
    assert [one.name for one in tmp_path.iterdir()] == ["package"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    with writing_folder(tmp_path / "package") as temporary:
        (temporary / "one").write_text("one")
    with pytest.raises(RuntimeError), writing_folder(tmp_path / "package") as temporary:
        raise RuntimeError
    assert [one.name for one in (tmp_path / "package").iterdir()] == ["one"]


def test_json_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        json_text({"auroc": math.nan})


def test_a_digest_is_sha_256_and_the_order_of_keys_is_of_no_matter(tmp_path: Path) -> None:
    # The SHA-256 of "abc" stands in FIPS 180-2, appendix B.1.
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"abc")
    assert digest(b"abc") == digest_file(tmp_path / "abc") == known
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_json_is_written_sorted(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1, "a": "é"})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "a": "é",\n  "b": 1\n}\n'


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a b", "x" * 101, "a\nb", "=cmd"])
def test_a_name_that_could_leave_its_folder_is_not_safe(name: str) -> None:
    assert not is_safe_name(name)


def test_an_ordinary_name_is_safe() -> None:
    assert is_safe_name("chest-2024_v1.2")
