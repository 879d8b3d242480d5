"""DICOM series and single images: right, or refused; never silently wrong.

Files pass through `dicom_file` (header, by way of `dicom_walk`), `dicom_instance` (checked image), `dicom_geometry` (volumes)
and, when its slices are asked for, `dicom_slices` over `dicom_pixels` (values; `dicom_tilt` puts those of a tilted gantry
straight).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_file import Header, read_header
from medmm.readers.dicom_geometry import Stack, arrange, one_stack, refuse_tilt
from medmm.readers.dicom_instance import Instance, Instances, instance_of
from medmm.readers.dicom_slices import StackSlices
from medmm.readers.dicom_tilt import straighten
from medmm.readers.reading import AS_STORED, Reading
from medmm.readers.slices import HeldSlices, Slices
from medmm.types import Array, Volume


def read_volumes(files: Sequence[Path], reading: Reading = AS_STORED) -> list[Volume]:
    """Read every volume that DICOM files hold; objects without an image are left out where others have one.

    Raises:
        Rejected: One file or volume cannot be read right; the codes of `instance_of`, `arrange` and `StackSlices`.
    """
    check = Instances(reading)
    instances: list[Instance] = []
    other: list[Rejected] = []
    for number, file in enumerate(files, start=1):
        try:
            instances.append(check.instance(_header(file, number, len(files))))
        except Rejected as rejected:
            if rejected.code is not Code.NOT_AN_IMAGE:
                raise
            other.append(rejected)
    if other and not instances:
        raise other[0]
    return [_slices(stack, reading).volume() for stack in arrange(instances)]


def open_volume(files: Sequence[Path], reading: Reading = AS_STORED) -> Slices:
    """Check the headers of a series; its pixels are decoded when its slices are asked for.

    Raises:
        Rejected: MIXED_SERIES where the files hold several volumes; NOT_AN_IMAGE where one holds none; otherwise as
            `read_volumes`.
    """
    check = Instances(reading)
    instances = [check.instance(_header(file, number, len(files))) for number, file in enumerate(files, start=1)]
    return _slices(one_stack(instances), reading)


def open_each(files: Sequence[Path], reading: Reading, most: int) -> list[Slices]:
    """Check the headers of files that are each an image of their own, and open some of them.

    They stand in the order of their series and, within one, of their places along its normal, or of their instance numbers;
    those that are opened lie evenly spaced in it. The names of the files are of no matter.

    Args:
        files: Of one patient.
        reading: As in `read_volumes`.
        most: How many are opened.

    Raises:
        Rejected: MIXED_PATIENTS; or one of the files cannot be read right.
    """
    headers = [_header(file, number, len(files)) for number, file in enumerate(files, start=1)]
    instances = [instance_of(header, reading) for header in headers]
    if len({instance.patient_id for instance in instances}) > 1:
        found = "images of several patients"
        raise Rejected(Code.MIXED_PATIENTS, "the images", found, "images of one patient", "sort the files by patient")
    places = [_place(header, instance) for header, instance in zip(headers, instances, strict=True)]
    order = sorted(range(len(files)), key=places.__getitem__)
    return [_slices(one_stack([instances[order[i]]]), reading) for i in evenly(len(files), most)]


def evenly(count: int, most: int) -> list[int]:
    """Give the places of all of `count` things, or of `most` that lie evenly spaced among them."""
    taken = min(count, most)
    return [int((place + 0.5) * count / taken) for place in range(taken)]


def _place(header: Header, instance: Instance) -> tuple[str, str, float, int, str]:
    """Give what puts images of several series in order."""
    text, frame = header.attributes.text, instance.frames[0]
    along = 0.0
    direction = ""
    if frame.position_mm is not None and frame.orientation is not None:
        normal = np.cross(frame.orientation[:3], frame.orientation[3:])
        along, direction = round(float(np.dot(normal, frame.position_mm)), 3), str(np.round(normal, 2) + 0.0)
    number = text("InstanceNumber").strip()
    return instance.series_uid, direction, along, int(number) if number.isdecimal() else 0, text("SOPInstanceUID")


def problem_of(instances: Sequence[Instance]) -> Rejected | None:
    """Tell from headers alone why `open_volume` would refuse a series; None where nothing speaks against it."""
    try:
        refuse_tilt(one_stack(instances))
    except Rejected as rejected:
        return rejected
    return None


def _header(file: Path, number: int, count: int) -> Header:
    return read_header(file, f"file {number} of {count}")


def _slices(stack: Stack, reading: Reading) -> Slices:
    if reading.tilt == "refuse":
        refuse_tilt(stack)
    slices = StackSlices(stack)
    return slices if stack.shifts is None else HeldSlices(_straight(slices.volume(), stack.shifts))


def _straight(volume: Volume, shifts: Array) -> Volume:
    values, padding, first = straighten(volume.values, volume.padding, shifts)
    affine = None if volume.affine is None else volume.affine.copy()
    if affine is not None:
        affine[:3, 3] += affine[:3, :2] @ first
    return replace(volume, values=values, affine=affine, padding=padding)
