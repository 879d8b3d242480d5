"""Log-mel spectrograms of sounds: how strong each band of pitch is in each short stretch of time.

Letters: T samples, W samples of a window, F frequencies of its Fourier transform, M mel bands, N frames.

Source:
    O'Shaughnessy, Speech communication: human and machine, 1987, p. 150: mel(f) = 2595 log10(1 + f / 700 Hz). Nearly linear
    below 700 Hz, where hearts sound, and logarithmic above, where lungs wheeze.
"""

from functools import lru_cache
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from medmm.settings import Settings
from medmm.types import Array


class SpectrogramSettings(Settings):
    """How a sound becomes a spectrogram."""

    mels: int = Field(64, ge=1, le=512)
    """Bands."""

    window_seconds: float = Field(0.064, gt=0)
    """Length of the stretch that one frame shows; the longer, the finer its frequencies."""

    hop_seconds: float = Field(0.016, gt=0)
    """Time from frame to frame."""

    range_hz: tuple[float, float | None] = (20.0, None)
    """Lowest and highest frequency of the bands; half the sampling rate where the second is left out."""

    floor_db: float = Field(-80.0, ge=-200, lt=0)
    """What is weaker becomes this; 0 dB is a steady tone of amplitude 1 in the unit of the signal, of sound the loudest one."""

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        low, high = self.range_hz
        if low < 0 or (high is not None and high <= low):
            raise ValueError("range_hz goes from a lower to a higher frequency, neither below 0")
        return self


def shape(settings: SpectrogramSettings, samples: int, rate_hz: float) -> tuple[int, int]:
    """Give (M, N) of a signal; all its frames lie inside it.

    Raises:
        ValueError: The settings cannot act on such a signal, or leave a band empty.
    """
    window, hop = _steps(settings, rate_hz)
    if samples < window:
        raise ValueError(f"a window of {settings.window_seconds:g} s is longer than the signal of {samples / rate_hz:g} s")
    filters(settings, rate_hz)
    return settings.mels, (samples - window) // hop + 1


def log_mel(values: Array, rate_hz: float, settings: SpectrogramSettings) -> Array:
    """Give the power of each mel band in each frame, in decibels of a tone of amplitude 1, not below the floor.

    Frames are weighed by a periodic Hann window; none reaches beyond the signal. The transform is that of `torch.stft` with
    `center=False`; for so short windows scipy is faster, and it starts no threads.

    Args:
        values: (..., T)
        rate_hz: Samples a second.
        settings: How.

    Returns:
        (..., M, N) float32

    Raises:
        ValueError: The settings cannot act on such a signal, or leave a band empty.
    """
    from scipy.fft import rfft

    shape(settings, values.shape[-1], rate_hz)
    window, hop = _steps(settings, rate_hz)
    hann = _hann(window)
    frames = np.lib.stride_tricks.sliding_window_view(values.astype(np.float32), window, -1)[..., ::hop, :]  # (..., N, W)
    spectrum = rfft(frames * hann, axis=-1)  # (..., N, F)
    power = spectrum.real**2 + spectrum.imag**2
    bands = np.swapaxes(power @ filters(settings, rate_hz), -1, -2)  # (..., M, N)
    tone = (float(hann.sum()) / 2) ** 2  # power of a tone of amplitude 1 at its own frequency
    decibels = 10 * np.log10(np.maximum(bands / tone, np.finfo(np.float32).tiny))
    return np.asarray(np.maximum(decibels, settings.floor_db), np.float32)


@lru_cache(8)
def filters(settings: SpectrogramSettings, rate_hz: float) -> Array:
    """Give the mel bands (F, M) float32: triangles between neighbours that are equally far apart in mels, 1 at their peak.

    Raises:
        ValueError: The range exceeds half the rate, or a band holds no frequency.
    """
    window, _ = _steps(settings, rate_hz)
    low, high = settings.range_hz[0], settings.range_hz[1] or rate_hz / 2
    if high > rate_hz / 2 or low >= high:
        raise ValueError(f"range_hz from {low:g} to {high:g} Hz does not lie below {rate_hz / 2:g} Hz, half the sampling rate")
    corners = _hertz(np.linspace(_mels(low), _mels(high), settings.mels + 2))  # (M + 2,)
    heard = np.fft.rfftfreq(window, 1 / rate_hz)[:, np.newaxis]  # (F, 1)
    rising = (heard - corners[:-2]) / (corners[1:-1] - corners[:-2])  # (F, M)
    falling = (corners[2:] - heard) / (corners[2:] - corners[1:-1])
    bands = np.maximum(0, np.minimum(rising, falling))
    empty = int((bands.max(0) == 0).sum())
    if empty:
        raise ValueError(
            f"{empty} of {settings.mels} mel bands hold no frequency, for a window of {settings.window_seconds:g} s tells "
            f"{rate_hz / window:.3g} Hz apart: take fewer mels or a longer window"
        )
    made = np.asarray(bands, np.float32)
    made.flags.writeable = False  # it is shared
    return made


@lru_cache(8)
def _hann(window: int) -> Array:
    """Give the periodic Hann window (W,), which overlapping copies make constant."""
    made = np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window), np.float32)
    made.flags.writeable = False
    return made


def _steps(settings: SpectrogramSettings, rate_hz: float) -> tuple[int, int]:
    """Give the samples of a window and of a hop."""
    window, hop = round(settings.window_seconds * rate_hz), round(settings.hop_seconds * rate_hz)
    if window < 2 or hop < 1:
        raise ValueError(f"a window of {window} and a hop of {hop} samples at {rate_hz:g} Hz show nothing: lengthen them")
    return window, hop


def _mels(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mels: Array) -> Array:
    return np.asarray(700 * (10 ** (mels / 2595) - 1))
