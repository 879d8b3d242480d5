"""A folder that means harm, or is still being written, is looked through in time and memory; no slice is lost unnoticed."""

import os
import socket
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, generate_uid
from test_readers_dicom import save, save_stack

from medmm.cohort.headers import LETTERS, DicomImage, look, look_at
from medmm.cohort.scan import scan
from medmm.errors import Code, Rejected
from medmm.readers import dicom_geometry, read_series
from medmm.readers.dicom import problem_of
from medmm.readers.dicom_instance import Instances
from medmm.workers import Limits


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail where the block hangs; far more than it takes on a busy machine."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def code_of(folder: Path) -> Code | None:
    """Give why a folder cannot be read; None where it can."""
    try:
        read_series(folder)
    except Rejected as reason:
        return reason.code
    return None


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Write an explicit little-endian element, its length a lie where one is given."""
    size = len(value) if length is None else length
    wide = vr in (b"OB", b"SQ", b"UN", b"UT")
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr + struct.pack("<xxI" if wide else "<H", size) + value


def before(file: Path, tag: int, added: bytes) -> Path:
    """Put bytes before the first element of a group and element."""
    content = file.read_bytes()
    place = content.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF), 132)
    file.write_bytes(content[:place] + added + content[place:])
    return file


def nested(depth: int, tag: int) -> bytes:
    start = element(tag, b"SQ", b"", 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    return start * depth + struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0) * depth


def test_pipes_sockets_and_devices_are_never_opened(tmp_path: Path) -> None:
    save_stack(tmp_path / "ct", [0, 2])
    os.mkfifo(tmp_path / "ct" / "pipe.dcm")
    (tmp_path / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server, within(10):
        server.bind(str(tmp_path / "s"))
        (found,) = scan(tmp_path).series
        assert (len(found.files), found.problem) == (2, None)
        assert len(read_series(tmp_path)) == 1


def test_links_in_circles_are_not_followed(tmp_path: Path) -> None:
    save_stack(tmp_path / "a", [0, 2])
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "c")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    (tmp_path / "self").symlink_to("self")
    (found,) = scan(tmp_path).series
    assert len(found.files) == 2


def test_folders_as_deep_as_the_system_allows_are_walked(tmp_path: Path) -> None:
    here = Path.cwd()
    (tmp_path / "top").mkdir()
    try:
        os.chdir(tmp_path / "top")
        for _ in range(1500):
            Path("d").mkdir()
            os.chdir("d")
        save(Path("slice"))
        os.chdir(here)
        assert len(scan(tmp_path).series) == 1
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", tmp_path / "top"], check=True)  # pytest's own clean-up is recursive


def test_ten_thousand_junk_files_hide_no_series_and_cost_seconds(tmp_path: Path) -> None:
    save_stack(tmp_path / "ct", [0, 2, 4])
    junk = tmp_path / "ct"
    for number in range(10_000):
        (junk / f"junk{number}").write_bytes(b"junk %d" % number)
    with within(30):
        found = scan(tmp_path)
    assert found.left == {Code.NOT_AN_IMAGE: 10_000}
    assert [len(one.files) for one in found.series] == [3]
    assert found.series[0].problem is None


@pytest.mark.parametrize("tag", [0x00081115, 0x00089215, 0x52009230])
@pytest.mark.parametrize("depth", [200, 20_000])
def test_sequences_nested_deep_end_in_time(tmp_path: Path, tag: int, depth: int) -> None:
    files = save_stack(tmp_path / "ct", [0, 2, 4])
    before(files[2], 0x00180050 if tag >> 16 == 8 else 0x7FE00010, nested(depth, tag))
    with within(60):
        (found,) = scan(tmp_path).series
        assert found.problem is not None or len(found.files) == 3
        assert code_of(tmp_path) in (None, Code.MALFORMED, Code.HEADER)


@pytest.mark.parametrize("length", [0x7FFFFFFE, 0xFFFFFFFE])
@pytest.mark.parametrize("tag", [0x00081115, 0x0008103E, 0x00091001])
def test_a_length_beyond_the_file_takes_no_memory(tmp_path: Path, tag: int, length: int) -> None:
    files = save_stack(tmp_path / "ct", [0, 2, 4])
    before(files[2], 0x00180050, element(tag, b"UN", b"x" * 10, length))
    (seen,) = look_at([(files[2], "file 1 of 1")], Limits(seconds=10, memory_bytes=64 << 20))
    assert not isinstance(seen, DicomImage) or seen.problem is not None
    (found,) = scan(tmp_path).series
    assert found.problem is not None


def deflated_bomb(path: Path, size: int) -> Path:
    save(path, syntax=DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    body = zlib.decompress(content[start:], -15)
    packed = packer.compress(body) + packer.compress(element(0x7FE10010, b"OB", bytes(size))) + packer.flush()
    path.write_bytes(content[:start] + packed)
    return path


def test_a_deflate_bomb_is_refused_by_its_size(tmp_path: Path) -> None:
    file = deflated_bomb(tmp_path / "bomb.dcm", 300 << 20)
    assert file.stat().st_size < 400_000
    with within(60):
        assert scan(tmp_path).left == {Code.TOO_LARGE: 1}


def test_a_file_that_hangs_or_hoards_costs_itself_alone(tmp_path: Path) -> None:
    good = save_stack(tmp_path / "ct", [0, 2])
    os.mkfifo(tmp_path / "hangs")  # as if it had become a pipe after the folder was listed
    bomb = deflated_bomb(tmp_path / "bomb", 200 << 20)
    places = [(path, "a file") for path in (good[0], tmp_path / "hangs", bomb, good[1])]
    with within(60):
        seen = list(look_at(places, Limits(seconds=4, memory_bytes=64 << 20)))
    assert seen[1:3] == [Code.TIMEOUT, Code.MEMORY]
    assert isinstance(seen[0], DicomImage)
    assert isinstance(seen[3], DicomImage)


def test_an_unforeseen_fault_costs_its_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Instances, "instance", lambda self, header: 1 / 0)
    assert look(save(tmp_path / "a"), "file 1 of 1", Instances()) is Code.CRASH


def test_a_text_of_a_megabyte_is_no_text(tmp_path: Path) -> None:
    assert isinstance(look(save(tmp_path / "a", SeriesDescription="d" * 64), "x", Instances()), DicomImage)
    file = before(save(tmp_path / "b"), 0x00180050, element(0x00104000, b"UT", b""))
    content = file.read_bytes().replace(b"\x10\x00\x20\x00LO\x02\x00p1", element(0x00100020, b"UT", b"1" * (LETTERS + 2)))
    file.write_bytes(content)
    assert look(file, "x", Instances()) is Code.HEADER


def test_a_file_that_is_still_being_written_spoils_its_series_at_every_length(tmp_path: Path) -> None:
    files = save_stack(tmp_path / "ct", [0, 2, 4])
    whole = files[2].read_bytes()
    kept = [*range(0, 140, 20), *range(140, len(whole), 37), len(whole) - 1]
    for length in kept:
        files[2].write_bytes(whole[:length])
        (found,) = scan(tmp_path / "ct").series
        assert found.problem is not None, f"{length} of {len(whole)} bytes"
    files[2].write_bytes(whole)
    assert scan(tmp_path / "ct").series[0].problem is None


def test_a_file_with_more_than_its_header_states_is_judged_alike_by_scan_and_reader(tmp_path: Path) -> None:
    files = save_stack(tmp_path / "ct", [0, 2, 4])
    files[1].write_bytes(files[1].read_bytes() + b"\0" * 100)  # more than the header states
    (found,) = scan(tmp_path / "ct").series
    assert (found.problem and found.problem.code) == code_of(tmp_path / "ct")


def test_an_unreadable_file_spoils_the_series_of_its_folder_where_they_are_of_one_study(tmp_path: Path) -> None:
    for name in ("one", "several"):
        save_stack(tmp_path / name, [0, 2], SeriesInstanceUID=generate_uid(), StudyInstanceUID=generate_uid())
        (tmp_path / name / "broken.dcm").write_bytes(b"broken")
    save(tmp_path / "several" / "other", StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid())
    (tmp_path / "broken.dcm").write_bytes(b"in no folder of a series")
    found = scan(tmp_path)
    problems = {one.files[0].parent.name: one.problem for one in found.series}
    assert found.left == {Code.MALFORMED: 3}
    assert problems["several"] is None
    assert problems["one"] is not None
    assert (problems["one"].code, problems["one"].where) == (Code.MALFORMED, "file 4 of 8")


@pytest.mark.parametrize(("name", "spoils"), [("002", True), ("empty.dcm", True), ("done.txt", False), ("DONE.flag", False)])
def test_an_empty_file_spoils_a_series_where_it_is_named_like_a_slice(tmp_path: Path, name: str, spoils: bool) -> None:
    files = save_stack(tmp_path / "ct", [0, 2])
    if name.endswith(".dcm"):
        for file in files:
            file.rename(file.with_suffix(".dcm"))
    (tmp_path / "ct" / name).touch()
    (found,) = scan(tmp_path).series
    assert (found.problem is not None) == spoils


def test_a_series_of_planes_that_all_differ_is_refused_in_time(tmp_path: Path) -> None:
    image = look(save(tmp_path / "a"), "x", Instances())
    assert isinstance(image, DicomImage)
    assert image.instance is not None
    (frame,) = image.instance.frames
    turned = [
        replace(image.instance, where=str(n), frames=(replace(frame, spacing_mm=(1 + n / 100, 1.0)),)) for n in range(20_000)
    ]
    with within(60):
        problem = problem_of(turned)
    assert problem is not None
    assert problem.code is Code.TOO_LARGE
    several = problem_of(turned[: dicom_geometry.PLANES_LIMIT])
    assert several is not None
    assert several.code is Code.MIXED_SERIES
