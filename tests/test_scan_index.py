"""What is remembered of a folder: the same answer as a fresh look, at a stat a file, for nobody else's eyes."""

import json
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid
from test_readers_dicom import save, save_stack

from medmm.cohort import headers, index
from medmm.cohort import scan as scanning
from medmm.cohort.headers import Look, Place
from medmm.cohort.scan import Scan, scan
from medmm.readers.dicom_instance import Instances


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "FRESH_NS", 0)  # the files of these tests are all fresh


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were opened, each with its folder's."""
    names: list[str] = []

    def look_at(places: Sequence[Place]) -> list[Look]:
        names.extend(f"{path.parent.name}/{path.name}" for path, _ in places)
        return [headers.look(path, where, Instances()) for path, where in places]

    monkeypatch.setattr(scanning, "look_at", look_at)
    return names


def told(found: Scan) -> object:
    """Give all that a scan says in a form that can be compared."""
    series = [{**vars(one), "problem": str(one.problem)} for one in found.series]
    return series, found.images, found.left


def folder_of(tmp_path: Path) -> Path:
    """Make a folder with a good series, one with a gap, junk and another image."""
    folder = tmp_path / "folder"
    folder.mkdir(parents=True)
    save_stack(folder, [0, 2, 4], SeriesDescription="Thorax Müller", SpecificCharacterSet="ISO_IR 192")
    save_stack(folder / "gap", [0, 2, 6], SeriesInstanceUID=generate_uid(), StudyInstanceUID=generate_uid())
    (folder / "junk.txt").write_text("x")
    (folder / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "empty").touch()
    return folder


def test_a_second_look_says_the_same_and_opens_no_file(tmp_path: Path, looked: list[str]) -> None:
    folder = folder_of(tmp_path)
    first = scan(folder, memory=tmp_path / "memory")
    assert len(looked) == 9
    seen: list[tuple[int, int]] = []
    again = scan(folder, lambda done, whole: seen.append((done, whole)), tmp_path / "memory")
    assert len(looked) == 9
    assert told(again) == told(first) == told(scan(folder))
    assert [one.problem is None for one in again.series] == [False, False]  # a gap, and an empty file beside


def touch(folder: Path) -> None:
    os.utime(folder / "000")


def rewrite(folder: Path) -> None:
    """Change a file behind its size and time."""
    before = (folder / "001").stat()
    content = (folder / "001").read_bytes()
    (folder / "001").write_bytes(content.replace(b"p1", b"p2"))
    os.utime(folder / "001", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (folder / "001").stat().st_size == before.st_size


def lengthen(folder: Path) -> None:
    save(folder / "003", ImagePositionPatient=[10, 20, 6])


def add(folder: Path) -> None:
    save(folder / "aaa", SeriesInstanceUID=generate_uid(), StudyInstanceUID=generate_uid())


def lose(folder: Path) -> None:
    (folder / "002").unlink()


def rename(folder: Path) -> None:
    (folder / "001").rename(folder / "zzz")


def swap(folder: Path) -> None:
    (folder / "000").rename(folder / "x")
    (folder / "001").rename(folder / "000")
    (folder / "x").rename(folder / "001")


def disturb(folder: Path) -> None:
    (folder / "0.txt").write_text("junk that moves all numbers")


def fill(folder: Path) -> None:
    save(folder / "empty", ImagePositionPatient=[10, 20, 6])


CHANGES = {
    touch: {"000", "001", "002"},
    rewrite: {"000", "001", "002"},
    swap: {"000", "001", "002"},
    fill: {"empty", "000", "001", "002"},
}
"""What must be looked at again."""

SHIFTS = {
    lengthen: {"000", "001", "002", "003"},
    add: {"aaa"},
    lose: {"000", "001"},
    rename: {"000", "zzz", "002"},
    disturb: {"0.txt"},
}
"""The same where the numbers of files change, by which the problem of the other series names one."""


@pytest.mark.parametrize("change", [*CHANGES, *SHIFTS])
def test_what_changed_is_looked_at_again_with_its_series_and_nothing_else(
    tmp_path: Path, looked: list[str], change: Callable[[Path], None]
) -> None:
    folder = folder_of(tmp_path)
    scan(folder, memory=tmp_path / "memory")
    looked.clear()
    change(folder)
    after = told(scan(folder, memory=tmp_path / "memory"))
    expected = {f"folder/{name}" for name in (CHANGES | SHIFTS)[change]}
    expected |= {"gap/000", "gap/001", "gap/002"} if change in SHIFTS else set()
    assert sorted(looked) == sorted(expected)
    assert after == told(scan(folder))
    assert told(scan(folder, memory=tmp_path / "memory")) == after


def test_any_row_of_changes_ends_as_a_fresh_look(tmp_path: Path, looked: list[str]) -> None:
    folder = folder_of(tmp_path)
    rng = np.random.default_rng(0)
    for _ in range(60):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        path = files[rng.integers(len(files))]
        match rng.integers(5):
            case 0:
                path.unlink()
            case 1:
                path.write_bytes(path.read_bytes()[: rng.integers(1000)])
            case 2:
                path.rename(path.with_name(f"moved{rng.integers(9)}"))
            case 3:
                shutil.copy(path, folder / f"copy{rng.integers(9)}")
            case _:
                save(folder / f"new{rng.integers(9)}", ImagePositionPatient=[10, 20, int(rng.integers(9))])
        assert told(scan(folder, memory=tmp_path / "memory")) == told(scan(folder))


def test_a_file_that_was_just_written_is_not_believed_to_be_known(
    tmp_path: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "FRESH_NS", int(1e9 * 3600))
    folder = folder_of(tmp_path)
    for _ in range(2):
        looked.clear()
        scan(folder, memory=tmp_path / "memory")
        assert len(looked) == 9


def test_nobody_else_can_read_an_index_and_its_name_says_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    scan(folder, memory=tmp_path / "runs" / "memory")
    (file,) = (tmp_path / "runs" / "memory").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "folder" not in file.name
    assert json.loads(file.read_text())


def damaged(file: Path, rng: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    match rng.integers(3):
        case 0:
            content[rng.integers(len(content))] ^= int(rng.integers(1, 256))
        case 1:
            del content[rng.integers(len(content)) :]
        case _:
            content = bytearray(json.dumps({"index": {"files": [["000", 1, 2, 3, 99]], "series": [], "numbered": []}}).encode())
    file.write_bytes(content)


def test_a_damaged_index_is_as_if_there_were_none(tmp_path: Path, looked: list[str]) -> None:
    folder = folder_of(tmp_path)
    whole = told(scan(folder, memory=tmp_path / "memory"))
    (file,) = (tmp_path / "memory").iterdir()
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged(file, rng)
        looked.clear()
        assert told(scan(folder, memory=tmp_path / "memory")) == whole
        assert len(looked) == 9
    for content in (b"", b"[]", b"null", b"[" * 100_000, b'{"digest": 1, "index": 2}'):
        file.write_bytes(content)
        assert told(scan(folder, memory=tmp_path / "memory")) == whole


def test_an_index_that_others_may_have_written_or_of_another_version_is_not_believed(
    tmp_path: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path)
    scan(folder, memory=tmp_path / "memory")
    (file,) = (tmp_path / "memory").iterdir()
    looked.clear()
    file.chmod(0o666)
    scan(folder, memory=tmp_path / "memory")
    assert len(looked) == 9
    monkeypatch.setattr(index, "__version__", "another")
    scan(folder, memory=tmp_path / "memory")
    assert len(looked) == 18


def test_where_nothing_can_be_remembered_nothing_is_lost(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (tmp_path / "memory").write_text("a file in the way")
    assert told(scan(folder, memory=tmp_path / "memory")) == told(scan(folder))


def test_a_file_name_that_is_no_text_costs_the_memory_alone(tmp_path: Path, looked: list[str]) -> None:
    folder = folder_of(tmp_path)
    (folder / "000").rename(folder / os.fsdecode(b"M\xfcller"))
    for _ in range(2):
        assert told(scan(folder, memory=tmp_path / "memory")) == told(scan(folder))


def test_two_folders_are_not_mixed_up(tmp_path: Path) -> None:
    first, second = folder_of(tmp_path / "a"), folder_of(tmp_path / "b")
    (second / "000").unlink()
    for _ in range(2):
        found = [told(scan(folder, memory=tmp_path / "memory")) for folder in (first, second)]
        assert found == [told(scan(first)), told(scan(second))]


def test_a_folder_named_in_another_way_is_the_same(tmp_path: Path, looked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path)
    monkeypatch.chdir(folder.parent)
    scan(folder, memory=tmp_path / "memory")
    looked.clear()
    for other in (Path("folder"), Path("folder/../folder"), folder.parent / "folder"):
        assert told(scan(other, memory=tmp_path / "memory")) == told(scan(other))
    monkeypatch.chdir(folder)
    assert told(scan(Path(), memory=tmp_path / "memory")) == told(scan(Path()))
    assert len(looked) == 4 * 9  # the scans without a memory
