"""Preparation of signals: leads and units by hand, filters by their response, segments and scales by hand."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from real_data_signal import LUDB, LUDB_HZ, ludb
from scipy.signal import butter, sosfiltfilt

from medmm.errors import Code, DataError, Rejected
from medmm.inputs.signal_preparation import check_band, chosen, filtered, in_units, resampled, segments_of
from medmm.inputs.signal_scale import FARTHEST, Scale, scaled, unscaled
from medmm.types import Array, Waveform

ECG_BAND = (0.5, 40.0)


def waveform(units: tuple[str, ...] = ("mV", "mV", "mV")) -> Waveform:
    return Waveform(np.arange(12, dtype=np.float32).reshape(3, 4), 500.0, ("I", "II", "V1"), units)


def refused(work: Callable[[], object]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        work()
    assert str(caught.value).count("\n") == 0
    return caught.value


def tone(hertz: float, rate_hz: float, seconds: float = 10, phase: float = 0) -> Array:
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.asarray(np.sin(2 * np.pi * hertz * times + phase), np.float32)[np.newaxis]


def response(work: Callable[[Array], Array], hertz: float, rate_hz: float, made_hz: float) -> complex:
    """Give by what a tone comes out multiplied, in its middle 8 of 10 seconds: amplitude, and angle by which it moved."""
    made = work(tone(hertz, rate_hz))[0].astype(np.float64)
    times = np.arange(made.size) / made_hz
    middle = (times > 1) & (times < 9)
    waves = np.stack([np.sin(2 * np.pi * hertz * times), np.cos(2 * np.pi * hertz * times)], 1)[middle]
    (in_phase, off_phase), *_ = np.linalg.lstsq(waves, made[middle], rcond=None)
    return complex(in_phase, off_phase)


def decibels(amplitude: complex) -> float:
    return float(20 * np.log10(max(abs(amplitude), 1e-12)))


def test_leads_come_in_the_order_asked_with_their_units() -> None:
    found = chosen(waveform(("mV", "uV", "V")), ["V1", "I"])
    np.testing.assert_array_equal(found.values, [[8, 9, 10, 11], [0, 1, 2, 3]])
    assert (found.leads, found.units, found.rate_hz) == (("V1", "I"), ("V", "mV"), 500.0)


def test_missing_and_double_leads_are_refused_and_only_leads_that_were_asked_for_are_named() -> None:
    named = Waveform(np.zeros((2, 4), np.float32), 500.0, ("I", "Jane Doe"), ("mV", "mV"))
    missing = refused(lambda: chosen(named, ["I", "V2"], "file 1 of 2"))
    assert missing.code is Code.LEADS
    assert "no lead V2" in str(missing)
    assert "file 1 of 2" in str(missing)
    assert "Jane" not in str(missing)
    double = Waveform(np.zeros((2, 4), np.float32), 500.0, ("I", "I"), ("mV", "mV"))
    assert "more than one lead I" in str(refused(lambda: chosen(double, ["I"])))


def test_units_become_each_other_where_that_is_sound() -> None:
    found = in_units(waveform(("uV", "mV", "V")), ("mV",) * 3)
    np.testing.assert_allclose(found.values, [[0, 0.001, 0.002, 0.003], [4, 5, 6, 7], [8000, 9000, 10000, 11000]], rtol=1e-6)
    assert found.values.dtype == np.float32
    assert found.units == ("mV",) * 3
    pressure = in_units(Waveform(np.full((1, 2), 16.0, np.float32), 125.0, ("1",), ("kPa",)), ("mm[Hg]",))
    np.testing.assert_allclose(pressure.values, 120.0098, rtol=1e-5)  # 16 kPa by 0.133322 kPa


@pytest.mark.parametrize("found", ["", "kPa", "Jane Doe", "mV{Jane}"])
def test_a_unit_that_is_missing_or_of_another_kind_is_refused_and_never_shown(found: str) -> None:
    error = refused(lambda: in_units(waveform(("mV", found, "mV")), ("mV",) * 3))
    assert error.code is Code.UNIT
    assert "lead 2" in str(error)
    assert "Jane" not in str(error)
    assert "kPa" not in str(error)


@pytest.mark.parametrize(("rate", "wanted"), [(500.0, 250.0), (1000.0, 250.0), (360.0, 250.0), (128.0, 250.0), (257.0, 250.0)])
def test_resampling_keeps_tones_where_they_are_in_time(rate: float, wanted: float) -> None:
    for share in (0.01, 0.3, 0.8):
        hertz = share * min(rate, wanted) / 2
        found = response(lambda values: resampled(values, rate, wanted), hertz, rate, wanted)
        assert abs(decibels(found)) < 0.2
        assert abs(np.angle(found)) < 0.005


@pytest.mark.parametrize(("rate", "wanted"), [(500.0, 250.0), (1000.0, 250.0), (360.0, 250.0), (44100.0, 4000.0)])
def test_resampling_lets_nothing_fold_back(rate: float, wanted: float) -> None:
    for share in (1.17, 1.5, 1.9):
        hertz = share * wanted / 2
        if hertz < rate / 2:
            made = resampled(tone(hertz, rate, phase=0.7), rate, wanted)[0]
            inner = made[made.size // 10 : -made.size // 10]
            assert decibels(complex(np.sqrt(2 * np.mean(inner**2)))) < -50


def test_a_constant_and_a_ramp_stay_what_they_are_up_to_their_ends() -> None:
    constant = np.full((2, 1001), 3.25, np.float32)
    ramp = np.linspace(-1, 4, 1001, dtype=np.float32)[np.newaxis]
    for wanted in (250.0, 360.0, 1000.0):
        assert np.all(resampled(constant, 500.0, wanted) == np.float32(3.25))
        made = resampled(ramp, 500.0, wanted)[0]
        np.testing.assert_allclose(made, -1 + 5 * np.arange(made.size) * 500 / wanted / 1000, atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "rate", "wanted", "length"),
    [
        (5000, 500.0, 250.0, 2500),
        (5001, 500.0, 250.0, 2501),
        (3600, 360.0, 250.0, 2500),
        (1, 500.0, 250.0, 1),
        (7, 2.0, 3.0, 11),
    ],
)
def test_the_length_is_as_documented(samples: int, rate: float, wanted: float, length: int) -> None:
    values = np.random.default_rng(0).normal(size=(2, samples)).astype(np.float32)
    made = resampled(values, rate, wanted)
    assert made.shape == (2, length)
    assert made.dtype == np.float32


def test_the_same_rate_is_the_same_recording() -> None:
    values = np.random.default_rng(0).normal(size=(2, 99)).astype(np.float32)
    assert np.array_equal(resampled(values, 250.0, 250.0), values)


def test_a_rate_that_is_no_ratio_of_whole_numbers_moves_nothing_by_more_than_a_millisecond_in_four_seconds() -> None:
    values = tone(1.0, 499.93, seconds=4)
    made = resampled(values, 499.93, 250.0)
    np.testing.assert_allclose(made[0], tone(1.0, 250.0, seconds=4)[0, : made.shape[1]], atol=2 * np.pi * 1e-3)


@pytest.mark.parametrize("rate", [124.9, 0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_rate_that_is_too_low_or_impossible_is_refused(rate: float) -> None:
    error = refused(lambda: resampled(np.zeros((1, 100), np.float32), rate, 250.0))
    assert error.code is Code.RATE
    assert "at least 125 Hz" in str(error)
    assert resampled(np.zeros((1, 100), np.float32), 125.0, 250.0).shape == (1, 200)


@pytest.mark.parametrize("rate", [250.0, 500.0, 1000.0])
def test_the_filter_passes_its_band_stops_the_mains_and_moves_nothing(rate: float) -> None:
    def work(values: Array) -> Array:
        return filtered(values, rate, ECG_BAND, 50.0)

    for hertz in (0.7, 1.0, 5.0, 17.0, 30.0):
        found = response(work, hertz, rate, rate)
        assert abs(decibels(found)) < 0.5, hertz
        assert abs(np.angle(found)) < 0.01, hertz
    for hertz in (49.9, 50.0, 50.1, 100.0, 0.1):
        assert decibels(response(work, hertz, rate, rate)) < -30, hertz


def test_each_edge_of_the_band_is_where_three_decibels_are_lost() -> None:
    for band, hertz in (((2.0, None), 2.0), ((None, 40.0), 40.0), ((None, 110.0), 110.0)):
        found = response(lambda values, band=band: filtered(values, 250.0, band, None), hertz, 250.0, 250.0)  # type: ignore[misc]
        assert decibels(found) == pytest.approx(-3.01, abs=0.05)


def test_a_notch_stands_at_every_harmonic_below_half_the_rate_and_leaves_the_rest() -> None:
    for hertz in (60.0, 120.0, 180.0, 240.0):
        assert decibels(response(lambda values: filtered(values, 500.0, None, 60.0), hertz, 500.0, 500.0)) < -40
    for hertz in (1.0, 40.0, 53.0, 67.0, 90.0, 150.0, 210.0):
        assert abs(decibels(response(lambda values: filtered(values, 500.0, None, 60.0), hertz, 500.0, 500.0))) < 0.5, hertz


@pytest.mark.parametrize("phase", [0.0, 0.8, np.pi / 2])
def test_a_filter_leaves_no_transient_at_the_ends(phase: float) -> None:
    constant = np.full((1, 2500), 7.0, np.float32)
    assert np.abs(filtered(constant, 250.0, ECG_BAND, 50.0)).max() < 1e-6  # the band leaves no constant
    np.testing.assert_allclose(filtered(constant, 250.0, (None, 40.0), 50.0), 7, atol=1e-5)
    ramp = np.linspace(-3, 5, 2500, dtype=np.float32)[np.newaxis]
    assert np.abs(filtered(ramp, 250.0, ECG_BAND, None)).max() < 1e-5
    np.testing.assert_allclose(filtered(ramp, 250.0, (None, 40.0), None), ramp, atol=1e-5)
    wave = tone(8.0, 250.0, phase=phase)
    off = np.abs(filtered(wave, 250.0, ECG_BAND, 50.0) - wave)[0]
    assert off.max() < 0.15  # where the mirror image bends it
    assert off[250:-250].max() < 0.01


def test_no_band_and_no_mains_leave_the_bits_alone() -> None:
    values = np.random.default_rng(0).normal(size=(2, 99)).astype(np.float32)
    for band in (None, (None, None)):
        assert np.array_equal(filtered(values, 250.0, band, None), values)


@pytest.mark.parametrize("samples", [1, 2, 30])
def test_a_recording_shorter_than_the_filter_settles_still_comes_out_whole(samples: int) -> None:
    made = filtered(np.ones((2, samples), np.float32), 250.0, ECG_BAND, 50.0)
    assert made.shape == (2, samples)
    assert np.isfinite(made).all()


@pytest.mark.parametrize(
    ("band", "mains", "says"),
    [
        ((0.5, 125.0), None, "125 Hz"),
        ((0.0, 40.0), None, "0 Hz"),
        ((40.0, 10.0), None, "lower to a higher"),
        (None, 125.0, "mains_hz"),
    ],
)
def test_what_cannot_act_at_a_rate_is_refused(band: tuple[float, float] | None, mains: float | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_band(band, mains, 250.0)
    with pytest.raises(ValueError, match=says):
        filtered(np.zeros((1, 500), np.float32), 250.0, band, mains)


@pytest.mark.parametrize(
    ("total", "samples", "most", "starts"),
    [(10, 4, 1, [3]), (10, 4, 2, [0, 5]), (10, 4, 9, [0, 5]), (12, 2, 3, [1, 5, 9]), (4, 4, 3, [0]), (12, 4, 3, [0, 4, 8])],
)
def test_segments_lie_in_the_middle_of_their_shares(total: int, samples: int, most: int, starts: list[int]) -> None:
    values = np.stack([np.arange(total), -np.arange(total)]).astype(np.float32)
    made = segments_of(values, samples, most)
    assert made.shape == (len(starts), 2, samples)
    np.testing.assert_array_equal(made[:, 0], [np.arange(start, start + samples) for start in starts])
    np.testing.assert_array_equal(made[:, 1], -made[:, 0])


@pytest.mark.parametrize("seed", range(5))
def test_segments_are_whole_never_overlap_and_lie_the_same_from_both_ends(seed: int) -> None:
    rng = np.random.default_rng(seed)
    total, samples, most = int(rng.integers(50, 400)), int(rng.integers(1, 50)), int(rng.integers(1, 12))
    starts = segments_of(np.arange(total)[np.newaxis], samples, most)[:, 0, 0]
    assert len(starts) == min(most, total // samples)
    assert np.all(np.diff(starts) >= samples)
    assert abs(starts[0] - (total - samples - starts[-1])) <= 1


def test_a_recording_shorter_than_a_segment_is_refused() -> None:
    error = refused(lambda: segments_of(np.zeros((1, 9)), 10, 1, "file 1 of 1"))
    assert error.code is Code.SHORT
    assert "9 samples" in str(error)


def test_a_scale_is_the_median_of_the_studies_by_hand() -> None:
    # Means 1, 3 and 2 with deviations 1, 1 and 0: the centre is 2, the distances from it are sqrt(2), sqrt(2) and 0.
    studies = [np.array([[0.0, 2.0]]), np.array([[2.0, 4.0, 2.0, 4.0]]), np.array([[2.0, 2.0]])]
    scale = Scale.fit(iter(studies), ["I"])
    assert scale.centre == (2.0,)
    assert scale.spread == pytest.approx((2**0.5,))
    np.testing.assert_allclose(scaled(np.array([[2.0, 4.0]]), scale), [[0, 2**0.5]], rtol=1e-6)


def test_each_study_counts_alike_and_a_few_broken_ones_move_nothing() -> None:
    rng = np.random.default_rng(0)
    good = [rng.normal(0, 1, (2, int(rng.integers(200, 5000)))) * [[1], [10]] for _ in range(30)]
    broken = [good[0] * 1e4 for _ in range(5)]
    scale, spoilt = Scale.fit(good, ["I", "II"]), Scale.fit(good + broken, ["I", "II"])
    np.testing.assert_allclose(scale.spread, [1, 10], rtol=0.02)
    np.testing.assert_allclose(spoilt.spread, scale.spread, rtol=0.02)


def test_a_scale_travels_as_json_acts_on_segments_and_can_be_undone() -> None:
    scale = Scale((1.0, -2.0), (0.5, 4.0))
    again = Scale.of(json.loads(json.dumps(scale.plain())))
    assert again == scale
    values = np.random.default_rng(0).normal(size=(3, 2, 50)).astype(np.float32)
    made = scaled(values, again, axis=1)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made[:, 1], (values[:, 1] + 2) / 4, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(made[1], scaled(values[1], again))
    np.testing.assert_allclose(unscaled(made, again, axis=1), values, atol=1e-5)
    segments = Scale.fit([values], ["I", "II"], axis=1)
    whole = Scale.fit([np.concatenate(list(values), 1)], ["I", "II"])
    np.testing.assert_allclose([segments.centre, segments.spread], [whole.centre, whole.spread], rtol=1e-6)


def test_scaled_values_end_before_half_precision_does() -> None:
    made = scaled(np.array([[1e9, -1e9, 0]]), Scale((0.0,), (1.0,)))
    np.testing.assert_array_equal(made, [[FARTHEST, -FARTHEST, 0]])


def test_a_lead_that_never_moves_and_no_studies_are_refused_at_the_fit() -> None:
    values = np.random.default_rng(0).normal(size=(2, 100))
    values[1] = 0.1
    for offset in (0.0, 1.0):
        still = [values + np.array([[0], [offset * place]]) for place in range(4)]
        with pytest.raises(DataError, match="lead V1 does not move"):
            Scale.fit(still, ["I", "V1"])
    with pytest.raises(DataError, match="no training study"):
        Scale.fit([], ["I"])


@pytest.mark.skipif(not LUDB.is_dir(), reason="LUDB lies beside a development checkout only")
def test_real_electrocardiograms_keep_their_beats_and_lose_their_mains() -> None:
    """Beats stay where they were and as high; hum and drift go."""
    times = np.arange(5000) / LUDB_HZ
    for record in (1, 50, 150):
        clean = filtered(ludb(record), LUDB_HZ, ECG_BAND, 50.0)
        dirty = ludb(record) + 0.3 * np.sin(2 * np.pi * 50 * times + 1) + 0.5 * np.sin(2 * np.pi * 0.1 * times)
        again = filtered(dirty.astype(np.float32), LUDB_HZ, ECG_BAND, 50.0)
        assert np.abs(again - clean)[:, 500:-500].max() < 0.03
        half = resampled(clean, LUDB_HZ, 250.0)
        peak = int(np.abs(clean[1, 500:-500]).argmax()) + 500
        assert abs(int(np.abs(half[1, 250:-250]).argmax()) + 250 - peak / 2) <= 1
        assert np.abs(half[1]).max() == pytest.approx(np.abs(clean[1]).max(), rel=0.05)


@pytest.mark.skipif(not LUDB.is_dir(), reason="LUDB lies beside a development checkout only")
def test_the_ends_of_a_real_recording_are_filtered_nearly_as_if_it_went_on() -> None:
    """Cut the middle 6 s out before and after the filter: what differs is what the missing seconds cost, at its ends."""
    mirrored, turned = [], []
    for record in range(1, 200, 20):
        values = ludb(record)
        cut = slice(1000 + record, 4000 + record)
        whole = filtered(values, LUDB_HZ, ECG_BAND, None)[:, cut]
        mirrored.append(np.abs(filtered(values[:, cut], LUDB_HZ, ECG_BAND, None) - whole).max())
        sections = butter(4, ECG_BAND, "bandpass", fs=LUDB_HZ, output="sos")
        usual = [sosfiltfilt(sections, one, axis=1, padlen=2500) for one in (values, values[:, cut])]
        turned.append(np.abs(usual[1] - usual[0][:, cut]).max())
    assert np.median(mirrored) < 0.07  # mV
    assert np.median(mirrored) < 0.75 * np.median(turned)
