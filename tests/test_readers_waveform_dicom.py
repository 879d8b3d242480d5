"""DICOM waveforms: what is written reads back exactly, against pydicom too; all that could be read wrong is refused."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import planted_waveforms as planted
import pydicom
import pytest
from planted_waveforms import channel, code, ecg, group, save_waveform
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GeneralAudioWaveformStorage,
    HemodynamicWaveformStorage,
    ImplicitVRLittleEndian,
)
from test_scan_hostile import within

from medmm.errors import Code, Rejected
from medmm.readers import waveform_limits
from medmm.readers.waveform_companding import a_law, mu_law
from medmm.readers.waveform_dicom import check_dicom_waveform, read_dicom_waveform
from medmm.types import Waveform

WHERE = "file 1 of 1"
TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def read(path: Path) -> Waveform:
    return read_dicom_waveform(path, WHERE)


def refused(path: Path) -> Code:
    """Give why a waveform is refused, in words without a path or a patient."""
    with pytest.raises(Rejected) as caught:
        read(path)
    assert planted.SECRET not in str(caught.value)
    assert str(path) not in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_what_is_written_reads_back(tmp_path: Path, syntax: str) -> None:
    stored = ecg()
    found = read(save_waveform(tmp_path / "a", [group(stored)], syntax))
    np.testing.assert_array_equal(found.values, (stored.T * 2.5 / 1000).astype(np.float32))
    assert found.values.dtype == np.float32
    assert (found.rate_hz, found.leads, found.units) == (500, TWELVE, ("mV",) * 12)


def test_big_endian_reads_back(tmp_path: Path) -> None:
    stored = ecg()
    found = read(save_waveform(tmp_path / "a", [group(stored, big=True)], ExplicitVRBigEndian))
    np.testing.assert_array_equal(found.values, (stored.T * 2.5 / 1000).astype(np.float32))
    eight = group(ecg(high=100, low=-100), kind="SB")
    assert refused(save_waveform(tmp_path / "b", [eight], ExplicitVRBigEndian)) is Code.UNSUPPORTED


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("SB", -128, 128), ("UB", 0, 256), ("US", 0, 2**16), ("SL", -(2**31), 2**31), ("UL", 0, 2**32)]
)
def test_every_kind_of_sample_reads_back(tmp_path: Path, kind: str, low: int, high: int) -> None:
    stored = ecg(seed=1, leads=3, samples=7, low=low, high=high)  # an odd number of bytes, where each sample is one
    found = read(save_waveform(tmp_path / "a", [group(stored, kind=kind)]))
    np.testing.assert_array_equal(found.values, (stored.T * 2.5 / 1000).astype(np.float32))


def test_a_file_of_pydicom_reads_as_pydicom_reads_it() -> None:
    file = Path(get_testdata_file("waveform_ecg.dcm"))
    found = read(file)
    expected = pydicom.dcmread(file).waveform_array(0)  # uV; the other group is the median beat
    np.testing.assert_array_equal(found.values, (expected.T / 1000).astype(np.float32))
    assert (found.leads, set(found.units), found.rate_hz, found.seconds) == (TWELVE, {"mV"}, 1000, 10)


@pytest.mark.parametrize("seed", range(5))
def test_scaling_is_that_of_pydicom(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels = [
        channel(
            ChannelSensitivity=round(rng.uniform(0.1, 9), 3),
            ChannelSensitivityCorrectionFactor=round(rng.uniform(0.9, 1.1), 3),
            ChannelBaseline=round(rng.uniform(-50, 50), 2),
            ChannelSensitivityUnitsSequence=code("mm[Hg]", "UCUM"),
        )
        for _ in range(3)
    ]
    path = save_waveform(tmp_path / "a", [group(ecg(seed, 3), channels)], SOPClassUID=HemodynamicWaveformStorage)
    found = read(path)
    expected = pydicom.dcmread(path).waveform_array(0).T
    np.testing.assert_allclose(found.values, expected, rtol=1e-6, atol=1e-5)
    assert found.units == ("mm[Hg]",) * 3


def test_leads_are_named_by_either_coding_scheme_as_the_standard_lists_them(tmp_path: Path) -> None:
    named = ("LeadI", "LeadII", "LeadIII", "AvrAugmentedVoltageRight", "AvlAugmentedVoltageLeft", "AvfAugmentedVoltageFoot")
    listed = [getattr(codes.cid3001, name) for name in (*named, *(f"LeadV{place}" for place in range(1, 7)))]
    channels = [channel(ChannelSourceSequence=code(one.value, "MDC")) for one in listed]
    assert read(save_waveform(tmp_path / "a", [group(ecg(), channels)])).leads == TWELVE


def test_other_leads_keep_their_own_names(tmp_path: Path) -> None:
    derived = code("2:31", "MDC", "Derived Lead I")  # computed, not recorded
    modified = {"ChannelSourceModifiersSequence": code("x", "99X", "against Cz")}
    channels = [
        channel(ChannelSourceSequence=derived),
        channel("II", **modified),
        channel(ChannelSourceSequence=code("2:0", "MDC", "Unspecified lead"), ChannelLabel="v3"),
        channel(ChannelSourceSequence=code("9", "99ACME", "Lead aVR")),
        channel(ChannelSourceSequence=None, ChannelLabel=None),
    ]
    leads = read(save_waveform(tmp_path / "a", [group(ecg(leads=5), channels)])).leads
    assert leads == ("Derived Lead I", "Lead II against Cz", "V3", "aVR", "5")


def test_the_rhythm_is_read_of_several_groups(tmp_path: Path) -> None:
    beat = group(ecg(1, samples=30), WaveformOriginality="DERIVED")
    strips, rhythm = [group(ecg(seed, 3, 10)) for seed in (2, 3)], group(ecg(4, 1, 60))
    long_beat = group(ecg(5, samples=90), WaveformOriginality="DERIVED")
    for number, groups in enumerate(([beat, *strips, rhythm], [rhythm, long_beat])):
        found = read(save_waveform(tmp_path / str(number), groups))
        np.testing.assert_array_equal(found.values, (ecg(4, 1, 60).T * 2.5 / 1000).astype(np.float32))
    assert refused(save_waveform(tmp_path / "two", [*strips, beat])) is Code.AMBIGUOUS
    assert refused(save_waveform(tmp_path / "derived", [beat, long_beat])) is Code.AMBIGUOUS
    assert read(save_waveform(tmp_path / "beat", [beat])).values.shape == (12, 30)


def test_channels_that_start_apart_are_put_together(tmp_path: Path) -> None:
    stored = np.arange(20).reshape(10, 2)
    channels = [channel("I"), channel("II", ChannelSampleSkew=2.4)]
    found = read(save_waveform(tmp_path / "a", [group(stored, channels)])).values
    # The second starts 2 samples later: its first is at the time of the third of the other.
    np.testing.assert_allclose(found, np.array([stored[2:, 0], stored[:-2, 1]]) * 2.5e-3, rtol=1e-6)
    timed = [channel("I"), channel("II", ChannelSampleSkew=None, ChannelTimeSkew=0.0048)]  # 2.4 samples at 500 Hz
    np.testing.assert_array_equal(read(save_waveform(tmp_path / "b", [group(stored, timed)])).values, found)
    close = [channel("I"), channel("II", ChannelSampleSkew=0.4)]
    assert read(save_waveform(tmp_path / "c", [group(stored, close)])).values.shape == (2, 10)
    for skew in (10, 1e300):
        apart = [channel("I"), channel("II", ChannelSampleSkew=skew)]
        assert refused(save_waveform(tmp_path / "d", [group(stored, apart)])) is Code.MALFORMED


def test_a_channel_without_a_measurement_is_left_out(tmp_path: Path) -> None:
    channels = [channel("I"), channel("II", ChannelStatus="DISCONNECTED"), channel("III", ChannelStatus="OK")]
    assert read(save_waveform(tmp_path / "a", [group(ecg(leads=3), channels)])).leads == ("I", "III")
    none = [channel("I", ChannelStatus="INVALID")]
    assert refused(save_waveform(tmp_path / "b", [group(ecg(leads=1), none)])) is Code.EMPTY


@pytest.mark.parametrize(("kind", "subtype"), [("MB", "ULAW"), ("AB", "ALAW")])
def test_companded_sound_is_that_of_soundfile(tmp_path: Path, kind: str, subtype: str) -> None:
    soundfile = pytest.importorskip("soundfile", reason="needs medmm[signal]")
    stored = np.arange(256).reshape(-1, 1)
    item = group(stored, [channel(ChannelSensitivity=None, WaveformBitsStored=8)], kind, SamplingFrequency=8000)
    path = save_waveform(tmp_path / "a", [item], SOPClassUID=GeneralAudioWaveformStorage)
    (tmp_path / "raw").write_bytes(bytes(range(256)))
    expected, _ = soundfile.read(tmp_path / "raw", channels=1, samplerate=8000, subtype=subtype, format="RAW", dtype="int16")
    np.testing.assert_array_equal(mu_law() if kind == "MB" else a_law(), expected)
    found = read(path)
    np.testing.assert_array_equal(found.values[0], (expected / 2**15).astype(np.float32))
    assert (found.leads, found.units, found.rate_hz) == (("1",), ("1",), 8000)


@pytest.mark.parametrize(("kind", "silent", "loud"), [("SS", 0, -(2**15)), ("UB", 128, 0), ("SB", 0, -128), ("US", 2**15, 0)])
def test_sound_is_in_shares_of_full_scale(tmp_path: Path, kind: str, silent: int, loud: int) -> None:
    bare = channel(ChannelSensitivity=None, WaveformBitsStored=None)
    item = group(np.array([[silent], [loud]]), [bare], kind)
    found = read(save_waveform(tmp_path / "a", [item], SOPClassUID=GeneralAudioWaveformStorage))
    np.testing.assert_array_equal(found.values, [[0, -1]])


def one(stored: np.ndarray = np.arange(40).reshape(20, 2), **changes: Any) -> Dataset:  # noqa: B008 - never changed
    return group(stored, **changes)


def bad(**changes: Any) -> Dataset:
    return group(np.arange(20).reshape(20, 1), [channel(**changes)])


FAULTS: dict[str, tuple[Callable[[], Dataset], Code]] = {
    "a channel too many": (lambda: one(NumberOfWaveformChannels=3), Code.MALFORMED),
    "a sample too many": (lambda: one(NumberOfWaveformSamples=21), Code.TRUNCATED),
    "a sample too few": (lambda: one(NumberOfWaveformSamples=19), Code.MALFORMED),
    "samples without end": (lambda: one(NumberOfWaveformSamples=2**32 - 1), Code.TOO_LARGE),
    "no sample": (lambda: one(NumberOfWaveformSamples=0), Code.EMPTY),
    "no data": (lambda: one(WaveformData=None), Code.TRUNCATED),
    "no rate": (lambda: one(SamplingFrequency=None), Code.RATE),
    "a rate of nothing": (lambda: one(SamplingFrequency=0), Code.RATE),
    "no number of channels": (lambda: one(NumberOfWaveformChannels=None), Code.HEADER),
    "bits that do not fit": (lambda: one(WaveformBitsAllocated=8), Code.UNSUPPORTED),
    "an unknown kind": (lambda: one(WaveformSampleInterpretation="XX"), Code.UNSUPPORTED),
    "mu-law of an ECG": (lambda: group(ecg(leads=1, low=0, high=9), kind="MB"), Code.UNSUPPORTED),
    "a marked sample": (lambda: one(WaveformPaddingValue=b"\x05\x00"), Code.NOT_FINITE),
    "half a mark": (lambda: group(ecg(leads=1), kind="SL", WaveformPaddingValue=b"\x05\x00"), Code.HEADER),
    "no sensitivity": (lambda: bad(ChannelSensitivity=None), Code.UNIT),
    "no unit": (lambda: bad(ChannelSensitivityUnitsSequence=None), Code.UNIT),
    "a unit of another scheme": (lambda: bad(ChannelSensitivityUnitsSequence=code("uV", "99ACME")), Code.UNIT),
    "a sensitivity of nothing": (lambda: bad(ChannelSensitivity=0), Code.HEADER),
    "a correction of nothing": (lambda: bad(ChannelSensitivityCorrectionFactor=0), Code.HEADER),
    "a sensitivity beyond measure": (lambda: bad(ChannelSensitivity="1e300"), Code.MALFORMED),
    "more bits than there are": (lambda: bad(WaveformBitsStored=17), Code.HEADER),
    "a sample beyond its bits": (lambda: bad(WaveformBitsStored=5), Code.MALFORMED),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_could_be_read_wrong_is_refused(tmp_path: Path, fault: str) -> None:
    make, expected = FAULTS[fault]
    path = save_waveform(tmp_path / "a", [make()])
    assert refused(path) is expected
    if expected not in (Code.NOT_FINITE, Code.MALFORMED) and fault != "half a mark":  # headers tell of the others
        with pytest.raises(Rejected):
            check_dicom_waveform(path, WHERE)


def test_signed_samples_of_twelve_bits_are_sound_only_where_they_were_extended(tmp_path: Path) -> None:
    extended = group(np.array([[-2048], [2047]]), [channel(WaveformBitsStored=12)])
    np.testing.assert_allclose(read(save_waveform(tmp_path / "a", [extended])).values, [[-5.12, 5.1175]], rtol=1e-6)
    bare = group(np.array([[2048], [2047]]), [channel(WaveformBitsStored=12)])  # -2048 without its sign
    assert refused(save_waveform(tmp_path / "b", [bare])) is Code.MALFORMED


def test_other_objects_are_no_signals(tmp_path: Path) -> None:
    assert refused(save_waveform(tmp_path / "a", [], SOPClassUID=CTImageStorage)) is Code.NOT_A_SIGNAL
    assert refused(save_waveform(tmp_path / "b", [])) is Code.EMPTY
    assert refused(save_waveform(tmp_path / "c", [], WaveformSequence=None)) is Code.TRUNCATED
    (tmp_path / "d").write_bytes(b"")
    assert refused(tmp_path / "d") is Code.EMPTY
    assert refused(tmp_path / "missing") is Code.EMPTY


def test_a_file_that_was_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    content = save_waveform(tmp_path / "a", [group(ecg(leads=2))]).read_bytes()
    ends = set()
    for length in range(0, len(content), 7):
        (tmp_path / "b").write_bytes(content[:length])
        ends.add(refused(tmp_path / "b"))
    assert ends <= {Code.TRUNCATED, Code.EMPTY, Code.MALFORMED, Code.NOT_A_SIGNAL}


def test_a_file_beyond_the_limit_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_waveform(tmp_path / "a", [group(ecg())])
    monkeypatch.setattr(waveform_limits, "FILE_LIMIT_BYTES", 100)
    assert refused(path) is Code.TOO_LARGE


def test_a_small_deflated_file_cannot_fill_the_memory(tmp_path: Path) -> None:
    path = save_waveform(tmp_path / "a", [group(ecg())], DeflatedExplicitVRLittleEndian)
    start = path.read_bytes()
    head = start[: start.index(b"1.2.840.10008.1.2.1.99") + 22]
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    zeros = bytes(1 << 24)
    bomb = b"".join(packer.compress(zeros) for _ in range(18)) + packer.flush()  # 288 MiB; the limit is 256
    path.write_bytes(head + bomb)
    assert len(bomb) < 300_000
    with within(20):
        assert refused(path) is Code.TOO_LARGE
