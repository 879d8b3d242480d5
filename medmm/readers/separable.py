"""Resampling along one axis at a time, by weight matrices.

Output centre c = (o + 1/2 - M/2) x scale + N/2, in input pixels, gathers the inputs i with the weights
max(0, 1 - |i + 1/2 - c| / max(scale, 1)), divided by their sum: a triangle as wide as two output pixels, so that every input
counts where the image shrinks (antialiasing), and plain linear interpolation where it grows. With scale = N / M that is what
torch.nn.functional.interpolate(mode="bilinear", antialias=True, align_corners=False) computes, and its extension to three axes.

Letters: N pixels along an axis before, M after; S slices; i, j, k the axes of a volume.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from medmm.types import Array

BAND_ROWS = 8
"""Output pixels that are computed at a time, over the inputs that they reach; most of the matrix is zero."""


class Band(NamedTuple):
    """Some rows of a weight matrix, over the inputs that they reach; `weights` is (rows, inputs)."""

    outputs: slice
    inputs: slice
    weights: Array


class Axis(NamedTuple):
    """How one axis is resampled: from N pixels to M."""

    before: int
    after: int
    bands: tuple[Band, ...]


def weight_matrix(before: int, after: int, scale: float) -> Array:
    """Give the (M, N) float32 weights of one axis, input and output centred on the same point.

    Args:
        before: N.
        after: M.
        scale: Input pixels that an output pixel spans; where it is N / M, the output covers the input exactly, otherwise it is
            cropped, or filled with rows of zero where an output centre lies outside.
    """
    centres = (np.arange(after) + 0.5 - after / 2) * scale + before / 2  # (M,)
    inputs = np.arange(before) + 0.5  # (N,)
    weights = np.maximum(0, 1 - np.abs(inputs - centres[:, None]) / max(scale, 1))  # (M, N)
    inside = (centres >= 0) & (centres <= before)
    weights *= inside[:, None] / np.maximum(weights.sum(1, keepdims=True), np.finfo(float).tiny)
    return np.asarray(weights, np.float32)


@lru_cache(maxsize=256)
def axis_of(before: int, after: int, scale: float, reverse: bool) -> Axis:
    """Give the resampling of one axis; `reverse` turns it round, so that the first output pixel comes from the last inputs."""
    matrix = weight_matrix(before, after, scale)
    matrix = np.ascontiguousarray(matrix[:, ::-1]) if reverse else matrix
    bands = []
    for start in range(0, after, BAND_ROWS):
        rows = matrix[start : start + BAND_ROWS]
        used = np.flatnonzero(rows.any(0))
        inputs = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0)
        bands.append(Band(slice(start, start + BAND_ROWS), inputs, rows[:, inputs]))
    return Axis(before, after, tuple(bands))


def resample_slices(slices: Array, along_j: Axis, along_i: Axis) -> Array:
    """Resample slices, the axis of the stronger reduction first: (S, N of j, N of i) -> (S, M of j, M of i) float32."""
    if along_i.after * along_j.before < along_j.after * along_i.before:
        columns = _along_middle(slices.swapaxes(1, 2), along_i)
        return _along_middle(columns.swapaxes(1, 2), along_j)
    rows = _along_middle(slices, along_j)
    return _along_middle(rows.swapaxes(1, 2), along_i).swapaxes(1, 2)


def resample_across(slices: Array, along_k: Axis) -> Array:
    """Resample a stack across its slices: (N of k, j, i) -> (M of k, j, i) float32."""
    flat = slices.reshape(1, len(slices), -1)
    return _along_middle(flat, along_k).reshape(-1, *slices.shape[1:])


def _along_middle(values: Array, axis: Axis) -> Array:
    result = np.empty((len(values), axis.after, values.shape[2]), np.float32)
    for band in axis.bands:
        np.matmul(band.weights, values[:, band.inputs], out=result[:, band.outputs])
    return result
