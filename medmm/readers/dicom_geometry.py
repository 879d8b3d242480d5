"""From frames to volumes: which frames share one, in which order, and where it lies in the patient.

Letters: S slices of a stack.

Source: DICOM PS3.3, section C.7.6.2.1.1: a pixel's place is the position of the first pixel, plus its column number x column
spacing along the row's direction, plus its row number x row spacing down the column's direction; axes run to the left,
posterior and superior (LPS). Volumes want right, anterior and superior (RAS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_frames import Frame
from medmm.readers.dicom_instance import Instance
from medmm.readers.dicom_keywords import MOMENT_KEYWORDS, PART_KEYWORDS
from medmm.types import Array

VALUES_LIMIT = 1 << 30
"""Most values of one volume: 1024 slices of 1024 x 1024. Checked before any memory is taken."""

PLANES_LIMIT = 1000
"""Most differently turned or spaced planes in one series; each image is held against each of them."""

DIRECTION_TOLERANCE = 2e-5
"""Largest difference of direction cosines within a volume: it moves the corner of a 1000-pixel image by 0.02 pixels."""

STEP_TOLERANCE = 0.02
"""Largest deviation of a slice from its even place, in steps. A position rounded to 0.01 mm at 0.6 mm steps makes 0.01."""

SAME_PLACE_MM = 1e-3
"""Slices closer than this stand at one position."""

TILT_TOLERANCE = 0.25
"""Largest sideways shift of a slice against the first one, in pixels."""

Member: TypeAlias = tuple[Instance, Frame]
"""A frame with the file that holds it."""

RAS_FROM_LPS = np.diag((-1.0, -1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Stack:
    """Frames of one volume, in order along the normal of their planes.

    Attributes:
        members: (S,) each frame with the file that holds it.
        affine: (4, 4) from (column, row, slice) to RAS millimetres; None where the files state no place in the patient.
        spacing_mm: Along columns, rows and slices; None where the files state no physical size.
        shifts: (S, 2) how far each slice lies beside the place that the affine gives it, in pixels along columns and rows; None
            but for a tilted gantry.
    """

    members: tuple[Member, ...]
    affine: Array | None
    spacing_mm: tuple[float, float, float] | None
    shifts: Array | None = None


def arrange(instances: Sequence[Instance]) -> list[Stack]:
    """Put every frame into the volume it belongs to.

    Frames without a place in the patient, which follow each other in time, make one volume a file, in their stored order.

    Raises:
        Rejected: EMPTY, MIXED_PATIENTS, DUPLICATE, GAP or TOO_LARGE (values, or planes).
    """
    _check_identity(instances)
    return [_stack(group) for group in _groups(instances)]


def one_stack(instances: Sequence[Instance]) -> Stack:
    """Give the only volume of a series.

    Raises:
        Rejected: MIXED_SERIES where there are several; the codes of `arrange`.
    """
    _check_identity(instances)
    groups = _groups(instances)
    if len(groups) > 1:
        found = f"{len(groups)} groups of images that differ in {', '.join(_differences(groups)) or 'nothing but their file'}"
        raise Rejected(Code.MIXED_SERIES, "the series", found, "images that share one volume", "give each group on its own")
    return _stack(groups[0])


def refuse_tilt(stack: Stack) -> None:
    """Refuse a stack whose slices are shifted against each other.

    Raises:
        Rejected: TILT.
    """
    if stack.shifts is None or stack.spacing_mm is None:
        return
    most = np.abs(stack.shifts * stack.spacing_mm[:2]).max()
    found = f"slices shifted sideways by up to {most:.2f} mm"
    where, expected = f"the {len(stack.members)} slices", "slices straight above each other"
    raise Rejected(Code.TILT, where, found, expected, "set tilt: resample, or correct the gantry tilt first")


def _check_identity(instances: Sequence[Instance]) -> None:
    if not instances:
        raise Rejected(Code.EMPTY, "the series", "no image", "at least one image", "check the folder")
    if len({instance.patient_id for instance in instances}) > 1:
        found = "images of several patients"
        raise Rejected(Code.MIXED_PATIENTS, "the series", found, "images of one patient", "sort the files by patient")
    nameless = next((instance for instance in instances if not instance.series_uid), None)
    if nameless is not None and len(instances) > 1:
        found = "no SeriesInstanceUID in one of several files"
        raise Rejected(Code.HEADER, nameless.where, found, "the series that it belongs to", "give the file alone")


def _groups(instances: Sequence[Instance]) -> list[list[Member]]:
    groups: dict[object, list[list[Member]]] = {}
    order: list[list[Member]] = []
    for instance in instances:
        for frame in instance.frames:
            place = instance.where if frame.position_mm is None else None
            siblings = groups.setdefault((instance.part, instance.format.samples, frame.part, place), [])
            group = next((group for group in siblings if _same_plane(group[0][1], frame)), None)
            if group is None:
                if len(siblings) == PLANES_LIMIT:
                    raise Rejected(
                        Code.TOO_LARGE,
                        "the series",
                        "more planes than the limit",
                        f"at most {PLANES_LIMIT}",
                        "split the series",
                    )
                group = []
                siblings.append(group)
                order.append(group)
            group.append((instance, frame))
    return [part for group in order for part in _by_moment(group)]


def _by_moment(group: list[Member]) -> list[list[Member]]:
    """Part images that were taken again and again at the same places (time, cardiac phase), in their order of time.

    Only whole volumes are parted: each with two places at least, none of them twice, and all with the same places.
    """
    first = group[0][1]
    if first.position_mm is None or first.orientation is None:
        return [group]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    along = (np.array([frame.position_mm for _, frame in group]) @ normal).tolist()
    if _are_apart(sorted(along)):
        return [group]
    depths = {id(frame): depth for (_, frame), depth in zip(group, along, strict=True)}
    for number in range(len(MOMENT_KEYWORDS)):
        moments: dict[str, list[Member]] = {}
        for instance, frame in group:
            moments.setdefault(instance.moment[number], []).append((instance, frame))
        places = [sorted(depths[id(frame)] for _, frame in members) for members in moments.values()]
        same = len({len(part) for part in places}) == 1 and np.ptp(places, axis=0).max() < SAME_PLACE_MM
        if same and len(places[0]) > 1 and all(map(_are_apart, places)):
            return [moments[moment] for moment in sorted(moments, key=lambda text: (len(text), text))]
    return [group]


def _are_apart(depths: Sequence[float]) -> bool:
    """Tell whether no two of some sorted places are the same."""
    return len(depths) < 2 or float(np.diff(depths).min()) >= SAME_PLACE_MM


def _same_plane(first: Frame, second: Frame) -> bool:
    if first.orientation == second.orientation and first.spacing_mm == second.spacing_mm:
        return True
    if first.orientation is None or second.orientation is None or first.spacing_mm is None or second.spacing_mm is None:
        return True
    turned = max(abs(a - b) for a, b in zip(first.orientation, second.orientation, strict=True))
    scaled = max(abs(a / b - 1) for a, b in zip(first.spacing_mm, second.spacing_mm, strict=True))
    return max(turned, scaled) <= DIRECTION_TOLERANCE


def _differences(groups: Sequence[Sequence[Member]]) -> list[str]:
    """Name the attributes in which groups differ from the first."""
    first_instance, first = groups[0][0]
    named = set()
    for instance, frame in (group[0] for group in groups[1:]):
        named |= {key for key, a, b in zip(PART_KEYWORDS, first_instance.part, instance.part, strict=True) if a != b}
        named |= {"ImageOrientationPatient or PixelSpacing"} if not _same_plane(first, frame) else set()
        named |= {key for key, a, b in zip(MOMENT_KEYWORDS, first_instance.moment, instance.moment, strict=True) if a != b}
        named |= {"frame type, stack or dimension"} if first.part != frame.part else set()
    return sorted(named)


def _stack(group: Sequence[Member]) -> Stack:
    instance, first = group[0]
    stored = instance.format
    values = len(group) * stored.rows * stored.columns * stored.samples // instance.tiles**2
    if values > VALUES_LIMIT:
        raise Rejected(Code.TOO_LARGE, "the series", f"{values} values", f"at most {VALUES_LIMIT}", "check Rows and Columns")
    if first.position_mm is None or first.orientation is None or first.spacing_mm is None:
        between_rows, between_columns = first.spacing_mm or (0.0, 0.0)
        spacing = (between_columns, between_rows, first.thickness_mm) if first.spacing_mm and len(group) == 1 else None
        return Stack(tuple(group), None, spacing)
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    normal /= np.linalg.norm(normal)
    positions = np.array([frame.position_mm for _, frame in group])  # (S, 3)
    order = np.argsort(positions @ normal, kind="stable")
    members = tuple(group[index] for index in order)
    positions = positions[order]
    step, shifts = normal * first.thickness_mm, None
    if len(group) > 1:
        _check_steps(positions @ normal)
        shifts = _tilt_shifts(positions, normal, first)
        straight = shifts is None
        step = (positions[-1] - positions[0] if straight else normal * np.ptp(positions @ normal)) / (len(group) - 1)
    affine = _affine(first, positions[0], step) if first.in_patient else None
    spacing_mm = (first.spacing_mm[1], first.spacing_mm[0], float(np.linalg.norm(step)))
    return Stack(members, affine, spacing_mm, shifts)


def _check_steps(depths: Array) -> None:
    """Refuse stacks whose slices are not evenly spaced.

    Args:
        depths: (S,) places along the normal, sorted; S >= 2.
    """
    count = len(depths)
    steps = np.diff(depths)  # (S - 1,)
    closest = int(steps.argmin())
    if steps[closest] < SAME_PLACE_MM:
        where = f"slices {closest + 1} and {closest + 2} of {count}"
        found = f"one position, as {int((steps < SAME_PLACE_MM).sum())} times in the series"
        raise Rejected(Code.DUPLICATE, where, found, "a position for each slice", "give one of the repeated slices only")
    even = np.linspace(depths[0], depths[-1], count)  # (S,)
    if np.abs(depths - even).max() > STEP_TOLERANCE * (depths[-1] - depths[0]) / (count - 1):
        worst = int(np.abs(steps - np.median(steps)).argmax())
        where = f"slices {worst + 1} and {worst + 2} of {count}"
        found = f"{steps[worst]:.2f} mm between them"
        raise Rejected(Code.GAP, where, found, f"{np.median(steps):.2f} mm as elsewhere", "export the missing slices")


def _tilt_shifts(positions: Array, normal: Array, frame: Frame) -> Array | None:
    """Give how far slices lie beside the first one, (S, 2) in pixels along columns and rows; None where it is little."""
    assert frame.orientation is not None
    assert frame.spacing_mm is not None
    depths = positions @ normal  # (S,)
    sideways = positions - positions[0] - np.outer(depths - depths[0], normal)  # (S, 3)
    if np.linalg.norm(sideways, axis=1).max() <= TILT_TOLERANCE * min(frame.spacing_mm):
        return None
    directions = np.reshape(frame.orientation, (2, 3))
    return np.asarray(sideways @ directions.T / frame.spacing_mm[::-1])


def _affine(frame: Frame, origin: Array, step: Array) -> Array:
    assert frame.orientation is not None
    assert frame.spacing_mm is not None
    affine = np.eye(4)
    affine[:3, 0] = np.multiply(frame.orientation[:3], frame.spacing_mm[1])
    affine[:3, 1] = np.multiply(frame.orientation[3:], frame.spacing_mm[0])
    affine[:3, 2] = step
    affine[:3, 3] = origin
    return RAS_FROM_LPS @ affine
