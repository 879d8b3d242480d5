"""EDF and BDF: the values of the formula of the format, and of edfio; what edfio would mend is refused."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import planted_waveforms as planted
import pytest
from planted_waveforms import ecg

from medmm.errors import Code, ConfigError, Rejected
from medmm.readers import waveform_checks, waveform_limits
from medmm.readers.waveform_edf import read_edf

edfio = pytest.importorskip("edfio", reason="needs medmm[signal]")

LABELS = ("ECG I", "EKG II", "EEG Fpz-Cz")
RECORDS = ecg(samples=4, leads=30)  # 4 records of 3 signals of 10 samples


def written(folder: Path, stored: np.ndarray = RECORDS, labels: tuple[str, ...] = LABELS, **more: Any) -> Path:
    (folder / "r").write_bytes(planted.edf(stored, labels, **more))
    return folder / "r"


def refused(path: Path, where: str = "file 1 of 1") -> Rejected:
    """Give why a file is refused, in words without a path or a patient."""
    with pytest.raises(Rejected) as caught:
        read_edf(path, where)
    assert planted.SECRET not in str(caught.value)
    assert "2020" not in str(caught.value)
    assert str(path) not in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def stored_of(records: np.ndarray, signals: int = 3) -> np.ndarray:
    """Give the samples (L, T) of records."""
    return records.reshape(len(records), signals, -1).transpose(1, 0, 2).reshape(signals, -1)


def test_values_follow_the_formula_of_the_format(tmp_path: Path) -> None:
    ranges = [("-3276.8", "3276.7", "-32768", "32767"), ("-5", "5", "-2048", "2047"), ("10", "-10", "-2048", "2047")]
    found = read_edf(written(tmp_path, ranges=ranges, seconds="0.02"), "file 1 of 1")
    stored = stored_of(RECORDS)
    expected = []
    for samples, written_range in zip(stored, ranges, strict=True):
        low, high, lowest, highest = map(float, written_range)
        expected.append((samples - lowest) * (high - low) / (highest - lowest) + low)
    expected[0], expected[1] = expected[0] / 1000, expected[1] / 1000  # uV of an ECG
    np.testing.assert_allclose(found.values, expected, rtol=1e-6, atol=1e-7)
    assert (found.rate_hz, found.leads, found.units) == (500, ("I", "II", "EEG Fpz-Cz"), ("mV", "mV", "uV"))


@pytest.mark.parametrize("kind", ["Edf", "Bdf"])
@pytest.mark.parametrize("plus", [False, True])
def test_what_edfio_writes_reads_back_exactly(tmp_path: Path, kind: str, plus: bool) -> None:
    rng = np.random.default_rng(2)
    signal = getattr(edfio, f"{kind}Signal")
    signals = [
        signal(rng.normal(0, 200, 600), 200, label=label, physical_dimension="uV", physical_range=(-1000, 1000))
        for label in ("ECG V1", "Fp1")
    ]
    notes = [edfio.EdfAnnotation(0.5, None, planted.SECRET)] if plus else None
    patient = edfio.Patient(name=planted.SECRET, birthdate=datetime.date(1950, 2, 3))
    getattr(edfio, kind)(signals, patient=patient, annotations=notes).write(tmp_path / "r")
    found = read_edf(tmp_path / "r", "file 1 of 1")
    read = edfio.read_edf if kind == "Edf" else edfio.read_bdf
    first, second = (one.data for one in read(tmp_path / "r").signals)
    np.testing.assert_array_equal(found.values, np.array([first / 1000, second], np.float32))
    assert (found.leads, found.units, found.rate_hz) == (("V1", "Fp1"), ("mV", "uV"), 200)


def test_signs_of_24_bits_are_kept(tmp_path: Path) -> None:
    stored = np.array([[-(2**23), -1, 0, 1, 2**23 - 1, 5]])
    same = [("-8388608", "8388607", "-8388608", "8388607")]
    path = written(tmp_path, stored, ("Fp1",), ranges=same, version=b"\xffBIOSEMI", reserved="24BIT")
    np.testing.assert_array_equal(read_edf(path, "file 1 of 1").values, stored)


@pytest.mark.parametrize(("written_unit", "unit"), [("mmHg", "mm[Hg]"), ("degC", "Cel"), ("", ""), ("%", "%")])
def test_units_become_codes(tmp_path: Path, written_unit: str, unit: str) -> None:
    assert read_edf(written(tmp_path, units=written_unit), "file 1 of 1").units == (unit,) * 3


def test_several_rates_are_refused_with_the_leads_that_have_them(tmp_path: Path) -> None:
    refusal = refused(written(tmp_path, split=(20, 9, 1)))
    assert refusal.code is Code.RATE
    assert refusal.found == "3 sampling rates: lead 3 at 1 Hz, lead 2 at 9 Hz, lead 1 at 20 Hz"


def test_annotations_have_no_rate(tmp_path: Path) -> None:
    found = read_edf(written(tmp_path, labels=("ECG I", "ECG II", "EDF Annotations"), split=(12, 12, 6)), "file 1 of 1")
    np.testing.assert_allclose(found.values[1], RECORDS[:, 12:24].reshape(-1) * 1e-4, rtol=1e-5)
    only = written(tmp_path, RECORDS[:, :10], ("EDF Annotations",), seconds="0")
    assert refused(only).code is Code.EMPTY


WRONG: dict[str, tuple[dict[str, Any], Code]] = {
    "no such format": ({"version": b"1       "}, Code.NOT_A_SIGNAL),
    "gaps": ({"reserved": "EDF+D"}, Code.UNSUPPORTED),
    "a recording under way": ({"records": "-1"}, Code.TRUNCATED),
    "no record": ({"records": "0"}, Code.EMPTY),
    "more records": ({"records": "5"}, Code.TRUNCATED),
    "fewer records": ({"records": "3"}, Code.MALFORMED),
    "records without end": ({"records": "99999999"}, Code.TOO_LARGE),
    "more signals": ({"signals": "4"}, Code.MALFORMED),
    "signals without end": ({"signals": "9999"}, Code.MALFORMED),
    "no signal": ({"signals": "0"}, Code.MALFORMED),
    "another header": ({"size": "1280"}, Code.MALFORMED),
    "no number": ({"records": "four"}, Code.MALFORMED),
    "a number with an underscore": ({"records": "1_0"}, Code.MALFORMED),
    "no duration": ({"seconds": "0"}, Code.RATE),
    "a duration of nothing": ({"seconds": "nan"}, Code.MALFORMED),
    "a negative duration": ({"seconds": "-1"}, Code.RATE),
    "a digital range of nothing": ({"ranges": [("-5", "5", "3", "3")] * 3}, Code.MALFORMED),
    "a digital range upside down": ({"ranges": [("-5", "5", "3", "1")] * 3}, Code.MALFORMED),
    "a physical range of nothing": ({"ranges": [("5", "5", "-8", "8")] * 3}, Code.MALFORMED),
    "a physical range too small": ({"ranges": [("0", "5e-324", "-8", "8")] * 3}, Code.MALFORMED),
    "a physical range without end": ({"ranges": [("-9e307", "9e307", "-8", "8")] * 3}, Code.MALFORMED),
    "values beyond measure": ({"ranges": [("-9e300", "9e300", "-8", "8")] * 3}, Code.MALFORMED),
    "no sample a record": ({"split": (30, 0, 0)}, Code.MALFORMED),
    "no unit": ({"units": "a b"}, Code.UNIT),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_could_be_read_wrong_is_refused(tmp_path: Path, fault: str) -> None:
    more, code = WRONG[fault]
    assert refused(written(tmp_path, **more)).code is code


def test_a_file_that_was_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    content = written(tmp_path).read_bytes()
    for length in range(0, len(content), 13):
        (tmp_path / "r").write_bytes(content[:length])
        assert refused(tmp_path / "r").code in (Code.TRUNCATED, Code.EMPTY, Code.NOT_A_SIGNAL)


def test_limits_hold_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    monkeypatch.setattr(edfio, "read_edf", None)
    monkeypatch.setattr(waveform_checks, "VALUES_LIMIT", 100)
    assert refused(path).code is Code.TOO_LARGE
    monkeypatch.setattr(waveform_limits, "FILE_LIMIT_BYTES", 100)
    assert refused(path).code is Code.TOO_LARGE


def test_without_the_package_the_error_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "edfio", None)
    with pytest.raises(ConfigError, match=r"pip install medmm\[signal\]"):
        read_edf(path, "file 1 of 1")
