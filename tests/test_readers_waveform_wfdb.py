"""WFDB records: the same values as wfdb itself gives, but nothing guessed, fetched or opened that was not given."""

import shutil
import socket
from pathlib import Path

import numpy as np
import planted_waveforms as planted
import pytest
from planted_waveforms import ecg, wfdb_header, wfdb_record

from medmm.errors import Code, ConfigError, Rejected
from medmm.readers import waveform_checks, waveform_limits
from medmm.readers.waveform_wfdb import read_wfdb
from medmm.readers.waveform_wfdb_header import SAMPLE_BYTES

wfdb = pytest.importorskip("wfdb", reason="needs medmm[signal]")

LUDB = Path(__file__).parents[1].parent / "shared" / "data" / "ludb_ecg" / "wfdb"
STORED = ecg(leads=3, samples=21)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("wfdb reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def refused(files: list[Path]) -> Code:
    """Give why a record is refused, in words without a path or a patient."""
    with pytest.raises(Rejected) as caught:
        read_wfdb(files, "file 1 of 1")
    assert planted.SECRET not in str(caught.value)
    assert str(files[0].parent) not in str(caught.value) if files else True
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_all_of_ludb_reads_as_wfdb_reads_it() -> None:
    headers = sorted(LUDB.glob("*.hea"))
    if not headers:
        pytest.skip("LUDB is not here")
    for header in headers:
        found = read_wfdb([header.with_suffix(".dat"), header], "file 1 of 1")
        expected = wfdb.rdrecord(str(header.with_suffix("")))
        np.testing.assert_array_equal(found.values, expected.p_signal.T.astype(np.float32))
        assert [lead.lower() for lead in found.leads] == expected.sig_name
        assert (set(found.units), found.rate_hz) == ({"mV"}, expected.fs)
    assert len(headers) == 200


def test_a_record_is_read_with_its_gain_and_baseline(tmp_path: Path) -> None:
    files = wfdb_record(tmp_path, STORED, wfdb_header(STORED))
    (tmp_path / "r.atr").write_bytes(b"annotations")
    found = read_wfdb([tmp_path / "r.atr", *files], "file 1 of 1")
    np.testing.assert_array_equal(found.values, ((STORED.T - 5) / 200).astype(np.float32))
    assert (found.rate_hz, found.units) == (250, ("mV",) * 3)
    assert [lead.lower() for lead in found.leads] == ["i", "ii", "v1"]


@pytest.mark.parametrize("coding", SAMPLE_BYTES)
@pytest.mark.parametrize("samples", [20, 21])
def test_every_format_is_that_of_wfdb(tmp_path: Path, coding: str, samples: int) -> None:
    count, size = SAMPLE_BYTES[coding]
    raw = np.random.default_rng(3).integers(1, 127, -(-samples * 3 * size // count), np.uint8).tobytes()
    lines = [f"r 3 250 {samples}", *[f"r.dat {coding}+4 100/mV"] * 3]
    files = wfdb_record(tmp_path, STORED, "\n".join(lines), raw=b"head" + raw)
    found = read_wfdb(files, "file 1 of 1")
    np.testing.assert_array_equal(found.values, wfdb.rdrecord(str(tmp_path / "r")).p_signal.T.astype(np.float32))
    assert found.leads == ("1", "2", "3")


@pytest.mark.parametrize("coding", SAMPLE_BYTES)
def test_a_missing_sample_is_refused_where_wfdb_tells_of_one(tmp_path: Path, coding: str) -> None:
    lowest = {"80": b"\0", "160": b"\0\0", "61": b"\x80\0", "212": b"\0\x08\0"}  # bit by bit; the others are little endian
    raw = lowest.get(coding, b"\0" * (SAMPLE_BYTES[coding][1] - 1) + b"\x80")
    files = wfdb_record(tmp_path, STORED, f"r 1 250 1\nr.dat {coding} 100/mV 16 0\n", raw=raw)
    assert np.isnan(wfdb.rdrecord(str(tmp_path / "r")).p_signal).all()
    assert refused(files) is Code.NOT_FINITE


def test_samples_in_two_files_are_put_together(tmp_path: Path) -> None:
    header = "r 2 250 21\na.dat 16 200/mV 16 0 0 0 0 i\nb.dat 16 100/mV 16 0 0 0 0 ii\n"
    header = header.replace(" 16 0 0 0 0 ", " 16 0 7 147 0 ")
    files = wfdb_record(tmp_path, STORED, header)
    for name in ("a.dat", "b.dat"):
        (tmp_path / name).write_bytes(np.full(21, 7, "<i2").tobytes())
    found = read_wfdb([*files, tmp_path / "a.dat", tmp_path / "b.dat"], "file 1 of 1")
    np.testing.assert_array_equal(found.values, np.array([[0.035] * 21, [0.07] * 21], np.float32))
    assert refused([*files, tmp_path / "a.dat"]) is Code.EMPTY


def test_a_header_that_does_not_count_its_samples_is_held_against_the_file(tmp_path: Path) -> None:
    header = wfdb_header(STORED).replace("r 3 250 21", "r 3 250")
    files = wfdb_record(tmp_path, STORED, header)
    assert read_wfdb(files, "file 1 of 1").values.shape == (3, 21)
    files[0].write_bytes(files[0].read_bytes()[:-2])
    assert refused(files) is Code.MALFORMED


def test_microvolts_are_not_read_as_volts(tmp_path: Path) -> None:
    for unit in ("\u00b5V", "\u03bcV", "uV"):
        files = wfdb_record(tmp_path, STORED, wfdb_header(STORED).replace("/mV", f"/{unit}"))
        found = read_wfdb(files, "file 1 of 1")
        np.testing.assert_array_equal(found.values, ((STORED.T - 5) / 200 / 1000).astype(np.float32))
        assert found.units == ("mV",) * 3


def test_other_units_are_kept_as_codes(tmp_path: Path) -> None:
    header = wfdb_header(STORED, ("ABP", "RESP", "x")).replace("/mV", "/mmHg", 1).replace("/mV", "/NU", 1)
    assert read_wfdb(wfdb_record(tmp_path, STORED, header), "file 1 of 1").units == ("mm[Hg]", "", "mV")


FAULTS = {
    "another first sample": ("16 0 ", "16 0 1", Code.MALFORMED),
    "another check sum": (" 0 ii", "1 0 ii", Code.MALFORMED),
    "no gain": (" 200(5)/mV", " 0(5)/mV", Code.UNIT),
    "several segments": ("r 3", "r/2 3", Code.UNSUPPORTED),
    "several samples a frame": ("16 200", "16x2 200", Code.UNSUPPORTED),
    "a skew": ("16 200", "16:3 200", Code.UNSUPPORTED),
    "a difference format": (".dat 16", ".dat 8", Code.UNSUPPORTED),
    "a FLAC format": (".dat 16", ".dat 516", Code.UNSUPPORTED),
    "a folder above": ("r.dat", "../r.dat", Code.MALFORMED),
    "an absolute name": ("r.dat", "/etc/passwd", Code.MALFORMED),
    "an address": ("r.dat", "http://127.0.0.1:9/r.dat", Code.MALFORMED),
    "a chained address": ("r.dat", "simplecache::http://127.0.0.1:9/r.dat", Code.MALFORMED),
    "a pattern": ("r.dat", "*.dat", Code.MALFORMED),
    "a file that is not given": ("r.dat", "x.dat", Code.EMPTY),
    "no rate": (" 250 21", "", Code.RATE),
    "a rate of nothing": (" 250 ", " 0 ", Code.RATE),
    "more samples": (" 21", " 22", Code.TRUNCATED),
    "fewer samples": (" 21", " 20", Code.MALFORMED),
    "samples without end": (" 21", " 99999999999", Code.TRUNCATED),
    "a number without end": (" 21", f" {'9' * 40}", Code.MALFORMED),
    "an offset beyond the file": ("16 200", "16+999999 200", Code.TRUNCATED),
    "more signals": ("r 3", "r 4", Code.MALFORMED),
    "no signal": ("r 3", "r 0", Code.EMPTY),
    "another format of one signal": (".dat 16 200(5)/mV 16 0 ", ".dat 80 200(5)/mV 16 0 ", Code.MALFORMED),
    "words": ("r 3 250", "some words", Code.MALFORMED),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_could_be_read_wrong_is_refused(tmp_path: Path, fault: str) -> None:
    old, new, code = FAULTS[fault]
    header = wfdb_header(STORED)
    times = 1 if fault.startswith("another") or "samples" in fault else -1
    assert old in header
    assert refused(wfdb_record(tmp_path / "f", STORED, header.replace(old, new, times))) is code


@pytest.mark.parametrize(("samples", "codings"), [(20, ("16", "16", "16")), (21, ("16", "61", "16"))])
def test_a_header_of_another_file_is_refused_without_check_sums_too(
    tmp_path: Path, samples: int, codings: tuple[str, ...]
) -> None:
    lines = [f"r 3 250 {samples}", *(f"r.dat {coding} 100/mV" for coding in codings)]
    assert refused(wfdb_record(tmp_path, STORED, "\n".join(lines))) is Code.MALFORMED


def test_a_header_alone_and_two_headers_are_refused(tmp_path: Path) -> None:
    data, header = wfdb_record(tmp_path, STORED, wfdb_header(STORED))
    shutil.copy(header, tmp_path / "s.hea")
    assert refused([data]) is Code.NOT_A_SIGNAL
    assert refused([]) is Code.NOT_A_SIGNAL
    assert refused([header]) is Code.EMPTY
    assert refused([data, header, tmp_path / "s.hea"]) is Code.AMBIGUOUS


def test_a_signal_file_of_another_folder_is_not_taken_for_the_one_beside(tmp_path: Path) -> None:
    data, header = wfdb_record(tmp_path / "a", STORED, wfdb_header(STORED))
    (tmp_path / "b").mkdir()
    data.rename(tmp_path / "b" / "r.dat")
    assert refused([header, tmp_path / "b" / "r.dat"]) is Code.EMPTY


@pytest.mark.parametrize("name", ["zip::x", "simplecache::http:"])
def test_a_folder_is_never_taken_for_an_address(tmp_path: Path, name: str) -> None:
    assert refused(wfdb_record(tmp_path / name, STORED, wfdb_header(STORED))) is Code.UNSUPPORTED


@pytest.mark.parametrize("name", ["a*b", "a?b", "[ab]", "~", "$HOME", "a b"])
def test_odd_names_of_folders_are_names(tmp_path: Path, name: str) -> None:
    assert read_wfdb(wfdb_record(tmp_path / name, STORED, wfdb_header(STORED)), "file 1 of 1").values.shape == (3, 21)


def test_limits_hold_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = wfdb_record(tmp_path, STORED, wfdb_header(STORED))
    monkeypatch.setattr(waveform_checks, "VALUES_LIMIT", 50)
    monkeypatch.setattr(wfdb, "rdrecord", None)
    assert refused(files) is Code.TOO_LARGE
    monkeypatch.setattr(waveform_limits, "FILE_LIMIT_BYTES", 100)
    assert refused(files) is Code.TOO_LARGE


def test_without_the_package_the_error_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = wfdb_record(tmp_path, STORED, wfdb_header(STORED))
    monkeypatch.setitem(__import__("sys").modules, "wfdb", None)
    with pytest.raises(ConfigError, match=r"pip install medmm\[signal\]"):
        read_wfdb(files, "file 1 of 1")
