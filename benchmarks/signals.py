"""From files to waveforms: ours of every format, the library below or beside it, and the bare file read."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.measure import OURS, Result, Timed, interleaved
from medmm.readers.waveform import read_waveform
from medmm.readers.waveform_checks import check_waveform
from medmm.types import Array

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ECG_HZ, ECG_S = 500, 10
SOUND_HZ, SOUND_S = 44_100, 60
STEP_MV = 0.001
FILES = 20
"""Recordings of one call: a single ECG takes about a millisecond."""

REPEATS = 7
LIMIT = "bare file read"
CHECKED = "ours, with the check of every lead"


@dataclass(frozen=True)
class Rivalry:
    """A format, and what else reads it.

    Attributes:
        write: Writes one recording under a path without suffix; gives the files to read.
        rivals: Name -> package that it needs, and a call with the first of those files.
    """

    write: Callable[[Path], list[Path]]
    rivals: Mapping[str, tuple[str, Callable[[Path], object]]]
    sound: bool = False


def run() -> list[Result]:
    """Measure each format."""
    return [_measure(name, one) for name, one in FORMATS.items()]


def _measure(name: str, rivalry: Rivalry) -> Result:
    rivals = {rival: call for rival, (package, call) in rivalry.rivals.items() if find_spec(package) is not None}
    with tempfile.TemporaryDirectory() as temporary:
        recordings = [rivalry.write(Path(temporary) / f"r{number}") for number in range(FILES)]
        ways: dict[str, Callable[[], object]] = {
            OURS: partial(_each, recordings, read_waveform),
            CHECKED: partial(_each, recordings, lambda files: check_waveform(read_waveform(files))),
            **{rival: partial(_each, recordings, partial(_first, call)) for rival, call in rivals.items()},
            LIMIT: partial(_each, recordings, _bare),
        }
        seconds = interleaved(ways, REPEATS)
    what = f"{SOUND_S} s of sound, {SOUND_HZ} Hz" if rivalry.sound else f"ECG of {len(LEADS)} leads, {ECG_S} s at {ECG_HZ} Hz"
    against = [f"{seconds[OURS] / seconds[rival]:.2f} times the time of {rival}" for rival in rivals]
    absent = [rival for rival in rivalry.rivals if rival not in rivals]
    verdict = f"{', '.join([*against, f'{seconds[OURS] / seconds[LIMIT]:.1f} times that of the bare file read'])}."
    verdict += f" Not installed, so not measured: {', '.join(absent)}." if absent else ""
    return Result(f"{name} to waveform: {what}", {way: Timed(seconds[way]) for way in ways}, FILES, "recordings", verdict)


def _each(recordings: list[list[Path]], read: Callable[[list[Path]], object]) -> None:
    for files in recordings:
        read(files)


def _first(call: Callable[[Path], object], files: list[Path]) -> object:
    return call(files[0])


def _bare(files: list[Path]) -> list[bytes]:
    return [file.read_bytes() for file in files]


def make_ecg() -> Array:
    """Draw an ECG in steps of `STEP_MV`, (12, 5000) int16: waves as bells, another height in each lead, and noise."""
    rng = np.random.default_rng(0)
    phase = np.arange(ECG_S * ECG_HZ) / ECG_HZ * 1.2 % 1
    waves = ((0.15, 0.3, 0.03), (1.0, 0.5, 0.013), (-0.25, 0.54, 0.013), (0.3, 0.75, 0.05))
    beat = sum(height * np.exp(-((phase - place) ** 2) / 2 / width**2) for height, place, width in waves)
    values = rng.uniform(0.3, 1.5, (len(LEADS), 1)) * beat + rng.normal(0, 0.01, (len(LEADS), len(phase)))
    return np.round(values / STEP_MV).astype(np.int16)


def _write_sound(format_: str, subtype: str, stem: Path) -> list[Path]:
    import soundfile

    rng = np.random.default_rng(0)
    time = np.arange(SOUND_S * SOUND_HZ) / SOUND_HZ
    beats = np.sin(2 * np.pi * 60 * time) * np.exp(-(((time * 1.2 % 1) - 0.3) ** 2) / 0.004)
    values = 0.5 * beats + rng.normal(0, 0.01, len(time))
    with soundfile.SoundFile(stem, "w", SOUND_HZ, 1, format=format_, subtype=subtype) as file:
        for second in np.split(values, SOUND_S):  # libsndfile 1.2.2 crashes where it is given millions of samples for Vorbis
            file.write(second)
    return [stem]


def _read_soundfile(file: Path) -> object:
    import soundfile

    return soundfile.read(file, dtype="float32", always_2d=True)


def _read_librosa(file: Path) -> object:
    import librosa

    return librosa.load(file, sr=None, mono=False)


def _write_csv(stem: Path) -> list[Path]:
    values = make_ecg() * STEP_MV
    table = np.column_stack([np.arange(values.shape[1]) / ECG_HZ, values.T])
    header = ",".join(["time", *(f"{lead} [mV]" for lead in LEADS)])
    np.savetxt(stem, table, fmt="%.3f", delimiter=",", header=header, comments="")
    return [stem]


def _read_pandas(file: Path) -> object:
    import pandas as pd

    return pd.read_csv(file)


def _write_parquet(stem: Path) -> list[Path]:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {f"{lead} [mV]": values for lead, values in zip(LEADS, np.float32(make_ecg() * STEP_MV), strict=True)}
    parquet.write_table(pa.table(columns).replace_schema_metadata({"rate_hz": str(ECG_HZ)}), stem)
    return [stem]


def _read_pyarrow(file: Path) -> object:
    from pyarrow import parquet

    return parquet.read_table(file)


def _write_wfdb(stem: Path) -> list[Path]:
    import wfdb

    wfdb.wrsamp(
        stem.name,
        fs=ECG_HZ,
        units=["mV"] * len(LEADS),
        sig_name=list(LEADS),
        d_signal=make_ecg().T.astype(np.int64),
        fmt=["16"] * len(LEADS),
        adc_gain=[1 / STEP_MV] * len(LEADS),
        baseline=[0] * len(LEADS),
        write_dir=str(stem.parent),
    )
    return [stem.with_suffix(".hea"), stem.with_suffix(".dat")]


def _read_wfdb(file: Path) -> object:
    import wfdb

    return wfdb.rdrecord(str(file.with_suffix("")), return_res=32)


def _write_edf(stem: Path) -> list[Path]:
    from edfio import Edf, EdfSignal

    signals = [
        EdfSignal(values * STEP_MV, ECG_HZ, label=f"ECG {lead}", physical_dimension="mV", physical_range=(-32.768, 32.767))
        for lead, values in zip(LEADS, make_ecg(), strict=True)
    ]
    file = stem.with_suffix(".edf")
    Edf(signals).write(file)
    return [file]


def _read_edfio(file: Path) -> object:
    from edfio import read_edf

    return np.stack([signal.data for signal in read_edf(file).signals])


def _write_dicom(stem: Path) -> list[Path]:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

    def code(value: str, scheme: str) -> list[Dataset]:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, value
        return [item]

    values = make_ecg()
    group = Dataset()
    group.MultiplexGroupTimeOffset, group.WaveformOriginality = 0, "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = values.shape
    group.SamplingFrequency = ECG_HZ
    group.ChannelDefinitionSequence = []
    for lead in LEADS:
        channel = Dataset()
        channel.ChannelSourceSequence = code(f"MDC_ECG_LEAD_{lead}", "MDC")
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = STEP_MV, 1, 0
        channel.ChannelSensitivityUnitsSequence = code("mV", "UCUM")
        channel.ChannelSampleSkew, channel.WaveformBitsStored = 0, 16
        group.ChannelDefinitionSequence.append(channel)
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.add_new("WaveformData", "OW", values.T.tobytes())
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = TwelveLeadECGWaveformStorage, generate_uid(), "ECG"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID = dataset.PatientName = "benchmark"
    dataset.WaveformSequence = [group]
    dataset.save_as(stem, enforce_file_format=True)
    return [stem]


def _read_pydicom(file: Path) -> object:
    import pydicom

    return pydicom.dcmread(file).waveform_array(0)


SOUND_RIVALS: Mapping[str, tuple[str, Callable[[Path], object]]] = {
    "soundfile alone": ("soundfile", _read_soundfile),
    "librosa": ("librosa", _read_librosa),
}
FORMATS: Mapping[str, Rivalry] = {
    "WAV, 16 bit": Rivalry(partial(_write_sound, "WAV", "PCM_16"), SOUND_RIVALS, sound=True),
    "FLAC, 16 bit": Rivalry(partial(_write_sound, "FLAC", "PCM_16"), SOUND_RIVALS, sound=True),
    "OGG, Vorbis": Rivalry(partial(_write_sound, "OGG", "VORBIS"), SOUND_RIVALS, sound=True),
    "CSV": Rivalry(_write_csv, {"pandas": ("pandas", _read_pandas)}),
    "Parquet": Rivalry(_write_parquet, {"pyarrow alone": ("pyarrow", _read_pyarrow)}),
    "WFDB, format 16": Rivalry(_write_wfdb, {"wfdb": ("wfdb", _read_wfdb)}),
    "EDF": Rivalry(_write_edf, {"edfio": ("edfio", _read_edfio)}),
    "DICOM": Rivalry(_write_dicom, {"pydicom": ("pydicom", _read_pydicom)}),
}
