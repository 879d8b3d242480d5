"""EDF and EDF+ recordings without gaps, and their sisters of 24 bits, BDF and BDF+; right, or refused.

edfio decodes, once the header has been found to agree with itself and with the size of the file. Annotations are passed over.
Standard leads of an ECG are given in mV, everything else in the unit that the file states, "" where it states none.

L signals, T samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from medmm.errors import Code, ConfigError, Rejected
from medmm.readers.quiet import quiet
from medmm.readers.waveform_checks import check_size
from medmm.readers.waveform_edf_header import EdfHeader, EdfSignal, malformed, parse_header
from medmm.readers.waveform_limits import check_file_size
from medmm.readers.waveform_units import as_lead, ucum_unit
from medmm.types import Array, Waveform


def read_edf(path: Path, where: str) -> Waveform:
    """Read the signals of a recording, all of which have one rate.

    Args:
        path: An EDF or BDF file.
        where: Which file it is, in words that hold no patient.

    Raises:
        Rejected: EMPTY (annotations alone); RATE (signals of several rates); TRUNCATED or MALFORMED where the file is shorter
            or longer than its header says; UNIT; TOO_LARGE; or as `parse_header`.
        ConfigError: The package edfio is not installed.
    """
    size = check_file_size(path, where)
    content = path.read_bytes()
    header = parse_header(content, where)
    signals = [signal for signal in header.signals if not signal.annotations]
    if not signals:
        raise Rejected(Code.EMPTY, where, "annotations alone", "at least one signal", "give the recording itself")
    _refuse_rates(signals, header, where)
    check_size(len(signals), signals[0].samples * header.records, where)
    if size < header.size:
        raise Rejected(Code.TRUNCATED, where, f"{size} of {header.size} bytes", "the whole file", "copy it again")
    if size > header.size:
        raise malformed(where, f"{size} bytes where the header promises {header.size}", "a header of this file")
    values = np.empty((len(signals), signals[0].samples * header.records), np.float32)
    leads, units = [], []
    for row, (signal, one) in enumerate(zip(signals, _decoded(content, header, where), strict=True)):
        unit = ucum_unit(signal.unit, f"{where}, signal {row + 1}")
        with np.errstate(over="ignore"):
            scaled, lead, unit = as_lead(one, _lead(signal, row + 1), unit)
            values[row] = scaled
        leads.append(lead)
        units.append(unit)
    if not np.isfinite(values).all():
        raise malformed(where, "values beyond any measurement", "a possible physical range")
    return Waveform(values, signals[0].samples / header.record_seconds, tuple(leads), tuple(units))


def _refuse_rates(signals: Sequence[EdfSignal], header: EdfHeader, where: str) -> None:
    """Refuse signals of several rates: which of them to change, and how, is for the one who exports to say."""
    first = {signal.samples: number for number, signal in reversed(list(enumerate(signals, start=1)))}
    if len(first) == 1:
        return
    rates = (f"lead {number} at {samples / header.record_seconds:g} Hz" for samples, number in sorted(first.items())[-3:])
    found = f"{len(first)} sampling rates: " + ", ".join(rates)
    raise Rejected(Code.RATE, where, found, "one rate for all leads", "export the leads of one rate")


def _lead(signal: EdfSignal, number: int) -> str:
    return "".join(filter(str.isprintable, signal.label)).strip() or str(number)


def _decoded(content: bytes, header: EdfHeader, where: str) -> Iterator[Array]:
    """Let edfio decode: (T,) float64 of one signal after the other."""
    try:
        import edfio
    except ImportError:
        raise ConfigError("the package edfio, which reads EDF files, is not installed: pip install medmm[signal]") from None
    try:
        with quiet():  # its warnings quote the file
            read = edfio.read_edf if header.format == "EDF" else edfio.read_bdf
            signals = read(content).signals
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - edfio raises whatever its parsers meet
        raise malformed(where, "a recording that edfio cannot decode", "EDF or BDF") from None
    for signal in signals:
        with np.errstate(over="ignore", invalid="ignore"):
            values = signal.data
        yield values
