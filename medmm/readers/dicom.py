"""DICOM series and single images: right, or refused; never silently wrong.

Files pass through `dicom_file` (header, by way of `dicom_walk`), `dicom_instance` (checked image), `dicom_geometry` (volumes)
and `dicom_pixels` (values; `dicom_tilt` puts those of a tilted gantry straight).
"""

from collections.abc import Sequence
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers.dicom_file import read_header
from medmm.readers.dicom_geometry import Stack, arrange, one_stack, refuse_tilt
from medmm.readers.dicom_instance import Instance, instance_of
from medmm.readers.dicom_pixels import volume_values
from medmm.readers.dicom_tilt import straighten
from medmm.readers.reading import AS_STORED, Reading
from medmm.types import Volume


def read_volumes(files: Sequence[Path], reading: Reading = AS_STORED) -> list[Volume]:
    """Read every volume that DICOM files hold; objects without an image are left out where others have one.

    Raises:
        Rejected: One file or volume cannot be read right; the codes of `instance_of`, `arrange` and `volume_values`.
    """
    instances: list[Instance] = []
    other: list[Rejected] = []
    for number, file in enumerate(files, start=1):
        try:
            instances.append(_instance(file, number, len(files), reading))
        except Rejected as rejected:
            if rejected.code is not Code.NOT_AN_IMAGE:
                raise
            other.append(rejected)
    if other and not instances:
        raise other[0]
    return [_volume(stack, reading) for stack in arrange(instances)]


def read_volume(files: Sequence[Path], reading: Reading = AS_STORED) -> Volume:
    """Read the one volume of a series.

    Raises:
        Rejected: MIXED_SERIES where the files hold several; NOT_AN_IMAGE where one holds none; otherwise as `read_volumes`.
    """
    instances = [_instance(file, number, len(files), reading) for number, file in enumerate(files, start=1)]
    return _volume(one_stack(instances), reading)


def problem_of(instances: Sequence[Instance]) -> Rejected | None:
    """Tell from headers alone why `read_volume` would refuse a series; None where nothing speaks against it."""
    try:
        refuse_tilt(one_stack(instances))
    except Rejected as rejected:
        return rejected
    return None


def _instance(file: Path, number: int, count: int, reading: Reading) -> Instance:
    return instance_of(read_header(file, f"file {number} of {count}"), reading)


def _volume(stack: Stack, reading: Reading) -> Volume:
    if reading.tilt == "refuse":
        refuse_tilt(stack)
    values, padding = volume_values(stack.members)
    affine = stack.affine
    if stack.shifts is not None and affine is not None:
        values, padding, first = straighten(values, padding, stack.shifts)
        affine = affine.copy()
        affine[:3, 3] += affine[:3, :2] @ first
    return Volume(values, affine, stack.spacing_mm, stack.members[0][0].modality, padding)
