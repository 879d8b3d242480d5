"""Which lead of a signal speaks for an answer, and when; and whether that holds when such parts are covered.

Letters: P segments, L leads, T samples, M bands and N frames of a spectrogram.

Sources: those of `medmm.explanation.covering`; Strodthoff and Strodthoff 2019, Detecting and interpreting myocardial infarction
using fully convolutional neural networks, for maps over the leads and the time of an ECG.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medmm.explanation.covering import MapMethod, Pieces, even, grad_cam, gradients, occluded, patches, tested
from medmm.explanation.deletion import Deletion
from medmm.explanation.voice import Voice
from medmm.inputs.signal_preparation import starts_of
from medmm.types import Array, Waveform

if TYPE_CHECKING:
    from medmm.inputs.signal import SignalInput

WINDOWS = 20
"""Of an occlusion over the time of a lead; they move by half of their width."""

LEAST_WINDOWS = 4

BANDS = 4
"""Windows over the bands of a spectrogram."""

QUESTIONS = 600
"""To the model for the map of one input: of many leads and segments there are fewer windows each."""

PATCHES = 20
"""Over the time of a lead, covered together by the deletion test."""

MOST_PATCHES = 120
"""Of all leads and segments, unless `LEAST_WINDOWS` of each are more."""


@dataclass(frozen=True)
class SignalShare:
    """What the leads of one input say.

    Attributes:
        name: Of the input.
        method: How the map was made.
        values: (P, L, T) traces as the model saw them, in the unit of the recording; or (P, L, M, N) spectrograms, scaled. Only
            segments that are there.
        map: Of the same shape: how much each place speaks for the explained class; below zero against it.
        seconds: Of a segment.
        starts_s: (P,) at which second of the recording each begins.
        recorded_s: Of the whole recording.
        leads: (L,) their names.
        units: (L,) of traces, as UCUM codes; "" where none is stated.
        deletion: Whether this holds against random.
    """

    name: str
    method: MapMethod
    values: Array
    map: Array
    seconds: float
    starts_s: tuple[float, ...]
    recorded_s: float
    leads: tuple[str, ...]
    units: tuple[str, ...]
    deletion: Deletion

    @property
    def spectrogram(self) -> bool:
        """Whether the model sees spectrograms."""
        return self.values.ndim == 4

    @property
    def rate_hz(self) -> float:
        """Samples or frames a second."""
        return float(self.values.shape[-1] / self.seconds)


def explain_signal(
    voice: Voice, one: SignalInput, raw: Waveform, method: MapMethod, side: float, rng: np.random.Generator
) -> SignalShare:
    """Explain the signal of one input.

    Args:
        voice: The model.
        one: The input.
        raw: What was read of it.
        method: How to make the map.
        side: 1 where the answer is for the class that is explained, -1 where it is against it.
        rng: Of random orders.

    Raises:
        ConfigError: Grad-CAM was asked for, and the encoder has no feature map.
    """
    spectrogram = one.settings.spectrogram is not None
    pieces = Pieces.of(voice, one.name, "signal", blur=spectrogram)  # scaled traces have their centre at zero
    leads = pieces.whole.shape[2]
    maps = _map(pieces, method)  # (P, L, *size)
    tests = tested(pieces, maps, _patches(pieces.size, leads, len(pieces.there)), side, rng)
    seen = pieces.shown
    if not spectrogram:
        centre, spread = (np.asarray(one.state[key], np.float32)[:, None] for key in ("centre", "spread"))
        seen = seen * spread + centre
    samples, rate_hz = one.settings.samples, one.settings.rate_hz
    starts = starts_of(max(samples, round(raw.seconds * rate_hz)), samples, one.settings.segments)
    return SignalShare(
        one.name,
        method,
        seen,
        maps,
        samples / rate_hz,
        tuple(starts[place] / rate_hz for place in pieces.there),
        raw.seconds,
        tuple(one.state["leads"]),
        tuple(one.state["units"]),
        tests,
    )


def _map(pieces: Pieces, method: MapMethod) -> Array:
    leads = pieces.whole.shape[2]
    if method == "grad_cam":
        return np.repeat(grad_cam(pieces)[:, None], leads, axis=1)  # a feature map knows no leads
    if method == "integrated_gradients":
        return np.asarray(even(gradients(pieces)).cpu().numpy())
    size = pieces.size
    bands = [max(2, round(size[0] / BANDS))] if len(size) == 2 else []
    across = 1 if not bands else 2 * BANDS - 1
    many = (QUESTIONS // (len(pieces.there) * leads * across) + 1) // 2
    windows = [*bands, max(2, round(size[-1] / min(WINDOWS, max(LEAST_WINDOWS, many))))]
    return occluded(pieces, (1, *windows), (1, *(max(1, window // 2) for window in windows)))


def _patches(size: tuple[int, ...], leads: int, there: int) -> Array:
    """Number the patches (L, *size): each lead has its own."""
    bands = [BANDS] if len(size) == 2 else []
    each = MOST_PATCHES // (leads * there * (BANDS if bands else 1))
    own = patches(size, [*bands, min(PATCHES, max(LEAST_WINDOWS, each))])
    return np.stack([own + lead * (own.max() + 1) for lead in range(leads)])


@dataclass(frozen=True)
class Place:
    """A stretch of a lead.

    Attributes:
        segment: Which of P, from 0.
        lead: Its name.
        start_s: Its begin in the recording.
        end_s: Its end.
        adds: Mean of the map there, over all bands.
    """

    segment: int
    lead: str
    start_s: float
    end_s: float
    adds: float


def strongest(share: SignalShare, most: int) -> list[Place]:
    """Give the stretches, each half of a window long, that matter most, the strongest first."""
    over_time = share.map.mean(2) if share.spectrogram else share.map  # (P, L, T)
    edges = np.unique(np.linspace(0, over_time.shape[-1], 2 * WINDOWS + 1).round().astype(int))
    means = np.add.reduceat(over_time, edges[:-1], axis=2) / np.diff(edges)
    order = np.argsort(-np.abs(means).ravel(), kind="stable")[:most]
    places = zip(*np.unravel_index(order, means.shape), strict=True)
    found = []
    for segment, lead, cell in places:
        start, end = (round(float(share.starts_s[segment] + at / share.rate_hz), 3) for at in edges[cell : cell + 2])
        found.append(Place(int(segment), share.leads[lead], start, end, float(means[segment, lead, cell])))
    return found
