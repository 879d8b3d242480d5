"""Damages of signals: by hand, by seed, harder with severity, the type and the source left alone."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from medmm.encoders.several import THERE
from medmm.inputs import damage_signal as damage
from medmm.inputs.signal_scale import Scale, scaled
from medmm.types import Array

LIMBS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1")
SCALE = Scale((0.1, -0.2, 0.05, 0.0, 0.3, -0.1, 0.2), (0.5, 0.4, 0.3, 0.2, 0.6, 0.5, 0.7))
SEEDS = range(5)
Damage = Callable[[Array, float, np.random.Generator], Array]


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def electrodes(samples: int = 1000) -> Array:
    """Give what four electrodes see, right arm, left arm, left leg and chest, (4, T) millivolt."""
    return np.cumsum(rng_of().normal(0, 0.02, (4, samples)), 1)


def ecg(right_arm: Array, left_arm: Array, left_leg: Array, chest: Array) -> Array:
    """Make the leads of the electrodes, by Einthoven, Goldberger and Wilson."""
    first, second, third = left_arm - right_arm, left_leg - right_arm, left_leg - left_arm
    augmented = (
        right_arm - (left_arm + left_leg) / 2,
        left_arm - (right_arm + left_leg) / 2,
        left_leg - (left_arm + right_arm) / 2,
    )
    return np.stack([first, second, third, *augmented, chest - (right_arm + left_arm + left_leg) / 3]).astype(np.float32)


def trace() -> Array:
    return scaled(ecg(*electrodes()), SCALE)


def spectrogram() -> Array:
    return rng_of().normal(size=(2, 16, 40)).astype(np.float32)


TWO = Scale((-40.0, -50.0), (10.0, 5.0))
OF_TRACES: dict[str, tuple[Damage, tuple[float, ...]]] = {
    "noise": (damage.noise, (0.1, 0.5, 1)),
    "hum": (partial(damage.hum, rate_hz=250.0, mains_hz=50.0), (0.1, 0.5, 1)),
    "wander": (partial(damage.wander, rate_hz=250.0), (0.5, 1, 2)),
    "gain": (partial(damage.gain, scale=SCALE), (1.2, 1.5, 2)),
    "clipped": (partial(damage.clipped, scale=SCALE), (0.1, 0.3, 0.6)),
    "lost_leads": (partial(damage.lost_leads, silent=damage.silence(SCALE)), (0.1, 0.3, 0.6)),
    "lost_stretch": (partial(damage.lost_stretch, silent=damage.silence(SCALE)), (0.1, 0.3, 0.6)),
    "swapped_arms": (partial(damage.swapped_arms, leads=LIMBS, scale=SCALE), (0.7, 1.0)),
}
OF_SPECTROGRAMS: dict[str, tuple[Damage, tuple[float, ...]]] = {
    "noise": (damage.noise, (0.1, 0.5, 1)),
    "gain": (partial(damage.gain, scale=TWO), (1.2, 1.5, 2)),
    "lost_leads": (partial(damage.lost_leads, silent=damage.silence(TWO, -80)), (0.5,)),
    "lost_stretch": (partial(damage.lost_stretch, silent=damage.silence(TWO, -80)), (0.1, 0.3, 0.6)),
    "muffled": (partial(damage.muffled, silent=damage.silence(TWO, -80)), (0.1, 0.3, 0.6)),
}
ALL = [(trace, name, *one) for name, one in OF_TRACES.items()] + [
    (spectrogram, name, *one) for name, one in OF_SPECTROGRAMS.items()
]


@pytest.mark.parametrize(("make", "name", "one", "severities"), ALL, ids=[f"{one[1]}-{one[0].__name__}" for one in ALL])
def test_a_damage_grows_with_severity_keeps_shapes_and_leaves_its_source_alone(
    make: Callable[[], Array], name: str, one: Damage, severities: tuple[float, ...]
) -> None:
    signal = make()
    for seed in SEEDS:
        far = []
        for severity in severities:
            made = one(signal, severity, rng_of(seed))
            np.testing.assert_array_equal(signal, make())
            assert made.shape == signal.shape
            assert np.isfinite(made).all()
            np.testing.assert_array_equal(made, one(signal, severity, rng_of(seed)))
            far.append(float(np.abs(made - signal).mean()))
        if name == "swapped_arms":  # it happens or not, and more often
            assert far[0] in {0.0, far[1]}
        else:
            assert far[0] > 0
            assert far == sorted(set(far))


def test_exchanged_arms_are_what_the_leads_show_when_the_electrodes_are_exchanged() -> None:
    right_arm, left_arm, left_leg, chest = electrodes()
    swapped = scaled(ecg(left_arm, right_arm, left_leg, chest), SCALE)
    made = damage.swapped_arms(trace(), 1, rng_of(), leads=LIMBS, scale=SCALE)
    np.testing.assert_allclose(made, swapped, atol=1e-5)
    shuffled = [4, 6, 1, 0, 3, 5, 2]
    of = Scale(*(tuple(part[i] for i in shuffled) for part in (SCALE.centre, SCALE.spread)))
    again = damage.swapped_arms(trace()[shuffled], 1, rng_of(), leads=[LIMBS[i] for i in shuffled], scale=of)
    np.testing.assert_allclose(again, swapped[shuffled], atol=1e-5)


def test_arms_are_exchanged_in_the_share_of_studies_asked_for() -> None:
    hit = [np.any(damage.swapped_arms(trace(), 0.25, rng_of(seed), leads=LIMBS, scale=SCALE) != trace()) for seed in range(200)]
    assert 0.15 < np.mean(hit) < 0.35


@pytest.mark.parametrize(
    ("leads", "shows"),
    [
        (LIMBS, True),
        (("I",), True),
        (("II", "III"), True),
        (("I", "II"), False),
        (("I", "aVL", "II", "III"), False),
        (("V1", "V2"), False),
        (("1",), False),
        (("aVF",), False),
    ],
)
def test_arms_are_exchanged_only_where_it_shows_and_all_leads_for_it_are_there(leads: tuple[str, ...], shows: bool) -> None:
    assert damage.has_arms(leads) is shows


def test_noise_and_hum_have_the_size_told_and_hum_its_frequency() -> None:
    added = damage.noise(trace(), 0.5, rng_of()) - trace()
    assert added.std() == pytest.approx(0.5, rel=0.03)
    hum = damage.hum(trace(), 0.5, rng_of(), rate_hz=250.0, mains_hz=50.0) - trace()
    assert np.abs(hum).max() == pytest.approx(0.5, rel=0.06)
    assert set(np.abs(np.fft.rfft(hum)).argmax(1)) == {200}  # 50 Hz in 4 s
    assert len({round(float(one[0]), 5) for one in hum}) == len(LIMBS)


def test_wander_has_the_rate_of_breathing() -> None:
    for seed in SEEDS:
        long = np.zeros((2, 250 * 60), np.float32)
        made = damage.wander(long, 1.0, rng_of(seed), rate_hz=250.0)
        assert 9 <= np.abs(np.fft.rfft(made)).argmax(1)[0] <= 24  # waves a minute
        assert np.abs(made).max() <= 1


def test_gain_acts_about_zero_of_the_recording_by_hand() -> None:
    millivolt = ecg(*electrodes())
    found = {seed: damage.gain(trace(), 2, rng_of(seed), scale=SCALE) for seed in range(10)}
    up, down = scaled(2 * millivolt, SCALE), scaled(millivolt / 2, SCALE)
    is_up = [np.allclose(one, up, atol=1e-4) for one in found.values()]
    is_down = [np.allclose(one, down, atol=1e-4) for one in found.values()]
    assert all(first != second for first, second in zip(is_up, is_down, strict=True))
    assert 0 < sum(is_up) < 10
    louder = damage.gain(spectrogram(), 10, rng_of(), scale=TWO) - spectrogram()  # 20 dB, of spreads of 10 and 5 dB
    np.testing.assert_allclose(np.abs(louder).mean((1, 2)), [2, 4], rtol=1e-5)


def test_clipping_cuts_at_a_share_of_the_largest_value_by_hand() -> None:
    scale = Scale((1.0,), (2.0,))
    millivolt = np.array([[0.0, 1.0, -4.0, 2.0]], np.float32)
    made = damage.clipped(scaled(millivolt, scale), 0.5, rng_of(), scale=scale)
    np.testing.assert_allclose(made, scaled(np.array([[0.0, 1.0, -2.0, 2.0]]), scale), atol=1e-6)


@pytest.mark.parametrize(("leads", "share", "lost"), [(7, 0.1, 1), (7, 0.5, 4), (7, 1.0, 6), (2, 0.1, 1), (2, 1.0, 1)])
def test_a_lost_lead_shows_zero_with_a_little_noise_and_one_stays(leads: int, share: float, lost: int) -> None:
    silent = damage.silence(SCALE)[:leads]
    for seed in SEEDS:
        made = damage.lost_leads(trace()[:leads], share, rng_of(seed), silent=silent)
        gone = (made != trace()[:leads]).any(1)
        assert gone.sum() == lost
        np.testing.assert_allclose(made[gone].mean(1), silent[gone], atol=0.01)
        np.testing.assert_allclose(made[gone].std(1), damage.OPEN_NOISE, rtol=0.1)


def test_silence_is_what_the_preparation_makes_of_zero_or_of_the_floor() -> None:
    np.testing.assert_allclose(damage.silence(SCALE), scaled(np.zeros((7, 1)), SCALE)[:, 0], rtol=1e-6)
    np.testing.assert_allclose(damage.silence(TWO, -80), [-4, -6])  # (-80 + 40) / 10 and (-80 + 50) / 5


def test_muffling_takes_the_upper_bands() -> None:
    made = damage.muffled(spectrogram(), 0.25, rng_of(), silent=damage.silence(TWO, -80))
    np.testing.assert_array_equal(made[:, :12], spectrogram()[:, :12])
    np.testing.assert_array_equal(made[:, 12:], np.broadcast_to([[[-4]], [[-6]]], (2, 4, 40)))


def test_a_lost_stretch_is_a_share_of_the_time_of_all_leads() -> None:
    made = damage.lost_stretch(trace(), 0.3, rng_of(), silent=damage.silence(SCALE))
    times = np.flatnonzero((made != trace()).any(0))
    assert (times.size, np.ptp(times)) == (300, 299)


def test_segments_of_one_recording_are_damaged_as_one_and_those_that_are_not_there_stay_blank() -> None:
    silent = damage.silence(SCALE)
    fields = {"signal": np.zeros((3, 7, 1000), np.float16), THERE: np.array([1, 1, 0], np.uint8)}
    fields["signal"][:2] = np.stack([trace(), trace()[:, ::-1]])
    before = fields["signal"].copy()
    made = damage.each_signal(partial(damage.lost_leads, silent=silent), fields, 0.3, rng_of())
    np.testing.assert_array_equal(fields["signal"], before)
    assert made["signal"].dtype == np.float16
    gone = (made["signal"] != before).any(2)
    assert gone[0].sum() == 2
    np.testing.assert_array_equal(gone[0], gone[1])
    assert not gone[2].any()
    noisy = damage.each_signal(damage.noise, fields, 0.5, rng_of())["signal"] - before
    assert not np.array_equal(noisy[0], noisy[1])
    clipped = damage.each_signal(partial(damage.clipped, scale=SCALE), fields, 0.5, rng_of())["signal"]
    np.testing.assert_array_equal(clipped[0], clipped[1][:, ::-1])


def test_a_single_segment_keeps_its_type_and_ends_where_preparation_ends() -> None:
    fields = {"signal": trace().astype(np.float16)}
    made = damage.each_signal(damage.noise, fields, 1e6, rng_of())["signal"]
    assert made.dtype == np.float16
    assert made.shape == trace().shape
    assert np.abs(made).max() == 100
