"""Prepare recorded signals: choose leads, convert units, resample, filter, and cut into segments.

Pure functions over arrays, the same whatever stands beside a recording. Letters: L leads, T samples, P segments.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from math import ceil, pi, sqrt, tan

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.units import conversion
from medmm.types import Array, Waveform

MOST_UPSAMPLING = 2
"""Largest factor by which a rate is raised: the frequencies in between were never recorded, and cannot be made."""

MOST_DOWN = 2000
"""Largest denominator of the ratio of two rates; what comes out is off by at most 1 in 4,000, half a millisecond in 2 s."""

ORDER = 4
"""Of the Butterworth filter, each way; both lose 0.5 dB at about 1.28 times the lower and 0.78 times the upper edge."""

NOTCH_HZ = 2.0
"""Width of each notch: it takes the mains, which wander by some hundredths of a hertz, and little of what lies beside it."""

MOST_HARMONICS = 10
"""Of the mains, the mains itself among them; higher ones are too weak to be worth the time."""

EDGE_CYCLES = 3
"""By how many cycles of its lowest edge a recording is continued at both ends, so that a filter has settled where it begins."""


def chosen(waveform: Waveform, leads: Sequence[str], where: str = "recording") -> Waveform:
    """Give these leads, in this order.

    Args:
        waveform: As read.
        leads: Names as in `Waveform.leads`.
        where: What was being read, for errors.

    Raises:
        Rejected: A lead is missing, or stands there twice.
    """
    missing = [name for name in leads if name not in waveform.leads]
    double = [name for name in leads if waveform.leads.count(name) > 1]
    if missing or double:
        found = f"no lead {', '.join(missing)}" if missing else f"more than one lead {', '.join(double)}"
        repair = "export the recording with these leads, each once, or list those in `leads` that every recording has"
        raise Rejected(Code.LEADS, where, found, f"{', '.join(leads)}, each once", repair)
    places = [waveform.leads.index(name) for name in leads]
    return replace(
        waveform,
        values=waveform.values[places],
        leads=tuple(leads),
        units=tuple(waveform.units[place] for place in places),
    )


def in_units(waveform: Waveform, units: Sequence[str], where: str = "recording") -> Waveform:
    """Give each lead in a unit.

    Args:
        waveform: With a unit for each lead.
        units: (L,) UCUM codes, such as `mV` or `mm[Hg]`.
        where: What was being read, for errors, which never show what a file has for a unit.

    Raises:
        Rejected: A lead has no unit, or one that does not become the other.
    """
    values = waveform.values.astype(np.float64)
    for place, (found, unit) in enumerate(zip(waveform.units, units, strict=True)):
        convert = conversion(found, unit) if found else None
        if convert is None:
            what = "a unit that does not become it" if found else "no unit"
            repair = f"export the recording in {unit} or a unit like it, or set `unit` to what the recordings are in"
            raise Rejected(Code.UNIT, f"{where}, lead {place + 1}", what, unit, repair)
        values[place] = convert(values[place])
    return replace(waveform, values=values.astype(np.float32), units=tuple(units))


def resampled(values: Array, rate_hz: float, wanted_hz: float, where: str = "recording") -> Array:
    """Change the sampling rate by a polyphase filter without aliasing.

    The filter keeps what lies below 0.84 of half the lower rate, and takes what lies above 1.16 of it down by more than 50 dB.
    A straight line from the first sample to the last is taken out before and added after, so that neither a constant nor the
    ends of a recording show a transient.

    Args:
        values: (L, T)
        rate_hz: Of `values`.
        wanted_hz: At most `MOST_UPSAMPLING` times `rate_hz`.
        where: What was being read, for errors.

    Returns:
        (L, T') float32, T' = ceil(T * wanted_hz / rate_hz); the first sample keeps its time.

    Raises:
        Rejected: The rate is impossible, or too low.

    Source:
        Crochiere & Rabiner, Multirate digital signal processing, 1983; `scipy.signal.resample_poly`.
    """
    expected = f"at least {wanted_hz / MOST_UPSAMPLING:g} Hz"
    if not 0 < rate_hz < wanted_hz * MOST_DOWN:  # nor is NaN
        raise Rejected(Code.RATE, where, "an impossible sampling rate", expected, "correct the rate that the file states")
    if rate_hz * MOST_UPSAMPLING < wanted_hz:
        repair = "export the recording at its full rate, or lower `rate_hz`: frequencies that were not recorded cannot be made"
        raise Rejected(Code.RATE, where, f"{rate_hz:g} Hz", expected, repair)
    if rate_hz == wanted_hz:
        return values.astype(np.float32)
    from scipy.signal import resample_poly

    ratio = (Fraction(wanted_hz) / Fraction(rate_hz)).limit_denominator(MOST_DOWN)
    first, last, samples = values[:, :1], values[:, -1:], values.shape[1]
    slope = (last - first) / max(1, samples - 1)  # (L, 1)
    level = (values - first - slope * np.arange(samples)).astype(np.float32)
    made = resample_poly(level, ratio.numerator, ratio.denominator, axis=1)  # (L, T')
    times = np.arange(made.shape[1]) * float(1 / ratio)
    return np.asarray(made + first + slope * times, np.float32)


def check_band(band_hz: tuple[float | None, float | None] | None, mains_hz: float | None, rate_hz: float) -> None:
    """Check a band and a mains frequency, for settings.

    Raises:
        ValueError: They cannot act at this sampling rate.
    """
    low, high = band_hz or (None, None)
    nyquist = rate_hz / 2
    for edge in (low, high):
        if edge is not None and not 0 < edge < nyquist:
            raise ValueError(f"an edge of band_hz at {edge:g} Hz does not lie between 0 and {nyquist:g} Hz, half the rate")
    if low is not None and high is not None and low >= high:
        raise ValueError("band_hz goes from a lower to a higher frequency")
    if mains_hz is not None and not 0 < mains_hz < nyquist:
        raise ValueError(f"mains_hz at {mains_hz:g} Hz does not lie between 0 and {nyquist:g} Hz, half the rate")


def filtered(values: Array, rate_hz: float, band_hz: tuple[float | None, float | None] | None, mains_hz: float | None) -> Array:
    """Keep a band of frequencies and take the mains out, forwards and backwards, so that no wave moves in time.

    The edges of the band are those where 3 dB are lost in all. The notches stand at the mains and its harmonics below half
    the rate, at most `MOST_HARMONICS`. At both ends the recording is continued by its mirror image about its straight line:
    turned about its last sample, as is usual, one that ends on top of a beat would go on at twice that height.

    Args:
        values: (L, T)
        rate_hz: Samples a second.
        band_hz: Lower and upper edge; None for no such edge.
        mains_hz: 50 or 60; None for no notch.

    Returns:
        (L, T) float32

    Raises:
        ValueError: They cannot act at this rate.

    Source:
        Gustafsson, Determining the initial states in forward-backward filtering, IEEE Trans. Signal Processing 1996. For the
        ECG: Kligfield et al., Recommendations for the standardization and interpretation of the electrocardiogram, part I,
        Circulation 2007 (low edge 0.05 Hz, or 0.67 Hz without a shift of phase; high edge 150 Hz).
    """
    check_band(band_hz, mains_hz, rate_hz)
    low, high = band_hz or (None, None)
    if low is None and high is None and mains_hz is None:
        return values.astype(np.float32)
    from scipy.signal import sosfiltfilt

    slowest = min(edge for edge in (low, high, None if mains_hz is None else NOTCH_HZ) if edge is not None)
    padding = min(values.shape[1] - 1, ceil(EDGE_CYCLES * rate_hz / slowest))
    times = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    level = values.mean(1, keepdims=True, dtype=np.float64)
    slope = (values @ times)[:, np.newaxis] / max(1.0, times @ times)  # of the line that fits best
    line = level + slope * times  # (L, T)
    made = sosfiltfilt(_sections(low, high, mains_hz, rate_hz), values - line, axis=1, padtype="even", padlen=padding)
    return np.asarray(made if low is not None else made + line, np.float32)


@lru_cache(8)
def _sections(low: float | None, high: float | None, mains_hz: float | None, rate_hz: float) -> Array:
    """Design the filter: second-order sections (N, 6)."""
    from scipy.signal import butter, iirnotch, tf2sos

    narrowing = (sqrt(2) - 1) ** (1 / (2 * ORDER))  # where one way loses 1.5 dB, both lose 3
    sections = []
    if low is not None:
        edge = np.arctan(tan(pi * low / rate_hz) * narrowing) / pi * rate_hz
        sections.append(butter(ORDER, edge, "highpass", fs=rate_hz, output="sos"))
    if high is not None:
        edge = np.arctan(tan(pi * high / rate_hz) / narrowing) / pi * rate_hz
        sections.append(butter(ORDER, edge, "lowpass", fs=rate_hz, output="sos"))
    if mains_hz is not None:
        harmonics = [mains_hz * n for n in range(1, MOST_HARMONICS + 1) if mains_hz * n < rate_hz / 2]
        sections += [tf2sos(*iirnotch(harmonic, harmonic / NOTCH_HZ, fs=rate_hz)) for harmonic in harmonics]
    return np.concatenate(sections)


def segments_of(values: Array, samples: int, most: int, where: str = "recording") -> Array:
    """Cut a recording into whole segments that do not overlap, each in the middle of its equal share of the recording.

    Args:
        values: (L, T)
        samples: Of a segment.
        most: Segments at most; of one, the middle of the recording.
        where: What was being read, for errors.

    Returns:
        (P, L, samples), P the smaller of `most` and T // samples.

    Raises:
        Rejected: The recording is shorter than one segment.
    """
    total = values.shape[1]
    if total < samples:
        repair = "record for longer, or lower `seconds`: a recording is never padded"
        raise Rejected(Code.SHORT, where, f"{total} samples", f"at least {samples}", repair)
    return np.stack([values[:, start : start + samples] for start in starts_of(total, samples, most)])


def starts_of(total: int, samples: int, most: int) -> list[int]:
    """Give the first sample of each segment of a recording that is at least as long as one.

    Args:
        total: T of the recording.
        samples: Of a segment.
        most: Segments at most.
    """
    parts = min(most, total // samples)
    return [((2 * part + 1) * total - parts * samples) // (2 * parts) for part in range(parts)]
