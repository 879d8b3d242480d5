"""WFDB records, as of PhysioNet: a text header and the signal files that it names; right, or refused.

The package wfdb decodes the samples and decides nothing: the header is read strictly here, and wfdb is called only once every
file that it would open has been found among the given ones, at the size that the header promises.

L signals, T samples.

Source: WFDB Applications Guide, header(5) and signal(5), https://physionet.org/physiotools/wag/wag.htm.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medmm.errors import Code, ConfigError, Rejected
from medmm.readers.waveform_checks import check_size
from medmm.readers.waveform_limits import check_file_size
from medmm.readers.waveform_units import as_lead, ucum_unit
from medmm.readers.waveform_wfdb_header import SAMPLE_BYTES, RecordHeader, Signal, malformed, parse_header
from medmm.types import Array, Waveform

HEADER_SUFFIX = ".hea"

ADDRESS_MARKS = ("::", "://")
"""In the name of a folder, wfdb would take these for an address (of fsspec) and not for a place on disk."""

MISSING = {"16": -(2**15), "24": -(2**23), "32": -(2**31), "61": -(2**15), "80": -(2**7), "160": -(2**15), "212": -(2**11)}
"""Format -> the sample that stands for none."""


def read_wfdb(files: Sequence[Path], where: str) -> Waveform:
    """Read a record of one segment.

    Args:
        files: The header (`.hea`) and its signal files, in any order; others, such as annotations, are passed over.
        where: Which record it is, in words that hold no patient.

    Raises:
        Rejected: NOT_A_SIGNAL without a header, AMBIGUOUS with several; EMPTY where a signal file is missing; TRUNCATED or
            MALFORMED where it is shorter or longer than the header says; MALFORMED where its samples have another first value
            or another check sum; NOT_FINITE where samples are marked as missing; TOO_LARGE; or as `parse_header`.
        ConfigError: The package wfdb is not installed.
    """
    headers = [file for file in files if file.suffix == HEADER_SUFFIX]
    if not headers:
        raise Rejected(Code.NOT_A_SIGNAL, where, "no header", "a .hea file and its signal files", "give the whole record")
    if len(headers) > 1:
        raise Rejected(Code.AMBIGUOUS, where, f"{len(headers)} headers", "one record", "give each record on its own")
    check_file_size(headers[0], where)
    header = parse_header(headers[0].read_bytes(), where)
    samples = _promised_samples(header, _beside(headers[0], files), where)
    check_size(len(header.signals), samples, where)
    stored = _stored(headers[0], samples, header, where)  # (T, L)
    values = np.empty((len(header.signals), samples), np.float32)
    leads, units = [], []
    for number, signal in enumerate(header.signals, start=1):
        place = f"{where}, signal {number}"
        _check_samples(stored[:, number - 1], signal, place)
        with np.errstate(over="ignore"):
            scaled = (stored[:, number - 1].astype(np.float64) - signal.baseline) / signal.gain
            scaled, lead, unit = as_lead(scaled, signal.lead or str(number), ucum_unit(signal.unit, place))
            values[number - 1] = scaled
        leads.append(lead)
        units.append(unit)
    if not np.isfinite(values).all():
        raise malformed(where, "values beyond any measurement", "a possible gain")
    return Waveform(values, header.rate_hz, tuple(leads), tuple(units))


def record_files(header: Path) -> tuple[Path, ...]:
    """Give the header and those of the files that it names which lie beside it; what is wrong with it, `read_wfdb` says."""
    try:
        check_file_size(header, "the header")
        named = {signal.file for signal in parse_header(header.read_bytes(), "the header").signals}
    except Rejected:
        named = set()
    beside = [header.with_name(name) for name in sorted(named) if Path(name).name == name]
    return (header, *(file for file in beside if file.is_file()))


def _beside(header: Path, files: Sequence[Path]) -> dict[str, Path]:
    """Give the given files that lie in the header's folder, by name."""
    return {file.name: file for file in files if file.parent == header.parent and file != header}


def _promised_samples(header: RecordHeader, beside: dict[str, Path], where: str) -> int:
    """Give the samples of each signal, once every signal file is there and has the size that this takes."""
    samples = header.samples
    for number, name in enumerate(dict.fromkeys(signal.file for signal in header.signals), start=1):
        place = f"{where}, signal file {number}"
        if name not in beside:
            found = "a signal file that the header names and that is not given"
            raise Rejected(Code.EMPTY, place, found, "the whole record", "give all files of the record")
        inside = [signal for signal in header.signals if signal.file == name]
        if len({(signal.format, signal.offset) for signal in inside}) > 1:
            raise malformed(place, "signals of one file with several formats", "one format a file")
        size = check_file_size(beside[name], place) - inside[0].offset
        count, taken = SAMPLE_BYTES[inside[0].format]
        if samples is None:
            samples = max(0, size) * count // (taken * len(inside))
        least = -(-samples * len(inside) * taken // count)
        most = -(-samples * len(inside) // count) * taken  # the last group of bytes may be whole or not
        if size < least:
            found = f"{max(0, size)} of {least} bytes of samples"
            raise Rejected(Code.TRUNCATED, place, found, "all samples of the header", "copy the file again")
        if size > most:
            raise malformed(place, f"{size} bytes of samples where the header promises {most}", "a header of this file")
    return samples or 0


def _stored(file: Path, samples: int, header: RecordHeader, where: str) -> Array:
    """Let wfdb decode the samples: (T, L) int32."""
    record = str(file.absolute().with_suffix(""))
    if any(mark in record for mark in ADDRESS_MARKS):
        found = "a folder whose name looks like an address"
        raise Rejected(Code.UNSUPPORTED, where, found, "a plain name", "give the folder another name")
    read = _rdrecord()
    try:
        last = samples if header.samples else None  # wfdb, too, counts what the header does not
        found = read(record, sampto=last, physical=False, return_res=32)
        stored = np.asarray(found.d_signal)
        alike = [found.fmt, found.file_name] == [[getattr(one, key) for one in header.signals] for key in ("format", "file")]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - wfdb raises whatever its parsers meet, with names of files
        raise malformed(where, "a record that wfdb cannot decode", "a record") from None
    if not alike or stored.shape != (samples, len(header.signals)):
        raise malformed(where, "a header that can be read in two ways", "one line a signal")
    return stored


def _rdrecord() -> Callable[..., Any]:
    """Import wfdb, which takes a second, and says of itself that it uses what pandas will drop."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import wfdb
    except ImportError:
        raise ConfigError("the package wfdb, which reads WFDB records, is not installed: pip install medmm[signal]") from None
    return wfdb.rdrecord  # type: ignore[no-any-return]


def _check_samples(stored: Array, signal: Signal, where: str) -> None:
    """Hold the samples of a signal (T,) against what its header says of them."""
    if signal.first is not None and signal.first != stored[0]:
        raise malformed(where, "another first sample than the header's", "the samples of this header")
    if signal.checksum is not None and (int(stored.sum(dtype=np.int64)) - signal.checksum) % 2**16:
        raise malformed(where, "samples that do not add up to the header's check sum", "the samples of this header")
    missing = int((stored == MISSING[signal.format]).sum())
    if missing:
        expected = "a recording without gaps"
        raise Rejected(Code.NOT_FINITE, where, f"{missing} samples that are marked as missing", expected, "cut the gaps")
