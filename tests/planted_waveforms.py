"""Recordings made for tests: DICOM waveforms by pydicom, EDF files by hand, WFDB records by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

from medmm.types import Array

SECRET = "Quiet^Patient"
"""A name that no error may tell."""

SCP_LEADS = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64, **{f"V{n}": n + 2 for n in range(1, 7)}}
STUDY = generate_uid()
KINDS = {"SS": "i2", "US": "u2", "SB": "i1", "UB": "u1", "SL": "i4", "UL": "u4", "MB": "u1", "AB": "u1"}


def code(value: str, scheme: str, meaning: str = "x") -> list[Dataset]:
    """Make a sequence of one code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


def changed(dataset: Dataset, changes: Mapping[str, Any]) -> Dataset:
    """Set attributes; None takes one out."""
    for keyword, value in changes.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)
    return dataset


def channel(lead: str = "I", **changes: Any) -> Dataset:
    """Make the definition of a channel of 2.5 uV a step."""
    values = {
        "ChannelSourceSequence": code(f"5.6.3-9-{SCP_LEADS.get(lead, 0)}", "SCPECG", f"Lead {lead}"),
        "ChannelSensitivity": 2.5,
        "ChannelSensitivityUnitsSequence": code("uV", "UCUM"),
        "ChannelSensitivityCorrectionFactor": 1,
        "ChannelBaseline": 0,
        "ChannelSampleSkew": 0,
        "WaveformBitsStored": 16,
    }
    return changed(Dataset(), {**values, **changes})


def group(stored: Array, channels: Sequence[Dataset] = (), kind: str = "SS", *, big: bool = False, **changes: Any) -> Dataset:
    """Make a multiplex group of samples (T, L) as they are stored."""
    data = stored.astype(np.dtype(KINDS[kind]).newbyteorder(">" if big else "<")).tobytes()
    bits = np.dtype(KINDS[kind]).itemsize * 8
    item = Dataset()
    values = {
        "WaveformOriginality": "ORIGINAL",
        "NumberOfWaveformChannels": stored.shape[1],
        "NumberOfWaveformSamples": stored.shape[0],
        "SamplingFrequency": 500,
        "ChannelDefinitionSequence": list(channels)
        or [channel(lead, WaveformBitsStored=bits) for lead in list(SCP_LEADS)[: stored.shape[1]]],
        "WaveformBitsAllocated": bits,
        "WaveformSampleInterpretation": kind,
    }
    changed(item, {**values, **changes})
    if "WaveformData" not in changes:
        item.add_new("WaveformData", "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))
    return item


def save_waveform(path: Path, groups: Sequence[Dataset], syntax: str = ExplicitVRLittleEndian, **changes: Any) -> Path:
    """Write a waveform object."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    values = {
        "SOPClassUID": TwelveLeadECGWaveformStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": generate_uid(),
        "PatientName": SECRET,
        "PatientID": "p1",
        "AccessionNumber": "A1",
        "Modality": "ECG",
        "WaveformSequence": list(groups),
    }
    changed(dataset, {**values, **changes})
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def ecg(seed: int = 0, leads: int = 12, samples: int = 40, low: int = -2000, high: int = 2000) -> Array:
    """Make stored samples (T, L)."""
    return np.random.default_rng(seed).integers(low, high, (samples, leads))


def edf(
    stored: Array,
    labels: Sequence[str],
    seconds: str = "1",
    units: str = "uV",
    ranges: Sequence[tuple[str, str, str, str]] = (),
    split: Sequence[int] = (),
    version: bytes = b"0       ",
    **fields: str,
) -> bytes:
    """Write an EDF file; of BDF with three bytes a sample.

    Args:
        records: (R, samples of a record) as they are stored, signal after signal.
        labels: Of the signals.
        seconds: Duration of a record.
        units: Physical dimension of all.
        ranges: Physical minimum and maximum, digital minimum and maximum of each signal.
        split: Samples a record of each signal; even ones where it is empty.
        version: First eight bytes.
        fields: `size`, `reserved`, `records` or `signals` of the header, where they are to be a lie.
    """
    count = len(labels)
    split = split or [stored.shape[1] // count] * count
    ranges = ranges or [("-3276.8", "3276.7", "-32768", "32767")] * count
    head = [
        version.decode("latin-1"),
        f"{SECRET:80}",
        f"{'Startdate 01-JAN-2020 X X X':80}",
        "01.01.20",
        "10.00.00",
        f"{fields.get('size', 256 * (1 + count)):8}",
        f"{fields.get('reserved', ''):44}",
        f"{fields.get('records', len(stored)):8}",
        f"{seconds:8}",
        f"{fields.get('signals', count):4}",
    ]
    columns = [
        [f"{label:16}" for label in labels],
        [" " * 80] * count,
        [f"{units:8}"] * count,
        *([f"{one[place]:8}" for one in ranges] for place in range(4)),
        [" " * 80] * count,
        [f"{samples:<8}" for samples in split],
        [" " * 32] * count,
    ]
    text = "".join([*(one if isinstance(one, str) else str(one) for one in head), *("".join(column) for column in columns)])
    if version.startswith(b"\xff"):
        data = stored.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    else:
        data = stored.astype("<i2").tobytes()
    return text.encode("latin-1") + data


def wfdb_record(folder: Path, stored: Array, header: str, name: str = "r", raw: bytes | None = None) -> list[Path]:
    """Write a record: the samples (T, L) in format 16, or raw bytes, and a header."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.dat").write_bytes(stored.astype("<i2").tobytes() if raw is None else raw)
    (folder / f"{name}.hea").write_text(header, encoding="utf-8")
    return [folder / f"{name}.dat", folder / f"{name}.hea"]


def wfdb_header(stored: Array, leads: Sequence[str] = ("i", "ii", "v1"), tail: str = "", coding: str = "16") -> str:
    """Write the header of a record of 200 steps a mV, baseline 5, with its first samples and check sums."""
    lines = [f"r {stored.shape[1]} 250 {stored.shape[0]}"]
    for place, lead in zip(range(stored.shape[1]), leads, strict=False):
        total = (int(stored[:, place].sum()) + 2**15) % 2**16 - 2**15
        lines.append(f"r.dat {coding} 200(5)/mV 16 0 {stored[0, place]} {total} 0 {lead}")
    return "\n".join([*lines, tail or f"# {SECRET}"]) + "\n"
