"""DICOM series and single images: right, or refused; never silently wrong.

Files pass through `dicom_file` (header, by way of `dicom_walk`), `dicom_instance` (checked image), `dicom_geometry` (volumes)
and, when its slices are asked for, `dicom_slices` over `dicom_pixels` (values; `dicom_tilt` puts those of a tilted gantry
straight).
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers.dicom_file import Header, read_header
from medmm.readers.dicom_geometry import Stack, arrange, one_stack, refuse_tilt
from medmm.readers.dicom_instance import Instance, Instances
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
