"""Slices of a tilted gantry, put straight: each is moved within its plane, by linear interpolation, to its neighbours.

The planes of a tilted stack stand square to their normal, but each is shifted sideways against the one before; as an array it
is sheared. Moving every slice back by its shift gives the same world in a straight grid, wide enough to lose nothing.

Letters: i, j, k the axes of a volume; S its slices.
"""

import numpy as np

from medmm.types import Array

SHIFT_DECIMALS = 6
"""Of a pixel; positions are written with no more."""

WHOLE = 1 - 1e-6
"""Least share of a pixel that real pixels must have given, for it to be one itself."""


def straighten(values: Array, padding: Array | None, shifts: Array) -> tuple[Array, Array | None, tuple[int, int]]:
    """Put the slices of a tilted stack straight.

    Args:
        values: (i, j, k) or (i, j, k, 3).
        padding: (i, j, k) true where there is no measurement; None where there is none.
        shifts: (S, 2) of each slice along i and j against the straight stack, in pixels.

    Returns:
        Values as float32, and what of them is padding, what lies outside the slices included; and the index along i and j of
        the old grid at which the new one starts.
    """
    shifts = np.round(shifts, SHIFT_DECIMALS)  # a whole shift stays one
    first = np.floor(shifts.min(0)).astype(int)  # (2,)
    size = values.shape[:2] + np.ceil(shifts.max(0)).astype(int) - first
    result = np.zeros((*size, *values.shape[2:]), np.float32)
    weight = np.zeros((*size, values.shape[2]), np.float32)
    for number, shift in enumerate(shifts - first):
        real = np.ones(values.shape[:2], np.float32) if padding is None else (~padding[:, :, number]).astype(np.float32)
        plane = values[:, :, number]
        weight[:, :, number] = _moved(real, shift, size)
        result[:, :, number] = _moved(plane * (real if plane.ndim == 2 else real[..., None]), shift, size)
    missing = weight < WHOLE
    result[missing] = values.min()
    return result, missing if missing.any() else None, (int(first[0]), int(first[1]))


def _moved(plane: Array, shift: Array, size: Array) -> Array:
    """Lay a plane (i, j[, 3]) into a larger one of zeros, moved by a number of pixels >= 0 that need not be whole."""
    for axis in (0, 1):
        whole, part = int(shift[axis]), float(shift[axis] % 1)
        there = np.moveaxis(plane, axis, 0)
        moved = np.zeros((size[axis], *there.shape[1:]), np.float32)
        moved[whole : whole + len(there)] = (1 - part) * there
        if part:
            moved[whole + 1 : whole + 1 + len(there)] += part * there
        plane = np.moveaxis(moved, 0, axis)
    return plane
