"""Random changes of prepared signals in training, chance apart from effect.

A prepared signal is scaled: a lead has its centre at 0 and a spread of 1. Each effect draws from a stream of its own, so that
turning one off leaves what the others do as it was.

Letters: L leads; a trace is (L, T) of samples, a spectrogram (L, M, N) of mel bands and frames.

Source:
    Park et al., SpecAugment, Interspeech 2019 (masks of time and frequency); Iwana & Uchida, An empirical survey of data
    augmentation for time series classification with neural networks, PLOS ONE 2021.
"""

from collections.abc import Callable, Mapping
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from medmm.settings import Settings
from medmm.types import Array

WANDER_CYCLES = (0.5, 4.0)
"""Waves of a wandering baseline over the signal; breathing makes 2 or 3 of them in 10 s."""


class Effect(Settings):
    """How often a change is made, and how large it is."""

    chance: float = Field(0.5, ge=0, le=1)
    """Share of the times that it is made."""

    size: float = Field(ge=0)
    """Its largest size; what that counts stands with the effect."""


class SignalAugmentationSettings(Settings):
    """Random changes of a training signal; a chance or a size of zero turns one off; what is left out is as below."""

    noise: Effect = Effect(size=0.05)
    """Added noise; standard deviation in spreads of the lead."""

    gain: Effect = Effect(size=0.1)
    """All leads of a trace larger or smaller, by a share; all bands of a spectrogram louder or softer, in spreads."""

    shift: Effect = Effect(size=0.05)
    """Earlier or later by a share of the length. The first or last value is held where nothing comes in: turning the end round
    to the beginning would join two beats to one that was never there."""

    wander: Effect = Effect(chance=0.3, size=0.2)
    """Slow waves added to the baseline of a trace, other ones to each lead; height in spreads. A spectrogram has none."""

    lead_dropout: Effect = Effect(chance=0.2, size=0.25)
    """Leads set to 0, as a share of them; one always stays."""

    time_mask: Effect = Effect(chance=0.3, size=0.1)
    """A stretch of all leads set to 0, as a share of the length."""

    frequency_mask: Effect = Effect(chance=0.3, size=0.1)
    """Neighbouring bands of a spectrogram set to 0, as a share of them. A trace has no bands."""

    @model_validator(mode="before")
    @classmethod
    def _rest_of_an_effect_is_usual(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        usual = {name: field.default for name, field in cls.model_fields.items()}
        return {
            name: {**usual[name].model_dump(), **given} if isinstance(given, Mapping) and name in usual else given
            for name, given in data.items()
        }

    @model_validator(mode="after")
    def _shares_are_below_one(self) -> Self:
        for name in LARGEST:
            if getattr(self, name).size >= 1:
                raise ValueError(f"{name}.size is a share, below 1")
        return self

    @property
    def acts(self) -> bool:
        """Whether anything ever changes."""
        return any(getattr(self, name).chance and getattr(self, name).size for name in EFFECTS)

    def stronger(self) -> Self:
        """Give changes thrice as large, none rarer or smaller than usual."""
        usual = SignalAugmentationSettings()

        def more(name: str) -> Effect:
            own, other = getattr(self, name), getattr(usual, name)
            size = 3 * max(own.size, other.size)
            return Effect(chance=max(own.chance, other.chance), size=min(size, LARGEST.get(name, size)))

        return type(self)(**{name: more(name) for name in EFFECTS})


LARGEST = {"gain": 0.5, "shift": 0.3, "lead_dropout": 0.5, "time_mask": 0.3, "frequency_mask": 0.3}
"""Effects whose size is a share, and the largest share of a strong augmentation."""


def augmented(signal: Array, settings: SignalAugmentationSettings, rng: np.random.Generator) -> Array:
    """Vary a prepared signal.

    Args:
        signal: (L, T) or (L, M, N); stays as it is.
        settings: What may happen.
        rng: One number is drawn from it, whatever the settings.

    Returns:
        The same shape and type; the same bits where nothing happens.
    """
    seed = int(rng.integers(2**63))
    made = signal
    for place, (name, effect) in enumerate(EFFECTS.items()):
        wanted: Effect = getattr(settings, name)
        own = np.random.default_rng((seed, place))
        if own.random() < wanted.chance and wanted.size:
            made = effect(made.astype(np.float32, copy=False), wanted.size, own)
    return np.asarray(made, signal.dtype)


def _noise(signal: Array, size: float, rng: np.random.Generator) -> Array:
    deviation = np.float32(size * rng.random())
    return np.asarray(signal + deviation * rng.standard_normal(signal.shape, np.float32))


def _gain(signal: Array, size: float, rng: np.random.Generator) -> Array:
    change = np.float32(size * rng.uniform(-1, 1))
    return np.asarray(signal + change if _has_bands(signal) else signal * (1 + change))


def _shift(signal: Array, size: float, rng: np.random.Generator) -> Array:
    length = signal.shape[-1]
    later = round(size * length * rng.uniform(-1, 1))
    return np.asarray(signal[..., np.clip(np.arange(length) - later, 0, length - 1)])


def _wander(signal: Array, size: float, rng: np.random.Generator) -> Array:
    if _has_bands(signal):
        return signal
    leads, length = signal.shape
    cycles, phase, height = (rng.uniform(low, high, (leads, 1)) for low, high in (WANDER_CYCLES, (0.0, 1.0), (0.0, size)))
    waves = height * np.sin(2 * np.pi * (cycles * np.arange(length) / length + phase))  # (L, T)
    return np.asarray(signal + waves, np.float32)


def _lead_dropout(signal: Array, size: float, rng: np.random.Generator) -> Array:
    leads = signal.shape[0]
    most = min(leads - 1, max(1, round(size * leads)))
    lost = rng.permutation(leads)[: min(most, 1 + int(rng.random() * most))]
    kept = signal.copy()
    kept[lost] = 0
    return kept


def _time_mask(signal: Array, size: float, rng: np.random.Generator) -> Array:
    kept = signal.copy()
    kept[..., _stretch(signal.shape[-1], size, rng)] = 0
    return kept


def _frequency_mask(signal: Array, size: float, rng: np.random.Generator) -> Array:
    if not _has_bands(signal):
        return signal
    kept = signal.copy()
    kept[:, _stretch(signal.shape[1], size, rng)] = 0
    return kept


def _stretch(length: int, size: float, rng: np.random.Generator) -> slice:
    """Draw a stretch of at least one place and at most a share of them; some always stay."""
    width = min(length - 1, max(1, round(size * length * rng.random())))
    start = int(rng.random() * (length - width + 1))
    return slice(start, start + width)


def _has_bands(signal: Array) -> bool:
    return signal.ndim == 3


EFFECTS: Mapping[str, Callable[[Array, float, np.random.Generator], Array]] = {
    "gain": _gain,
    "wander": _wander,
    "noise": _noise,
    "shift": _shift,
    "lead_dropout": _lead_dropout,
    "time_mask": _time_mask,
    "frequency_mask": _frequency_mask,
}
"""Setting -> what it does, in the order in which it is done. Its place seeds its stream: add new ones at the end."""
