"""Draw a heart once, to be recorded as an ECG and as a sound.

Its severity follows the study's signal latent and nothing else: in the ECG it is hypertrophy of the left ventricle, in the
sound the murmur of a narrow aortic valve, which causes it.
"""

from dataclasses import dataclass

import numpy as np

from medmm.cohort.synthetic.settings import SyntheticSettings
from medmm.cohort.synthetic.truth import SITE_SHIFTS, Purpose, StudyTruth, stream
from medmm.types import Array

BREATHING_DEPTH = 0.03
"""Amplitude of the change of the beats' distance with breathing, as a share of it."""

BEFORE_S = 2.0
"""Beats begin so long before a recording, so that it can start anywhere in one."""


@dataclass(frozen=True)
class Heart:
    """One person's heart at the time of a study.

    Attributes:
        severity: Of the planted sign, from 0 to 1.7.
        beats_per_minute: On average.
        breaths_per_minute: Of the person.
        unevenness: Standard deviation of the beats' distance, as a share of it, apart from breathing.
        noise: Of this study's recordings, relative to the usual.
    """

    severity: float
    beats_per_minute: float
    breaths_per_minute: float
    unevenness: float
    noise: float

    @property
    def stretch(self) -> float:
        """How long systole lasts against that at 60 beats a minute: Bazett's square root, as McSharry et al. 2003 use it."""
        return float(np.sqrt(60 / self.beats_per_minute))

    def breathing(self, times_s: Array) -> Array:
        """Give the state of the lungs, from -1 to 1."""
        return np.asarray(np.sin(2 * np.pi * self.breaths_per_minute / 60 * times_s))


def draw_heart(study: StudyTruth, settings: SyntheticSettings) -> Heart:
    """Draw the heart of a study; the same for its ECG and its sound."""
    rng = stream(settings, Purpose.HEART, study.person.number, study.order)
    site = settings.site_effect * SITE_SHIFTS[study.person.site]
    return Heart(
        severity=float(np.clip(0.5 + 0.6 * study.signal, 0, 1.7)),
        beats_per_minute=float(np.clip(rng.normal(74, 12), 48, 120)),
        breaths_per_minute=float(rng.uniform(11, 20)),
        unevenness=float(rng.uniform(0.005, 0.025)),
        noise=float(rng.uniform(0.7, 1.4) * np.exp(0.4 * (site + settings.drift))),
    )


def draw_beats(rng: np.random.Generator, heart: Heart, seconds: float) -> Array:
    """Draw when the ventricles contract: their distance follows breathing and a little chance.

    Returns:
        (N,) seconds, from before 0 to the end; of these the R peaks of an ECG.
    """
    usual = 60 / heart.beats_per_minute
    times = [-BEFORE_S + float(rng.uniform(0, usual))]
    while times[-1] < seconds + usual:
        share = 1 + BREATHING_DEPTH * float(heart.breathing(np.array(times[-1]))) + float(rng.normal(0, heart.unevenness))
        times.append(times[-1] + usual * max(share, 0.5))
    return np.array(times)


def samples_between(count: int, rate_hz: float, start_s: float, end_s: float) -> slice:
    """Give those of `count` samples that lie from one time to another."""
    start, end = (min(max(int(np.ceil(time * rate_hz)), 0), count) for time in (start_s, end_s))
    return slice(start, end)
