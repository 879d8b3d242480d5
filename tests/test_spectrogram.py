"""Spectrograms: tones by hand, filters and the whole by a second method, settings that cannot act refused."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from medmm.inputs.spectrogram import SpectrogramSettings, filters, log_mel, shape
from medmm.types import Array

CASES = [
    (4000.0, SpectrogramSettings()),
    (2000.0, SpectrogramSettings(mels=40, range_hz=(0.0, 800.0))),
    (16000.0, SpectrogramSettings(mels=80, window_seconds=0.032, hop_seconds=0.01, floor_db=-60)),
    (250.0, SpectrogramSettings(mels=12, window_seconds=0.512, hop_seconds=0.1, range_hz=(0.5, None))),
]


def sound(rate_hz: float, seconds: float = 3, leads: int = 2) -> Array:
    """Give noise that fades until it lies below the floor."""
    samples = round(rate_hz * seconds)
    noise = np.random.default_rng(0).normal(0, 0.2, (leads, samples))
    return np.asarray(noise * np.logspace(0, -6, samples), np.float32)


@pytest.mark.parametrize(("rate", "settings"), CASES)
def test_the_filters_are_those_of_transformers(rate: float, settings: SpectrogramSettings) -> None:
    window = round(settings.window_seconds * rate)
    low, high = settings.range_hz
    others = mel_filter_bank(window // 2 + 1, settings.mels, low, high or rate / 2, int(rate), mel_scale="htk")
    np.testing.assert_allclose(filters(settings, rate), others, atol=1e-6)


@pytest.mark.parametrize(("rate", "settings"), CASES)
def test_the_whole_is_that_of_transformers(rate: float, settings: SpectrogramSettings) -> None:
    window, hop = round(settings.window_seconds * rate), round(settings.hop_seconds * rate)
    hann = window_function(window, "hann")
    tone = (hann.sum() / 2) ** 2
    values = sound(rate)
    other = [
        spectrogram(
            one,
            hann,
            window,
            hop,
            power=2.0,
            center=False,
            mel_filters=filters(settings, rate),
            mel_floor=1e-30,
            log_mel="dB",
            reference=tone,
            min_value=tone * 10 ** (settings.floor_db / 10),
        )
        for one in values
    ]
    made = log_mel(values, rate, settings)
    assert made.min() == settings.floor_db
    assert made.max() > settings.floor_db + 20
    np.testing.assert_allclose(made, other, atol=0.01)


@pytest.mark.parametrize(("rate", "settings"), CASES)
def test_its_transform_is_that_of_torch(rate: float, settings: SpectrogramSettings) -> None:
    window, hop = round(settings.window_seconds * rate), round(settings.hop_seconds * rate)
    hann = torch.hann_window(window)
    values = sound(rate)
    spectrum = torch.stft(torch.from_numpy(values), window, hop, window=hann, center=False, return_complex=True)
    power = torch.from_numpy(filters(settings, rate).copy()).T @ spectrum.abs().square()
    other = 10 * torch.log10(torch.clamp(power / (hann.sum() / 2) ** 2, min=10 ** (settings.floor_db / 10)))
    np.testing.assert_allclose(log_mel(values, rate, settings), other.numpy(), atol=0.01)


def test_a_tone_of_amplitude_one_at_the_peak_of_a_band_has_zero_decibels_there_and_halving_it_takes_six() -> None:
    # 16 bands from 0 Hz: the third peaks at 3 / 17 of mel(2000 Hz), as the formula has it.
    settings = SpectrogramSettings(mels=16, window_seconds=1.0, hop_seconds=0.5, range_hz=(0.0, None))
    peak = 700 * (10 ** (2595 * np.log10(1 + 2000 / 700) * 3 / 17 / 2595) - 1)
    times = np.arange(8000) / 4000
    for amplitude, decibels in ((1.0, 0.0), (0.5, -6.02)):
        made = log_mel(amplitude * np.sin(2 * np.pi * round(peak) * times), 4000, settings)
        # A Hann window gives half the amplitude to the bins on either side: 1 + 2 / 4 in power, 1.76 dB.
        np.testing.assert_allclose(made[2], decibels + 1.76, atol=0.1)
        assert made.argmax(0).tolist() == [2, 2, 2]


def test_a_sound_shows_in_the_frames_that_hold_it() -> None:
    settings = SpectrogramSettings(mels=16, window_seconds=0.1, hop_seconds=0.1)
    values = np.zeros((1, 4000), np.float32)
    values[0, 1200:1600] = np.random.default_rng(0).normal(size=400)
    made = log_mel(values, 4000, settings)[0]
    assert made.shape == (16, 10)
    assert np.flatnonzero((made > settings.floor_db).any(0)).tolist() == [3]


@pytest.mark.parametrize(("rate", "settings"), CASES)
@pytest.mark.parametrize("extra", [0, 1, 17])
def test_the_shape_is_as_told_beforehand(rate: float, settings: SpectrogramSettings, extra: int) -> None:
    samples = round(rate * settings.window_seconds) + 9 * round(rate * settings.hop_seconds) + extra
    values = sound(rate, samples / rate)
    made = log_mel(values, rate, settings)
    assert made.shape == (2, *shape(settings, values.shape[1], rate))
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(log_mel(values[0], rate, settings), made[0])
    assert shape(settings, round(rate * settings.window_seconds), rate) == (settings.mels, 1)


def test_silence_is_the_floor() -> None:
    assert np.all(log_mel(np.zeros((1, 4000), np.float32), 4000, SpectrogramSettings()) == -80)


@pytest.mark.parametrize(
    ("settings", "rate", "says"),
    [
        (SpectrogramSettings(mels=128), 2000.0, "mel bands hold no frequency"),
        (SpectrogramSettings(range_hz=(20.0, 1500.0)), 2000.0, "half the sampling rate"),
        (SpectrogramSettings(range_hz=(2000.0, None)), 2000.0, "half the sampling rate"),
        (SpectrogramSettings(window_seconds=5), 4000.0, "longer than the signal"),
        (SpectrogramSettings(hop_seconds=1e-5), 4000.0, "show nothing"),
    ],
)
def test_settings_that_cannot_act_on_a_signal_are_refused(settings: SpectrogramSettings, rate: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        shape(settings, 8000, rate)
    with pytest.raises(ValueError, match=says):
        log_mel(np.zeros((1, 8000), np.float32), rate, settings)


@pytest.mark.parametrize("wrong", [{"range_hz": (50, 20)}, {"range_hz": (-1, None)}, {"floor_db": 0}, {"mels": 0}])
def test_settings_that_never_act_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SpectrogramSettings.model_validate(wrong)


def test_what_is_shared_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        filters(SpectrogramSettings(), 4000.0)[0] = 1
