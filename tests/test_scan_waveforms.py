"""DICOM waveforms are found by their headers, beside the images and without a change to what is said of these."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from planted_waveforms import STUDY, ecg, group, save_waveform
from pydicom.uid import generate_uid
from test_readers_dicom import save_stack
from test_scan_hostile import element

from medmm.cohort import headers, index
from medmm.cohort import scan as scanning
from medmm.cohort.headers import LETTERS, Look, Place
from medmm.cohort.scan import Scan, WaveformFound, scan
from medmm.errors import Code
from medmm.readers.dicom_instance import Instances

ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"


def folder_of(tmp_path: Path) -> Path:
    """Make a folder with a whole waveform, one that was cut off, one of no study, and a series of images."""
    folder = tmp_path / "folder"
    save_waveform(folder / "b", [group(ecg(1))], PatientID="p2", AccessionNumber="A2", StudyInstanceUID=generate_uid())
    cut = save_waveform(folder / "a", [group(ecg(2))])
    cut.write_bytes(cut.read_bytes()[:-100])
    save_waveform(folder / "c", [group(ecg(3))], StudyInstanceUID=None)
    save_stack(folder / "ct", [0, 2, 4])
    return folder


def told(found: Scan) -> list[tuple[WaveformFound, str]]:
    """Give all that a scan says of waveforms in a form that can be compared."""
    return [(replace(one, problem=None), str(one.problem)) for one in found.waveforms]


def test_waveforms_are_told_by_their_headers(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    cut, whole, nowhere = scan(folder).waveforms
    assert cut.problem is not None
    assert nowhere.problem is not None
    assert (cut.problem.code, cut.problem.where) == (Code.TRUNCATED, "file 1 of 6")
    assert (nowhere.problem.code, nowhere.study_uid) == (Code.HEADER, "")
    assert whole.problem is None
    assert replace(cut, problem=None) == WaveformFound(folder / "a", STUDY, "p1", "A1", "ECG", ECG, None)
    assert (whole.file, whole.patient_id, whole.accession) == (folder / "b", "p2", "A2")


def test_images_are_told_as_if_there_were_no_waveforms(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    save_waveform(folder / "ct" / "x", [group(ecg())]).write_bytes((folder / "a").read_bytes())  # one cut off, among them
    found = scan(folder)
    (series,) = found.series
    assert (series.problem, len(series.files), found.images, dict(found.left)) == (None, 3, (), {})
    assert len(found.waveforms) == 4


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were opened."""
    names: list[str] = []

    def look_at(places: Sequence[Place]) -> list[Look]:
        names.extend(path.name for path, _ in places)
        return [headers.look(path, where, Instances()) for path, where in places]

    monkeypatch.setattr(scanning, "look_at", look_at)
    monkeypatch.setattr(index, "FRESH_NS", 0)  # the files of these tests are all fresh
    return names


def test_a_second_look_opens_what_has_changed_and_says_the_same(tmp_path: Path, looked: list[str]) -> None:
    folder, memory = folder_of(tmp_path), tmp_path / "memory"
    first = scan(folder, memory=memory)
    assert (len(looked), len(first.waveforms)) == (6, 3)
    assert told(scan(folder, memory=memory)) == told(first) == told(scan(folder))
    assert len(looked) == 12  # nothing, and all of a fresh look
    looked.clear()
    os.utime(folder / "b")
    assert told(scan(folder, memory=memory)) == told(first)
    assert looked == ["b"]
    looked.clear()
    (folder / "a").write_bytes(save_waveform(tmp_path / "new", [group(ecg(2))]).read_bytes())
    (mended, *_) = scan(folder, memory=memory).waveforms
    assert (looked, mended.problem) == (["a"], None)


def test_a_reason_that_names_a_number_is_not_kept_where_numbers_move(tmp_path: Path, looked: list[str]) -> None:
    folder, memory = folder_of(tmp_path), tmp_path / "memory"
    scan(folder, memory=memory)
    looked.clear()
    (folder / "0.txt").write_text("junk")
    found = scan(folder, memory=memory)
    assert looked == ["0.txt", "a", "c"]
    assert told(found) == told(scan(folder))


def test_a_waveform_that_breaks_its_reader_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("x")

    folder = folder_of(tmp_path)
    monkeypatch.setattr(headers, "check_dicom_waveform", fail)
    assert headers.look(folder / "b", "file 1 of 1", Instances()) is Code.CRASH


def test_a_text_beyond_measure_is_refused(tmp_path: Path) -> None:
    file = save_waveform(tmp_path / "a", [group(ecg())])
    long = element(0x00080050, b"UT", b"1" * (LETTERS + 2))
    file.write_bytes(file.read_bytes().replace(b"\x08\x00\x50\x00SH\x02\x00A1", long))
    found = scan(tmp_path)
    assert (found.waveforms, dict(found.left)) == ((), {Code.HEADER: 1})
