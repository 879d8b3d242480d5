"""Siemens' mosaic: the slices of a volume as the tiles of one image.

The header states one position, that of the first pixel which one image as large as the whole mosaic would have, were it
centred on the first slice. Number and direction of the slices stand in the vendor's private CSA header only.

Source: nibabel, "DICOM mosaic" of its theory pages; dcm2niix agrees on the reference data.
"""

from __future__ import annotations

import warnings
from math import ceil, sqrt

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes
from medmm.readers.dicom_format import PixelFormat
from medmm.readers.dicom_frames import Frame, single_frame
from medmm.readers.dicom_keywords import MOSAIC_HEADER
from medmm.types import Array

PARALLEL_TOLERANCE = 1e-3
"""Largest deviation of the stated slice normal's cosine from 1: the two are written with different numbers of digits."""


def mosaic_frames(attributes: Attributes, stored: PixelFormat, sop_class: str) -> tuple[int, tuple[Frame, ...]]:
    """Give the tiles along a side of a mosaic, and a frame for each of its slices; tiles beyond the last slice are empty.

    Raises:
        Rejected: UNSUPPORTED where the private header is missing (it is taken out by de-identification); HEADER or MALFORMED
            where it contradicts the rest.
    """
    header = attributes.private(*MOSAIC_HEADER)
    spacing = attributes.number("SpacingBetweenSlices")
    if not header or spacing is None or spacing <= 0:
        raise Rejected(
            Code.UNSUPPORTED,
            attributes.where,
            "a mosaic whose slices nothing tells the place of",
            "the vendor's private header and SpacingBetweenSlices",
            "export it with private attributes, or as one slice an image",
        )
    count, stated = _slices(header, attributes.where)
    plane = single_frame(attributes, sop_class)
    assert plane.position_mm is not None
    assert plane.orientation is not None
    assert plane.spacing_mm is not None
    side = ceil(sqrt(count))
    if stored.frames != 1 or stored.rows % side or stored.columns % side:
        raise attributes.impossible("Rows or Columns", f"{stored.rows} x {stored.columns}", f"a multiple of {side} tiles")
    row, column = np.reshape(plane.orientation, (2, 3))
    normal = np.cross(row, column)
    cosine = float(normal @ stated)
    if abs(abs(cosine) - 1) > PARALLEL_TOLERANCE:
        raise attributes.impossible("the private slice normal", "a direction within the slices", "one across them")
    overhang = np.array((stored.columns, stored.rows)) * (1 - 1 / side) / 2  # columns, rows
    first = plane.position_mm + overhang[0] * plane.spacing_mm[1] * row + overhang[1] * plane.spacing_mm[0] * column
    positions = first + np.outer(np.arange(count) * spacing * np.sign(cosine), normal)  # (count, 3)
    part = (attributes.text("SOPInstanceUID"),)
    frames = tuple(
        Frame(
            index,
            tuple(map(float, position)),
            plane.orientation,
            plane.spacing_mm,
            spacing,
            plane.slope,
            plane.intercept,
            part,
        )
        for index, position in enumerate(positions)
    )
    return side, frames


def _slices(header: bytes, where: str) -> tuple[int, Array]:
    """Read the number of slices and the direction in which they follow each other, (3,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nibabel calls its DICOM part experimental, once, on import
        from nibabel.nicom import csareader

    try:
        tags = csareader.read(header)["tags"]
        (count,) = tags["NumberOfImagesInMosaic"]["items"]
        normal = np.array([float(value) for value in tags["SliceNormalVector"]["items"]])
    except Exception:  # noqa: BLE001 - the parser raises what broke: struct.error, KeyError, ValueError, ...
        count, normal = 0, np.zeros(0)
    if not isinstance(count, int) or count < 1 or normal.shape != (3,) or not np.isfinite(normal).all():
        found = "a private header that cannot be read"
        raise Rejected(Code.MALFORMED, where, found, "the slices of the mosaic", "export it as one slice an image")
    return count, normal
