"""How far apart pixels and slices of a series lie, from headers alone, whether or not they make one volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medmm.readers.dicom_geometry import DIRECTION_TOLERANCE, SAME_PLACE_MM
from medmm.readers.dicom_instance import Instance

DIGITS = 6
"""Decimals that are kept, in mm."""


def pixel_mm(instances: Sequence[Instance]) -> tuple[float, float] | None:
    """Give the smallest and the largest distance of pixels within the images; None where none is stated."""
    stated = {one for instance in instances for frame in instance.frames for one in frame.spacing_mm or ()}
    return (round(min(stated), DIGITS), round(max(stated), DIGITS)) if stated else None


def slice_mm(instances: Sequence[Instance]) -> float | None:
    """Give the median distance of neighbouring slices; None where fewer than two places are known.

    Images at the same place, such as those of several moments, count once; of several planes the first one counts.
    """
    frames = [frame for instance in instances for frame in instance.frames if frame.position_mm and frame.orientation]
    if len(frames) < 2:
        return None
    planes = np.array([frame.orientation for frame in frames])  # (S, 6)
    alike = np.abs(planes - planes[0]).max(axis=1) <= DIRECTION_TOLERANCE
    positions = np.array([frame.position_mm for frame in frames])[alike]  # (S, 3)
    steps = np.diff(np.sort(positions @ np.cross(planes[0, :3], planes[0, 3:])))
    steps = steps[steps >= SAME_PLACE_MM]
    return round(float(np.median(steps)), DIGITS) if len(steps) else None
