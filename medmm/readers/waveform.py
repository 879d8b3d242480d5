"""From files to a recorded signal. The format is decided by content, never by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers.formats import HEAD_BYTES, Format, format_of
from medmm.readers.waveform_leads import standard_leads
from medmm.readers.waveform_table import is_waveform_csv
from medmm.types import Waveform

EXPECTED = "WAV, FLAC, OGG, WFDB, EDF, a DICOM waveform, or a table with a column time"

RECORD_LINE = re.compile(
    rb"[\w-]+(?:/\d+)?[ \t]+\d+(?:[ \t]+[\d.eE+]+(?:/[\d.eE+]+(?:\([\d.eE+-]+\))?)?(?:[ \t]+\d+.*)?)?[ \t]*"
)
"""First line of a WFDB header but for comments: name and segments, number of signals, rate and counter, length, time and date.
Source: WFDB Applications Guide, header(5)."""


class SignalFormat(StrEnum):
    """A format of signals that the readers know."""

    SOUND = "sound"
    TABLE = "table"
    WFDB = "wfdb"
    EDF = "edf"
    DICOM = "dicom"


def read_waveform(files: Sequence[Path]) -> Waveform:
    """Read the one recording that files hold: a file, or the header and the signal files of a WFDB record.

    Names of ECG leads come in one spelling, as in `standard_lead`. That the signal is one that can be used is checked apart, by
    `check_waveform`, for it concerns the leads of the run alone.

    Args:
        files: In any order.

    Raises:
        Rejected: NOT_A_SIGNAL, EMPTY; AMBIGUOUS where there are several recordings; LEADS where two leads have one name; or why
            the recording cannot be read right.
        ConfigError: The package that reads the format is not installed.
    """
    if not files:
        raise Rejected(Code.EMPTY, "the recording", "no file", "a recorded signal", "check the path")
    places = {file: f"file {number} of {len(files)}" for number, file in enumerate(files, start=1)}
    formats = {file: signal_format_of(file, where) for file, where in places.items()}
    if SignalFormat.WFDB in formats.values():
        return _standard(_read_wfdb(files, "the recording"), "the recording")
    known = [file for file, kind in formats.items() if kind is not None]
    if not known:
        code, found = Code.NOT_A_SIGNAL, "a file that is no signal" if len(files) == 1 else f"{len(files)} files, none a signal"
        raise Rejected(code, "the recording", found, EXPECTED, "name the right file; of WFDB, the header too")
    if len(files) > 1:
        found = f"{len(files)} files that are not one recording"
        raise Rejected(Code.AMBIGUOUS, "the recording", found, "one recording", "give each recording on its own")
    kind = formats[known[0]]
    assert kind is not None
    return _standard(READERS[kind](known[0], places[known[0]]), places[known[0]])


def signal_format_of(path: Path, where: str) -> SignalFormat | None:
    """Tell the format of a file, None where its content is no signal that the readers know.

    Raises:
        Rejected: EMPTY where the file is empty, holds zeros or cannot be opened.
    """
    kind = format_of(path, where)
    if kind is not None:
        return SignalFormat.DICOM if kind is Format.DICOM else None
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE") or head[:4] in (b"fLaC", b"OggS"):
        return SignalFormat.SOUND
    if head.startswith((b"0       ", b"\xffBIOSEMI")):  # EDF, and BDF of 24 bits: the version, the first 8 bytes of the header
        return SignalFormat.EDF
    if head.startswith(b"PAR1"):
        return SignalFormat.TABLE
    if _is_wfdb_header(head):
        return SignalFormat.WFDB
    return SignalFormat.TABLE if is_waveform_csv(path) else None


def _is_wfdb_header(head: bytes) -> bool:
    lines = (line.strip(b"\r") for line in head.split(b"\n"))
    first = next((line for line in lines if line.strip() and not line.startswith(b"#")), b"")
    return b"\0" not in head and RECORD_LINE.fullmatch(first) is not None


def _standard(waveform: Waveform, where: str) -> Waveform:
    return replace(waveform, leads=standard_leads(waveform.leads, where))


def _read_sound(path: Path, where: str) -> Waveform:
    from medmm.readers.waveform_audio import read_audio

    return read_audio(path, where)


def _read_table(path: Path, where: str) -> Waveform:
    from medmm.readers.waveform_table import read_waveform_table

    return read_waveform_table(path, where)


def _read_edf(path: Path, where: str) -> Waveform:
    from medmm.readers.waveform_edf import read_edf

    return read_edf(path, where)


def _read_dicom(path: Path, where: str) -> Waveform:
    from medmm.readers.waveform_dicom import read_dicom_waveform

    return read_dicom_waveform(path, where)


def _read_wfdb(files: Sequence[Path], where: str) -> Waveform:
    from medmm.readers.waveform_wfdb import read_wfdb

    return read_wfdb(files, where)


READERS: Mapping[SignalFormat, Callable[[Path, str], Waveform]] = {
    SignalFormat.SOUND: _read_sound,
    SignalFormat.TABLE: _read_table,
    SignalFormat.EDF: _read_edf,
    SignalFormat.DICOM: _read_dicom,
}
"""Of formats in which one file is one recording."""
