"""The deterministic preparation of an image, fused: orient, window, resample, in one pass over its slices.

Letters: K channels; i, j, k the axes of a Volume; R, A, S axes to the patient's right, front and head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from typing import Any, TypeAlias

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.separable import Axis, axis_of, resample_across, resample_slices
from medmm.readers.slices import HeldSlices, Slices
from medmm.readers.threads import Room, in_threads, room
from medmm.types import Array, Volume

Window: TypeAlias = tuple[float, float]
"""The values that become 0 and 1."""

COUNTED = 1 << 20
"""Values that are counted at a time, for `bincount` makes each eight bytes long."""

ROWS_AT_ONCE = 32
"""Rows of the result that a thread finishes at a time. It is the same on every machine, for how sums round may hang on it."""

PERCENTILES = (0.5, 99.5)
"""Window of an image without one; the tails of a radiograph are collimator edges and markers."""

EXACT = 1 << 24
"""Below it float32 holds every whole number."""

LUMINANCE = (0.299, 0.587, 0.114)
"""ITU-R BT.601, which JPEG colours follow."""

DISPLAY_ORDER = (1, 0, 2)
"""Rows, columns, slices: a volume's (i, j, k) is (column, row, slice)."""


def prepare_image(
    image: Volume | Slices,
    size: tuple[int, ...],
    window: tuple[float, float] | None,
    spacing_mm: tuple[float, ...] | None,
    channels: int = 1,
) -> Array:
    """Prepare an image for a network.

    Args:
        image: As the readers give it. Slices are asked for a few at a time, decoded, windowed and resampled in their plane and
            dropped, in threads; the result is that of their volume, bit for bit. Without a window they are asked for at once.
        size: Of the result: (rows, columns) for an image of one slice, or three sizes along R, A and S.
        window: Values that become 0 and 1, in the volume's unit; None for percentiles of the image's own pixels without
            padding, or for the whole range of colour of an unsigned type.
        spacing_mm: Of the result, in the order of `size`: the image is resampled about its centre, then cropped, or filled
            with 0. None to fit the whole field of view into `size`.
        channels: K of the result: 1 (colour as its luminance) or 3 (grey three times).

    Returns:
        float16 in [0, 1], padding at 0: (K, rows, columns) as displayed, or (K, R, A, S), indices growing to the patient's
        right, front and head, as MONAI's (C, H, W, D) in RAS. A volume without affine keeps its axes: (K, i, j, k). Oblique
        planes go to the nearest axes.

    Raises:
        Rejected: HEADER (`spacing_mm` for an image that states no size), UNSUPPORTED (several slices for a 2D size); or why
            slices cannot be decoded.
    """
    assert channels in (1, 3), channels
    slices = HeldSlices(image) if isinstance(image, Volume) else image
    flat = len(size) == 2
    if flat and slices.shape[2] != 1:
        found = f"{slices.shape[2]} slices"
        raise Rejected(Code.UNSUPPORTED, "the image", found, "one slice for a 2D size", "set a size of three numbers")
    if spacing_mm is not None and slices.spacing_mm is None:
        raise Rejected(Code.HEADER, "the image", "no pixel spacing", "millimetres", "leave spacing_mm out")
    order = DISPLAY_ORDER if flat else nearest_axes(slices.affine)[0]
    axes = _axes(slices, size, spacing_mm)
    if window is None:
        volume = slices.volume()
        slices, window = HeldSlices(volume), own_window(volume)
    planes = _prepared_planes(slices, axes, window, channels).transpose(0, *(axis + 1 for axis in order))  # (K, a, b, c)
    result = np.repeat(planes, channels // len(planes), axis=0)
    return result[..., 0] if flat else result


def prepared_affine(volume: Volume, size: tuple[int, ...], spacing_mm: tuple[float, ...] | None) -> Array | None:
    """Give the affine (4, 4) from index of the 3D result of `prepare_image` to RAS millimetres; None where there is none."""
    if volume.affine is None or len(size) != 3:
        return None
    slices = HeldSlices(volume)
    to_source = np.zeros((4, 4))  # index of the result -> index of the volume
    to_source[3, 3] = 1
    targets_mm = spacing_mm or (None,) * len(size)
    for number, (axis, reverse) in enumerate(zip(*nearest_axes(volume.affine), strict=True)):
        before, after = slices.shape[axis], size[number]
        scale = _scale(slices, axis, after, targets_mm[number])
        first = (before - (after - 1) * scale - 1) / 2
        to_source[axis, number] = -scale if reverse else scale
        to_source[axis, 3] = before - 1 - first if reverse else first
    return np.asarray(volume.affine @ to_source)


def nearest_axes(affine: Array | None) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Give for each of R, A and S the volume's axis that runs closest along it, and whether it runs the other way."""
    if affine is None:
        return (0, 1, 2), (False, False, False)
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    order = max(permutations(range(3)), key=lambda axes: sum(abs(directions[world, axis]) for world, axis in enumerate(axes)))
    return order, tuple(bool(directions[world, axis] < 0) for world, axis in enumerate(order))


def _axes(slices: Slices, size: tuple[int, ...], spacing_mm: tuple[float, ...] | None) -> tuple[Axis, Axis, Axis]:
    """Give how i, j and k are resampled."""
    flat = len(size) == 2
    order, reverse = (DISPLAY_ORDER[:2], (False, False)) if flat else nearest_axes(slices.affine)
    axes = {2: axis_of(1, 1, 1.0, False)} if flat else {}
    targets_mm = spacing_mm or (None,) * len(size)
    for number, axis in enumerate(order):
        scale = _scale(slices, axis, size[number], targets_mm[number])
        axes[axis] = axis_of(slices.shape[axis], size[number], scale, reverse[number])
    return axes[0], axes[1], axes[2]


def _scale(slices: Slices, axis: int, after: int, spacing_mm: float | None) -> float:
    """Give how many pixels of the volume an output pixel spans."""
    if spacing_mm is None:
        return float(slices.shape[axis] / after)
    assert slices.spacing_mm is not None
    return spacing_mm / slices.spacing_mm[axis]


def _prepared_planes(slices: Slices, axes: tuple[Axis, Axis, Axis], window: Window, channels: int) -> Array:
    """Window an image and resample it, slab by slab: float16 (K, M of i, M of j, M of k); K is 3 for colour kept, else 1.

    Each slab is laid out afresh, so the result does not depend on how the values lie in memory.
    """
    along_i, along_j, along_k = axes

    def resampled(part: slice) -> Array:
        with room() as lent:
            values, padding = slices.slab(part, lent)
            windowed = (_windowed(plane, padding, window, lent) for plane in _planes(values, channels))
            return np.stack([resample_slices(plane, along_j, along_i) for plane in windowed])

    within = np.concatenate(in_threads(resampled, slices.parts()), axis=1)  # (K, k, M of j, M of i)
    low, high = window
    scale = np.float32(1 / (high - low) if high > low else 1)

    def finished(rows: slice) -> Array:
        result = np.stack([resample_across(plane[:, rows], along_k) for plane in within])  # (K, M of k, rows, M of i)
        result *= scale
        np.clip(result, 0, 1, out=result)
        return result.astype(np.float16)

    shares = [slice(start, start + ROWS_AT_ONCE) for start in range(0, along_j.after, ROWS_AT_ONCE)]
    return np.concatenate(in_threads(finished, shares), axis=2).transpose(0, 3, 2, 1)


def _planes(values: Array, channels: int) -> list[Array]:
    """Give the images (k, j, i) to resample: the only one, the luminance of colour, or its three channels."""
    if values.ndim == 3:
        return [values]
    if channels == 3:
        return [values[..., channel] for channel in range(3)]
    return [np.asarray(sum(np.float32(share) * values[..., channel] for channel, share in enumerate(LUMINANCE)))]


def _windowed(values: Array, padding: Array | None, window: Window, lent: Room) -> Array:
    """Write values above the window's low end, clipped at its width, into float32 in C order; padding is the low end."""
    low, high = window
    buffer = lent.array("windowed", values.shape, np.dtype(np.float32))
    if _is_short(values.dtype, window):  # the same bits with half the memory to go through
        ends = np.iinfo(values.dtype)
        clipped = lent.array("clipped", values.shape, values.dtype)
        np.clip(values, max(int(low), ends.min), min(int(high), ends.max), out=clipped)
        np.subtract(clipped, np.float32(low), out=buffer)
    else:
        np.copyto(buffer, values, casting="unsafe")
        buffer -= np.float32(low)
        np.clip(buffer, 0, np.float32(max(high - low, 0)), out=buffer)
    if padding is not None:
        buffer[padding] = 0
    return buffer


def _is_short(kind: np.dtype[Any], window: Window) -> bool:
    """Tell whether values can be clipped as they are: short whole numbers, the window whole and among them."""
    if kind.kind not in "iu" or kind.itemsize > 2 or not all(float(end).is_integer() for end in window):
        return False
    low, high = window
    ends = np.iinfo(kind)
    return low <= high and low <= ends.max and high >= ends.min and max(abs(low), abs(high)) < EXACT


def own_window(volume: Volume) -> Window:
    """Give the window of an image that was given none."""
    values = volume.values
    if values.ndim == 4 and values.dtype.kind == "u":
        return 0.0, float(np.iinfo(values.dtype).max)
    kept = values[~volume.padding] if volume.padding is not None else values.ravel(order="K")
    if not kept.size:
        return 0.0, 1.0
    places = [(kept.size - 1) * percent / 100 for percent in PERCENTILES]
    below = [math.floor(place) for place in places]
    above = [min(rank + 1, kept.size - 1) for rank in below]
    ends = _order_statistics(kept.reshape(-1), [*below, *above]).astype(np.float32).astype(float)
    low, high = (ends[n] + (ends[n + 2] - ends[n]) * (places[n] - below[n]) for n in range(2))
    return float(low), float(high)


def _order_statistics(values: Array, ranks: Sequence[int]) -> Array:
    """Give the values of these ranks, counted from 0 at the smallest; short whole numbers are counted, not sorted."""
    if values.dtype.kind not in "iu" or values.dtype.itemsize > 2:
        return np.partition(values, ranks)[list(ranks)]
    lowest = np.iinfo(values.dtype).min
    counts = np.zeros(np.iinfo(values.dtype).max - lowest + 1, np.int64)
    for start in range(0, values.size, COUNTED):
        counts += np.bincount(values[start : start + COUNTED].astype(np.int64) - lowest, minlength=len(counts))
    return np.searchsorted(counts.cumsum(), ranks, side="right") + lowest
