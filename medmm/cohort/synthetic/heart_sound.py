"""Draw a heart sound: two short sounds a beat, and between them the murmur that is the planted sign.

The first and the second sound are damped sines: Chen, Durand and Lee 1997 (Medical and Biological Engineering and Computing
35:306-310) give the valves' part of the first as two, at 50 and 150 Hz. The second has an aortic part and, after it, a
pulmonary one, later while breathing in. The murmur is that of a narrow aortic valve: noise of 100 to 400 Hz that swells and
fades within systole (Bickley, Bates' Guide to Physical Examination and History Taking, chapter on the cardiovascular system);
its loudness in decibels follows the severity. Almasi et al. 2011 (EMBC, pages 5686-5689) describe a whole phonocardiogram beat
by beat.

Breathing sounds lie in the same band and the volume of a recording is arbitrary, so loudness alone does not tell the severity.
"""

import wave
from pathlib import Path

import numpy as np

from medmm.cohort.synthetic.heart import Heart, draw_beats, draw_heart, samples_between
from medmm.cohort.synthetic.settings import SyntheticSettings
from medmm.cohort.synthetic.truth import Purpose, StudyTruth, stream
from medmm.types import Array

FIRST = ((0.02, 50.0, 1.0, 0.025), (0.025, 150.0, 0.35, 0.015))
"""Parts of the first sound: seconds after the R peak, hertz, amplitude, seconds to 1/e."""

SECOND = ((0.32, 65.0, 0.7, 0.020), (0.32, 120.0, 0.25, 0.012), (0.345, 55.0, 0.25, 0.018))
"""Parts of the second at 60 beats a minute; the last is the pulmonary valve's."""

SPLIT_S = 0.012
"""How much later the pulmonary valve closes in deep inspiration."""

MURMUR_S = (0.07, 0.30)
"""Start and end of the murmur after the R peak at 60 beats a minute."""

MURMUR_HZ, BREATH_HZ = (100.0, 400.0), (80.0, 350.0)
MURMUR_QUIETEST, MURMUR_DECIBELS = 0.012, 15.0
"""Its amplitude at a severity of 0, where it is below the noise, and what a severity of 1 adds."""

MURMUR_VARIATION, SOUND_VARIATION, BEAT_VARIATION = 0.25, 0.2, 0.08
"""Standard deviations of logarithms: of the murmur and of each sound between studies, of both between beats."""

INAUDIBLE_DECAYS = 12
"""After so many decay times a damped sine is 100 dB down."""

AMBIENT, BREATH = 0.008, (0.01, 0.06)
LOUDEST = (0.3, 0.9)
FULL_SCALE = 32767


def render_heart_sound(study: StudyTruth, settings: SyntheticSettings) -> Array:
    """Render the heart sound of a study: (T,) in shares of full scale, -0.9 to 0.9."""
    rng = stream(settings, Purpose.HEART_SOUND, study.person.number, study.order)
    return draw_heart_sound(rng, draw_heart(study, settings), settings.sound_rate_hz, settings.sound_seconds)


def draw_heart_sound(rng: np.random.Generator, heart: Heart, rate_hz: float, seconds: float) -> Array:
    """Draw a heart sound.

    Args:
        rng: Fixes what is drawn.
        heart: Whose it is.
        rate_hz: Samples a second; what lies above half of it is left out.
        seconds: Duration.

    Returns:
        (T,) in shares of full scale, -0.9 to 0.9.
    """
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    beats = draw_beats(rng, heart, seconds)
    first, second, murmur = np.exp(rng.normal(0, (SOUND_VARIATION, SOUND_VARIATION, MURMUR_VARIATION)))
    loudness = MURMUR_QUIETEST * 10 ** (MURMUR_DECIBELS * heart.severity / 20) * murmur
    sound, envelope = np.zeros(len(times)), np.zeros(len(times))
    for beat in beats:
        size = np.exp(rng.normal(0, BEAT_VARIATION))
        split = SPLIT_S * max(0.0, float(heart.breathing(np.array(beat))))
        for start, *shape in FIRST:
            _add_damped(sound, rate_hz, beat + start, first * size, *shape)
        for place, (start, *shape) in enumerate(SECOND):
            late = split if place == len(SECOND) - 1 else 0.0
            _add_damped(sound, rate_hz, beat + heart.stretch * start + late, second * size, *shape)
        begin, end = (beat + heart.stretch * edge for edge in MURMUR_S)
        _add_diamond(envelope, rate_hz, begin, end, size)
    sound += loudness * envelope * _band(rng, times, MURMUR_HZ)
    breath = heart.noise * rng.uniform(*BREATH) * np.clip(heart.breathing(times + rng.uniform(0, 5)), 0, None)
    sound += breath * _band(rng, times, BREATH_HZ)
    sound += rng.normal(0, AMBIENT * heart.noise, size=len(times))
    return np.asarray(sound * rng.uniform(*LOUDEST) / np.abs(sound).max())


def write_sound(path: Path, channels: Array, rate_hz: int) -> None:
    """Write a WAV file of 16 bits; the caller names its place with `medmm.files`.

    Args:
        path: The file.
        channels: (L, T) in shares of full scale, -1 to 1.
        rate_hz: Samples a second.
    """
    stored = np.rint(np.clip(channels, -1, 1) * FULL_SCALE).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(stored))
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(stored.T.tobytes())


def _add_damped(
    sound: Array, rate_hz: float, start_s: float, size: float, hertz: float, amplitude: float, decay_s: float
) -> None:
    """Add a damped sine that begins at 0."""
    part = samples_between(len(sound), rate_hz, start_s, start_s + INAUDIBLE_DECAYS * decay_s)
    since = np.arange(part.start, part.stop) / rate_hz - start_s
    sound[part] += size * amplitude * np.exp(-since / decay_s) * np.sin(2 * np.pi * hertz * since)


def _add_diamond(envelope: Array, rate_hz: float, start_s: float, end_s: float, size: float) -> None:
    """Add what rises from 0 and falls to it."""
    part = samples_between(len(envelope), rate_hz, start_s, end_s)
    times = np.arange(part.start, part.stop) / rate_hz
    envelope[part] += size * (1 - np.abs(times - (start_s + end_s) / 2) / ((end_s - start_s) / 2))


def _band(rng: np.random.Generator, times: Array, limits_hz: tuple[float, float]) -> Array:
    """Draw noise of a band with a standard deviation of 1, by its spectrum: (T,)."""
    spectrum = np.fft.rfft(rng.normal(size=len(times)))
    hertz = np.fft.rfftfreq(len(times), times[1] - times[0])
    inside = (hertz >= limits_hz[0]) & (hertz <= limits_hz[1])
    noise = np.fft.irfft(spectrum * inside, len(times))
    return np.asarray(noise / (noise.std() or 1.0))
