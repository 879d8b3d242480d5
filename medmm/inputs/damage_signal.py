"""What goes wrong with signals: each damage acts on prepared signals, in which a lead has a spread of about 1.

What a filter of the preparation would take out, hum and a wandering baseline, stays in here: the recorder that has it is the
harder case. Chance is drawn before the severity is looked at: a higher one does more of the same to the same signal.

Letters: L leads; a trace is (L, T) of samples, a spectrogram (L, M, N) of mel bands and frames; P segments of a recording.

Source:
    Clifford, Azuaje & McSharry, Advanced methods and tools for ECG data analysis, 2006, chapter 3 (noise, hum, wander, loss of
    contact); Kligfield et al., Circulation 2007 (arm leads that are exchanged).
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from medmm.encoders.several import THERE
from medmm.inputs.base import Fields
from medmm.inputs.signal_scale import FARTHEST, Scale
from medmm.types import Array

WANDER_HZ = (0.15, 0.4)
"""Of breathing, which moves the electrodes: 9 to 24 breaths a minute."""

MAINS_HZ = 50.0
"""Of the hum, where a run does not name its mains."""

OPEN_NOISE = 0.05
"""Deviation of what the amplifier shows of an open input, in spreads; a lead that is wholly flat is refused when it is read."""

ARMS = (("II", "III"), ("aVR", "aVL"))
"""Leads that change places where the arm electrodes do; I turns over, aVF and the chest leads stay.

By Einthoven, I = LA - RA, II = LL - RA and III = LL - LA; by Goldberger, aVR = RA - (LA + LL) / 2 and aVL = LA - (RA + LL) / 2.
"""


def noise(signal: Array, deviation: float, rng: np.random.Generator) -> Array:
    """Add Gaussian noise; its standard deviation is in spreads of the lead."""
    return np.asarray(signal + deviation * rng.standard_normal(signal.shape, np.float32))


def hum(signal: Array, height: float, rng: np.random.Generator, *, rate_hz: float, mains_hz: float) -> Array:
    """Add the mains to a trace, in other phases to each lead; its height is in spreads."""
    phase = rng.random((signal.shape[0], 1))
    return np.asarray(signal + height * np.sin(2 * np.pi * (mains_hz / rate_hz * np.arange(signal.shape[1]) + phase)))


def wander(signal: Array, height: float, rng: np.random.Generator, *, rate_hz: float) -> Array:
    """Let the baseline of a trace go up and down with the breath; its height is in spreads, for each lead its own share."""
    hertz, leads = rng.uniform(*WANDER_HZ), signal.shape[0]
    phase, share = rng.random((leads, 1)), rng.uniform(-1, 1, (leads, 1))
    return np.asarray(signal + height * share * np.sin(2 * np.pi * (hertz / rate_hz * np.arange(signal.shape[1]) + phase)))


def gain(signal: Array, factor: float, rng: np.random.Generator, *, scale: Scale) -> Array:
    """Amplify by `factor` or by 1 / `factor`; a spectrogram, which is in decibels, goes up or down."""
    factor = factor if rng.random() < 0.5 else 1 / factor
    if signal.ndim == 3:
        return np.asarray(signal + 20 * np.log10(factor) / _column(scale.spread, signal))
    zero = _column(silence(scale), signal)
    return np.asarray(zero + factor * (signal - zero))


def clipped(signal: Array, share: float, rng: np.random.Generator, *, scale: Scale) -> Array:
    """Cut off what lies beyond the range of the recorder, a share of the largest value of each lead of a trace."""
    zero = _column(silence(scale), signal)
    most = (1 - share) * np.abs(signal - zero).max(1, keepdims=True)  # (L, 1)
    return np.clip(signal, zero - most, zero + most)


def lost_leads(signal: Array, share: float, rng: np.random.Generator, *, silent: Array) -> Array:
    """Disconnect a share of the leads, one at least; one always stays. Such a lead shows a still line with a little noise.

    Args:
        signal: (L, *size) with L > 1.
        share: Of the leads.
        rng: Chooses the leads.
        silent: (L,) as `silence` gives it.
    """
    leads = signal.shape[0]
    order, open_input = rng.permutation(leads), rng.standard_normal(signal.shape, np.float32)
    lost = order[: min(leads - 1, max(1, round(share * leads)))]
    kept = signal.copy()
    kept[lost] = (_column(silent, signal) + OPEN_NOISE * open_input)[lost]
    return kept


def lost_stretch(signal: Array, share: float, rng: np.random.Generator, *, silent: Array) -> Array:
    """Lose contact of all leads for a share of the time."""
    length = signal.shape[-1]
    place, open_input = rng.random(), rng.standard_normal(signal.shape, np.float32)
    width = min(length - 1, round(share * length))
    start = int(place * (length - width + 1))
    kept = signal.copy()
    kept[..., start : start + width] = (_column(silent, signal) + OPEN_NOISE * open_input)[..., start : start + width]
    return kept


def muffled(signal: Array, share: float, rng: np.random.Generator, *, silent: Array) -> Array:
    """Lose the upper share of the bands of a spectrogram, as under cloth or by a worn diaphragm."""
    bands = signal.shape[1]
    kept = signal.copy()
    kept[:, bands - min(bands - 1, round(share * bands)) :] = _column(silent, signal)
    return kept


def swapped_arms(signal: Array, chance: float, rng: np.random.Generator, *, leads: Sequence[str], scale: Scale) -> Array:
    """Exchange the arm electrodes of an ECG, in a share of the studies.

    Args:
        signal: (L, T)
        chance: Share of the studies in which it happened.
        rng: Chooses them.
        leads: (L,) with both or neither of each pair of `ARMS`.
        scale: Of each lead: those that change places are scaled otherwise.
    """
    if rng.random() >= chance:
        return signal
    spread, centre = _column(scale.spread, signal), _column(scale.centre, signal)
    other = dict([*ARMS, *((second, first) for first, second in ARMS)])
    millivolt = (signal * spread + centre)[[leads.index(other.get(name, name)) for name in leads]]
    if "I" in leads:
        millivolt[leads.index("I")] *= -1
    return np.asarray((millivolt - centre) / spread)


def has_arms(leads: Collection[str]) -> bool:
    """Tell whether an exchange of the arm electrodes shows in these leads, and all that changes places is there."""
    pairs = [sum(name in leads for name in pair) for pair in ARMS]
    return 1 not in pairs and ("I" in leads or 2 in pairs)


def silence(scale: Scale, level: float = 0.0) -> Array:
    """Give what each prepared lead shows where nothing is measured: (L,).

    Args:
        scale: Of the leads.
        level: The same before scaling: 0 of a trace, the floor of a spectrogram.
    """
    return np.asarray((level - np.array(scale.centre)) / np.array(scale.spread))


def each_signal(
    damage: Callable[[Array, float, np.random.Generator], Array],
    fields: Mapping[str, Array],
    severity: float,
    rng: np.random.Generator,
) -> Fields:
    """Damage the signal of a study; segments that are there are one recording, joined in time. Types stay as they are."""
    signal = fields["signal"].astype(np.float32)
    if THERE in fields:
        there = np.flatnonzero(fields[THERE])
        joined = damage(np.concatenate(list(signal[there]), -1), severity, rng)
        signal[there] = np.stack(np.split(joined, len(there), -1))
    else:
        signal = damage(signal, severity, rng)
    return {**fields, "signal": np.clip(signal, -FARTHEST, FARTHEST).astype(fields["signal"].dtype)}


def _column(of_leads: Array | Sequence[float], signal: Array) -> Array:
    """Give a number a lead (L,) the axes of a signal (L, *size)."""
    return np.asarray(of_leads, np.float32).reshape(-1, *[1] * (signal.ndim - 1))
