"""Draw a 12-lead ECG: the waves of a heartbeat are bells over time, of another height in each lead.

McSharry et al. 2003 (IEEE Transactions on Biomedical Engineering 50:289-294) give one lead as a sum of Gaussian bells over
the cycle, with a cycle that breathing and chance change. Here each wave has a vector in the frontal plane, whose projections
are the limb leads, and a height in each chest lead. The heights are chosen to look like a healthy adult's, not measured.

The planted sign is hypertrophy of the left ventricle: high R over it and deep S opposite (Sokolow and Lyon 1949, American Heart
Journal 37:161-186), an axis to the left, and strain: ST and T fall in I, aVL, V5 and V6. Build and position of a person change
all voltages too, so no voltage alone tells the severity.
"""

from dataclasses import dataclass

import numpy as np

from medmm.cohort.synthetic.heart import Heart, draw_beats, draw_heart, samples_between
from medmm.cohort.synthetic.settings import SyntheticSettings
from medmm.cohort.synthetic.truth import Purpose, StudyTruth, stream
from medmm.types import Array

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
CHEST_LEADS = LEADS[6:]


@dataclass(frozen=True)
class Wave:
    """One wave of a heartbeat at 60 beats a minute.

    Attributes:
        peak_s: After the R peak.
        width_s: Standard deviation of the bell.
        frontal_mv: (2,) vector in the frontal plane, to the patient's left and to the feet.
        chest_mv: (6,) height in V1 to V6.
        frontal_sign_mv: (2,) added to the vector for a severity of 1.
        chest_sign_mv: (6,) added to the heights for a severity of 1.
        stretches: Whether it comes earlier in a faster heart.
    """

    peak_s: float
    width_s: float
    frontal_mv: tuple[float, float]
    chest_mv: tuple[float, ...]
    frontal_sign_mv: tuple[float, float] = (0.0, 0.0)
    chest_sign_mv: tuple[float, ...] = (0.0,) * 6
    stretches: bool = False


WAVES = (
    Wave(-0.16, 0.022, (0.06, 0.09), (0.05, 0.07, 0.07, 0.06, 0.06, 0.05), stretches=True),
    Wave(-0.032, 0.009, (-0.08, -0.05), (0.0, 0.0, 0.0, -0.03, -0.08, -0.10)),
    Wave(
        0.0,
        0.013,
        (0.70, 0.85),
        (0.20, 0.45, 0.80, 1.30, 1.30, 1.00),
        (0.40, -0.15),
        (0.00, 0.00, 0.05, 0.20, 0.40, 0.35),
    ),
    Wave(
        0.034,
        0.012,
        (-0.15, -0.12),
        (-0.85, -1.20, -0.90, -0.50, -0.25, -0.10),
        (0.0, 0.0),
        (-0.35, -0.40, -0.15, 0.00, 0.00, 0.00),
    ),
    Wave(0.13, 0.04, (0.0, 0.0), (0.0,) * 6, (-0.06, 0.02), (0.05, 0.05, 0.02, -0.03, -0.08, -0.07), stretches=True),
    Wave(
        0.29,
        0.05,
        (0.18, 0.18),
        (-0.05, 0.35, 0.40, 0.40, 0.30, 0.25),
        (-0.16, 0.05),
        (0.08, 0.08, 0.04, -0.10, -0.26, -0.23),
        stretches=True,
    ),
)
"""P, Q, R, S, ST and T."""

T_WAVES = (4, 5)
"""Places of ST and T."""

AXIS_DEGREES = 15.0
BUILD, REPOLARISATION = 0.16, 0.3
"""Standard deviations of the logarithms of all voltages and, beyond that, of those of ST and T."""

POSITION_LEADS = 0.4
"""Standard deviation of the chest leads' displacement, in distances of two."""

WIDTHS = 6.0
"""How far a bell is drawn, in standard deviations: there it has fallen to 1.5e-8 of its height."""

BEAT_VARIATION, BREATHING_VARIATION = 0.02, 0.05
WANDER_MV, SLOW_WANDER_MV, SLOW_WANDER_HZ = 0.06, 0.05, 0.05
NOISE_MV, MAINS_MV, MAINS_HZ = 0.015, 0.006, 50.0


def render_ecg(study: StudyTruth, settings: SyntheticSettings) -> Array:
    """Render the ECG of a study.

    Returns:
        (12, T) millivolts, in the order of LEADS.
    """
    rng = stream(settings, Purpose.ECG, study.person.number, study.order)
    return draw_ecg(rng, draw_heart(study, settings), settings.ecg_rate_hz, settings.ecg_seconds)


def draw_ecg(rng: np.random.Generator, heart: Heart, rate_hz: float, seconds: float) -> Array:
    """Draw an ECG.

    The leads between limbs follow from I and II by Einthoven's law and Goldberger's leads, noise included, as in a recorder.

    Args:
        rng: Fixes what is drawn.
        heart: Whose ECG it is.
        rate_hz: Samples a second.
        seconds: Duration.

    Returns:
        (12, T) millivolts, in the order of LEADS.
    """
    heights = _draw_heights(rng, heart)  # (8, W)
    beats = draw_beats(rng, heart, seconds)
    sizes = (1 + BREATHING_VARIATION * heart.breathing(beats)) * rng.normal(1, BEAT_VARIATION, size=len(beats))
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    bells = np.stack([_bells(wave, times, rate_hz, beats, sizes, heart.stretch) for wave in WAVES])  # (W, T)
    return _twelve(heights @ bells + _draw_disturbance(rng, heart, times))


def _draw_heights(rng: np.random.Generator, heart: Heart) -> Array:
    """Draw the height of each wave in I, II and V1 to V6: (8, W)."""
    frontal = np.array([np.add(wave.frontal_mv, heart.severity * np.array(wave.frontal_sign_mv)) for wave in WAVES])  # (W, 2)
    chest = np.array([np.add(wave.chest_mv, heart.severity * np.array(wave.chest_sign_mv)) for wave in WAVES])  # (W, 6)
    turn, shift = np.radians(rng.normal(0, AXIS_DEGREES)), rng.normal(0, POSITION_LEADS)
    turned = frontal @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    places = np.arange(len(CHEST_LEADS))
    moved = np.array([np.interp(places + shift, places, heights) for heights in chest])
    limbs = turned @ np.array([[1, np.cos(np.pi / 3)], [0, np.sin(np.pi / 3)]])  # (W, 2): lead II lies at 60 degrees
    heights = np.hstack([limbs, moved]).T * np.exp(rng.normal(0, BUILD))
    heights[:, T_WAVES] *= np.exp(rng.normal(0, REPOLARISATION))
    return np.asarray(heights)


def _bells(wave: Wave, times: Array, rate_hz: float, beats: Array, sizes: Array, stretch: float) -> Array:
    """Give one wave of all beats, with a height of about 1: (T,)."""
    faster = stretch if wave.stretches else 1.0
    width_s = faster * wave.width_s
    values = np.zeros(len(times))
    for peak_s, size in zip(beats + faster * wave.peak_s, sizes, strict=True):
        part = samples_between(len(times), rate_hz, peak_s - WIDTHS * width_s, peak_s + WIDTHS * width_s)
        values[part] += size * np.exp(-(((times[part] - peak_s) / width_s) ** 2) / 2)
    return values


def _draw_disturbance(rng: np.random.Generator, heart: Heart, times: Array) -> Array:
    """Draw what the electrodes add in I, II and V1 to V6: breathing, slow drift, mains and muscle: (8, T)."""
    shape = (8, 1)
    wander = rng.normal(0, WANDER_MV, size=shape) * heart.breathing(times)
    slow = rng.normal(0, SLOW_WANDER_MV, size=shape) * np.sin(2 * np.pi * (SLOW_WANDER_HZ * times + rng.uniform(size=shape)))
    mains = rng.normal(0, MAINS_MV, size=shape) * np.sin(2 * np.pi * MAINS_HZ * times)
    return np.asarray(wander + slow + heart.noise * (mains + rng.normal(0, NOISE_MV, size=(8, len(times)))))


def _twelve(measured: Array) -> Array:
    """Give all leads of I, II and V1 to V6 (8, T)."""
    one, two = measured[:2]
    return np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2, *measured[2:]])
