"""Signals from what was read to what a model takes, step by step: ours, what scipy does alone, and wfdb, torch, transformers.

All in one process and one thread, as a worker prepares them. librosa is a rival where it is installed.
"""

import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import numpy as np
import torch

from benchmarks.measure import OURS, Result, Timed, interleaved
from medmm.inputs.signal_preparation import filtered, resampled
from medmm.inputs.spectrogram import SpectrogramSettings, filters, log_mel
from medmm.types import Array

RECORDINGS, REPEATS = 20, 7
LEADS, ECG_SECONDS, ECG_HZ, WANTED_HZ = 12, 10, 500, 250
BAND_HZ, MAINS_HZ = (0.5, 40.0), 50.0
SOUND_SECONDS, SOUND_HZ = 15, 4000
SPECTROGRAM = SpectrogramSettings()
ALONE = "scipy, the bare call"
HAS_LIBROSA = find_spec("librosa") is not None
WITHOUT = "" if HAS_LIBROSA else " librosa is not installed here, so it is no rival."


def run() -> list[Result]:
    """Measure each step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_resampling(), _filtering(), _spectrograms()]
    finally:
        torch.set_num_threads(threads)


def electrocardiograms() -> list[Array]:
    """Make recordings (12, 5000) that have the samples, though not the beats, of an ECG."""
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.2, (LEADS, ECG_SECONDS * ECG_HZ)).astype(np.float32) for _ in range(RECORDINGS)]


def sounds() -> list[Array]:
    """Make recordings (1, 60000)."""
    rng = np.random.default_rng(0)
    return [rng.normal(0, 0.1, (1, SOUND_SECONDS * SOUND_HZ)).astype(np.float32) for _ in range(RECORDINGS)]


def _resampling() -> Result:
    from scipy.signal import resample_poly

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb uses what pandas deprecates
        from wfdb.processing import resample_sig

    recordings = electrocardiograms()

    def by_wfdb(values: Array) -> Array:
        return np.stack([resample_sig(lead, ECG_HZ, WANTED_HZ)[0] for lead in values])

    ways = {
        OURS: lambda values: resampled(values, ECG_HZ, WANTED_HZ),
        ALONE: lambda values: resample_poly(values, 1, ECG_HZ // WANTED_HZ, axis=1),
        "wfdb resample_sig, lead by lead": by_wfdb,
    }
    if HAS_LIBROSA:
        import librosa

        ways["librosa resample, polyphase"] = lambda values: librosa.resample(
            values, orig_sr=ECG_HZ, target_sr=WANTED_HZ, res_type="polyphase"
        )
    verdict = (
        "wfdb resamples by one Fourier transform of the whole recording, which takes its end for what came before it; "
        "ours takes a straight line out first, so neither end rings." + WITHOUT
    )
    return _measured(f"Resample from {ECG_HZ} to {WANTED_HZ} Hz: {_ecgs()}", ways, recordings, verdict)


def _filtering() -> Result:
    from scipy.signal import butter, iirnotch, sosfiltfilt, tf2sos

    recordings = electrocardiograms()
    harmonics = np.arange(MAINS_HZ, ECG_HZ / 2, MAINS_HZ)
    sections = np.concatenate(
        [
            butter(4, BAND_HZ, "bandpass", fs=ECG_HZ, output="sos"),
            *(tf2sos(*iirnotch(hertz, hertz / 2, fs=ECG_HZ)) for hertz in harmonics),
        ]
    )
    ways = {
        OURS: lambda values: filtered(values, ECG_HZ, BAND_HZ, MAINS_HZ),
        ALONE: lambda values: sosfiltfilt(sections, values, axis=1),
        "scipy, lead by lead, designed each time": lambda values: np.stack([_designed(lead) for lead in values]),
    }
    verdict = (
        "The bare call continues a recording by some dozens of samples, in which half a hertz does not settle; ours "
        "continues it by three cycles of the lowest frequency, and that is what its time goes into."
    )
    return _measured(f"Band of {BAND_HZ[0]:g} to {BAND_HZ[1]:g} Hz without the mains: {_ecgs()}", ways, recordings, verdict)


def _designed(lead: Array) -> Array:
    from scipy.signal import butter, filtfilt, iirnotch, sosfiltfilt

    made = sosfiltfilt(butter(4, BAND_HZ, "bandpass", fs=ECG_HZ, output="sos"), lead)
    for hertz in np.arange(MAINS_HZ, ECG_HZ / 2, MAINS_HZ):
        made = filtfilt(*iirnotch(hertz, hertz / 2, fs=ECG_HZ), made)
    return np.asarray(made)


def _spectrograms() -> Result:
    from scipy.fft import rfft
    from transformers.audio_utils import spectrogram, window_function

    recordings = sounds()
    window, hop = round(SPECTROGRAM.window_seconds * SOUND_HZ), round(SPECTROGRAM.hop_seconds * SOUND_HZ)
    hann, bands = window_function(window, "hann"), filters(SPECTROGRAM, SOUND_HZ)
    torch_hann, torch_bands = torch.hann_window(window), torch.from_numpy(bands.copy()).T

    def by_torch(values: Array) -> Array:
        found = torch.stft(torch.from_numpy(values), window, hop, window=torch_hann, center=False, return_complex=True)
        return (10 * torch.log10((torch_bands @ found.abs().square()).clamp_min(1e-8))).numpy()

    def by_transformers(values: Array) -> Array:
        return spectrogram(
            values[0], hann, window, hop, power=2.0, center=False, mel_filters=bands, mel_floor=1e-8, log_mel="dB"
        )

    def transform(values: Array) -> Array:
        return np.asarray(rfft(np.lib.stride_tricks.sliding_window_view(values, window, -1)[..., ::hop, :], axis=-1))

    ways = {
        OURS: lambda values: log_mel(values, SOUND_HZ, SPECTROGRAM),
        "scipy, the Fourier transform alone": transform,
        "torch stft, the rest by hand": by_torch,
        "transformers spectrogram": by_transformers,
    }
    if HAS_LIBROSA:
        import librosa

        ways["librosa melspectrogram, power_to_db"] = lambda values: librosa.power_to_db(
            librosa.feature.melspectrogram(
                y=values, sr=SOUND_HZ, n_fft=window, hop_length=hop, center=False, n_mels=SPECTROGRAM.mels, htk=True, norm=None
            ),
            top_db=None,
        )
    what = f"{RECORDINGS} sounds of {SOUND_SECONDS} s at {SOUND_HZ} Hz"
    verdict = "All give the same decibels, but for their reference." + WITHOUT
    return _measured(f"Log-mel spectrogram of {SPECTROGRAM.mels} bands: {what}", ways, recordings, verdict)


def _measured(title: str, ways: Mapping[str, Callable[[Array], object]], recordings: list[Array], verdict: str) -> Result:
    def all_of(way: Callable[[Array], object]) -> Callable[[], object]:
        return lambda: [way(values) for values in recordings]

    seconds = interleaved({name: all_of(way) for name, way in ways.items()}, REPEATS)
    return Result(title, {name: Timed(one) for name, one in seconds.items()}, len(recordings), "recordings", verdict)


def _ecgs() -> str:
    return f"{RECORDINGS} recordings of {LEADS} leads, {ECG_SECONDS} s at {ECG_HZ} Hz"
