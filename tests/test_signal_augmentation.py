"""Augmentation of signals: each effect by what it may do, chance apart from effect, off by the same bits."""

import numpy as np
import pytest
from pydantic import ValidationError

from medmm.inputs.signal_augmentation import EFFECTS, Effect, SignalAugmentationSettings, augmented
from medmm.types import Array

SIZES = {"noise": 0.1, "gain": 0.2, "shift": 0.1, "wander": 0.3, "lead_dropout": 0.5, "time_mask": 0.2, "frequency_mask": 0.2}
SEEDS = range(40)


def only(*names: str, chance: float = 1.0) -> SignalAugmentationSettings:
    """Give settings in which these effects always happen and no other does."""
    effects = {name: Effect(chance=chance if name in names else 0, size=SIZES[name]) for name in EFFECTS}
    return SignalAugmentationSettings(**effects)


def trace(leads: int = 4, samples: int = 500) -> Array:
    return np.random.default_rng(9).normal(size=(leads, samples)).astype(np.float32) + 3  # never 0


def spectrogram() -> Array:
    return np.random.default_rng(9).normal(size=(2, 20, 50)).astype(np.float32) + 9


def varied(signal: Array, settings: SignalAugmentationSettings, seed: int = 0) -> Array:
    return augmented(signal, settings, np.random.default_rng(seed))


@pytest.mark.parametrize("signal", [trace(), spectrogram()], ids=["trace", "spectrogram"])
@pytest.mark.parametrize("type_", [np.float16, np.float32])
def test_shape_and_type_stay_the_source_is_left_alone_and_the_seed_decides(signal: Array, type_: type) -> None:
    signal = signal.astype(type_)
    before = signal.copy()
    made = [varied(signal, only(*EFFECTS), seed) for seed in SEEDS]
    assert {(one.shape, one.dtype) for one in made} == {(signal.shape, signal.dtype)}
    assert all(np.isfinite(one).all() for one in made)
    np.testing.assert_array_equal(signal, before)
    np.testing.assert_array_equal(made[3], varied(signal, only(*EFFECTS), 3))
    assert len({one.tobytes() for one in made}) == len(made)


@pytest.mark.parametrize("type_", [np.float16, np.float32])
@pytest.mark.parametrize("off", [{"chance": 0}, {"size": 0}])
def test_off_means_the_same_bits(type_: type, off: dict[str, float]) -> None:
    settings = SignalAugmentationSettings.model_validate(dict.fromkeys(EFFECTS, off))
    for signal in (trace().astype(type_), spectrogram().astype(type_)):
        assert all(varied(signal, settings, seed).tobytes() == signal.tobytes() for seed in SEEDS)


@pytest.mark.parametrize("signal", [trace(), spectrogram()], ids=["trace", "spectrogram"])
@pytest.mark.parametrize("off", EFFECTS)
def test_turning_one_effect_off_leaves_the_others_as_they_were(signal: Array, off: str) -> None:
    """All that is on does to a signal what each of them alone does, one after the other."""
    others = [name for name in EFFECTS if name != off]
    for seed in range(8):
        after = signal
        for name in others:
            after = varied(after, only(name, chance=0.5), seed)
        np.testing.assert_array_equal(varied(signal, only(*others, chance=0.5), seed), after)


def test_what_is_drawn_from_the_generator_is_the_same_whatever_the_settings() -> None:
    after = []
    for settings in (only(), only("noise"), only(*EFFECTS), SignalAugmentationSettings()):
        rng = np.random.default_rng(0)
        augmented(trace(), settings, rng)
        after.append(int(rng.integers(2**60)))
    assert len(set(after)) == 1


def test_the_size_changes_nothing_of_the_chance() -> None:
    def happens(size: float) -> list[bool]:
        settings = SignalAugmentationSettings.model_validate(
            {**{key: {"chance": 0} for key in EFFECTS}, "noise": {"chance": 0.3, "size": size}}
        )
        return [not np.array_equal(varied(trace(), settings, seed), trace()) for seed in range(300)]

    assert happens(0.01) == happens(2.0)
    assert 0.2 < np.mean(happens(0.01)) < 0.4


def test_noise_is_at_most_as_strong_as_told() -> None:
    off = [(varied(trace(), only("noise"), seed) - trace()).std() for seed in SEEDS]
    assert 0.08 < max(off) < 0.105


def test_gain_is_one_factor_of_a_trace_and_one_offset_of_a_spectrogram() -> None:
    factors = [varied(trace(), only("gain"), seed) / trace() for seed in SEEDS]
    assert all(np.ptp(one) < 1e-5 for one in factors)
    assert 0.8 <= min(one.min() for one in factors) < 0.85
    assert 1.15 < max(one.max() for one in factors) <= 1.2
    offsets = [varied(spectrogram(), only("gain"), seed) - spectrogram() for seed in SEEDS]
    assert all(np.ptp(one) < 1e-5 for one in offsets)
    assert 0.15 < max(one.max() for one in offsets) < 0.2001


@pytest.mark.parametrize("signal", [trace(), spectrogram()], ids=["trace", "spectrogram"])
def test_a_shift_holds_the_value_at_the_end_and_moves_all_leads_alike(signal: Array) -> None:
    length = signal.shape[-1]
    found = set()
    for seed in SEEDS:
        made = varied(signal, only("shift"), seed)
        (later,) = [k for k in range(-length // 10, length // 10 + 1) if np.array_equal(made, _moved(signal, k))]
        found.add(later)
    assert min(found) < -0.06 * length
    assert max(found) > 0.06 * length


def _moved(signal: Array, later: int) -> Array:
    """Do it a second way: cut, and repeat the value at the end."""
    if later >= 0:
        return np.concatenate([np.repeat(signal[..., :1], later, -1), signal[..., : signal.shape[-1] - later]], -1)
    return np.concatenate([signal[..., -later:], np.repeat(signal[..., -1:], -later, -1)], -1)


def test_wander_is_slow_another_in_each_lead_and_spares_spectrograms() -> None:
    for seed in SEEDS:
        waves = (varied(trace(), only("wander"), seed) - trace()).astype(np.float64)
        assert 0 < np.abs(waves).max() < 0.3001
        assert len({round(float(np.abs(one).max()), 6) for one in waves}) == 4
        power = np.abs(np.fft.rfft(waves * np.hanning(500))) ** 2
        assert power[:, :8].sum() > 0.999 * power.sum()  # at most 4 waves in the length
        np.testing.assert_array_equal(varied(spectrogram(), only("wander"), seed), spectrogram())


def test_lead_dropout_loses_a_share_of_the_leads_and_never_all() -> None:
    for leads, most in ((1, 0), (2, 1), (3, 2), (4, 2), (12, 6)):
        lost = [int((varied(trace(leads), only("lead_dropout"), seed) == 0).all(1).sum()) for seed in SEEDS]
        assert (min(lost), max(lost)) == (min(1, most), most)
        kept = varied(trace(leads), only("lead_dropout"), 1)
        rows = (kept != 0).any(1)
        np.testing.assert_array_equal(kept[rows], trace(leads)[rows])
    which = {tuple(np.flatnonzero((varied(trace(), only("lead_dropout"), seed) == 0).all(1))) for seed in SEEDS}
    assert {lead for ones in which for lead in ones} == {0, 1, 2, 3}


@pytest.mark.parametrize("signal", [trace(), spectrogram()], ids=["trace", "spectrogram"])
def test_a_time_mask_is_one_stretch_of_all_leads(signal: Array) -> None:
    widths, starts = [], []
    for seed in SEEDS:
        blank = varied(signal, only("time_mask"), seed) == 0
        times = blank.reshape(-1, signal.shape[-1]).all(0)
        assert (blank == times).all()
        places = np.flatnonzero(times)
        assert places.size == np.ptp(places) + 1
        widths.append(places.size / signal.shape[-1])
        starts.append(places[0] / signal.shape[-1])
    assert 0 < min(widths) < max(widths) <= 0.2
    assert max(widths) > 0.15
    assert min(starts) < 0.2 < 0.7 < max(starts)


def test_a_frequency_mask_is_neighbouring_bands_of_a_spectrogram_only() -> None:
    for seed in SEEDS:
        blank = varied(spectrogram(), only("frequency_mask"), seed) == 0
        bands = blank.all((0, 2))
        assert (blank == bands[:, np.newaxis]).all()
        places = np.flatnonzero(bands)
        assert 1 <= places.size == np.ptp(places) + 1 <= 4
        np.testing.assert_array_equal(varied(trace(), only("frequency_mask"), seed), trace())


def test_masks_leave_something_of_the_smallest_signals() -> None:
    for shape in ((1, 1), (1, 2), (1, 1, 1), (2, 2, 2)):
        for seed in SEEDS:
            assert (varied(np.full(shape, 5, np.float32), only("lead_dropout"), seed) != 0).any()
            assert (varied(np.full(shape, 5, np.float32), only("time_mask"), seed) != 0).any()
            assert (varied(np.full(shape, 5, np.float32), only("frequency_mask"), seed) != 0).any()


def test_a_stronger_augmentation_is_thrice_as_large_and_never_off() -> None:
    usual = SignalAugmentationSettings()
    off = SignalAugmentationSettings.model_validate({key: {"chance": 0, "size": 0} for key in EFFECTS})
    assert off.stronger() == usual.stronger()
    assert usual.stronger().noise == Effect(chance=0.5, size=3 * usual.noise.size)
    assert usual.stronger().stronger().stronger().shift.size == 0.3
    assert only("noise").stronger().noise.size == pytest.approx(0.3)


def test_what_an_effect_does_not_state_is_usual_and_wrong_keys_and_sizes_are_refused() -> None:
    given = SignalAugmentationSettings.model_validate({"time_mask": {"chance": 0.9}})
    assert given.time_mask == Effect(chance=0.9, size=SignalAugmentationSettings().time_mask.size)
    assert given.noise == SignalAugmentationSettings().noise
    assert SignalAugmentationSettings.model_validate(given.model_dump(mode="json")) == given
    for wrong in ({"nois": {}}, {"noise": {"chanse": 1}}, {"noise": {"chance": 2}}, {"shift": {"size": 1}}, {"noise": 0.1}):
        with pytest.raises(ValidationError):
            SignalAugmentationSettings.model_validate(wrong)
