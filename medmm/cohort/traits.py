"""What headers say of a series that a choice among the series of a study can rest on.

Source: DICOM PS3.3, sections C.7.3.1 (general series), C.7.6.1 (general image), C.7.6.2 (image plane), C.7.6.4 (contrast and
bolus), C.8.2.1 (CT image), C.7.6.16 (functional groups).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from medmm.errors import Rejected
from medmm.readers.dicom_attributes import Attributes
from medmm.readers.dicom_instance import Instance

Plane: TypeAlias = Literal["sagittal", "coronal", "axial"]

PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")
"""The plane whose normal runs along x, y and z of the patient."""

LOCALIZER = "LOCALIZER"
"""Value 3 of Image Type of a scout."""

NO_AGENT = frozenset({"", "0", "n", "no", "none", "nil", "no contrast", "non contrast", "without", "without contrast"})
"""What stands in Contrast/Bolus Agent, in lower case, where no agent was given."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What one file says of its series, or one plane of a file that holds several.

    Attributes:
        description: Series Description; "" where there is none.
        body_part: Body Part Examined; "" where there is none.
        image_type: Values of Image Type.
        kernel: Values of Convolution Kernel.
        thickness_mm: Slice Thickness; None where the file states none that is above zero.
        plane: Nearest to the image's; None where the file states no orientation.
        contrast: Whether a contrast agent is named.
    """

    description: str
    body_part: str
    image_type: tuple[str, ...]
    kernel: tuple[str, ...]
    thickness_mm: float | None
    plane: Plane | None
    contrast: bool

    @property
    def localizer(self) -> bool:
        """Whether it is a scout, from which other images are planned."""
        return LOCALIZER in {word.upper() for word in self.image_type}


def traits_of(attributes: Attributes, instance: Instance | None) -> frozenset[Traits]:
    """Give what a header says, once for each different plane or thickness in it.

    Args:
        attributes: Of the file.
        instance: The image that it describes; None where it cannot be read right.
    """
    names = ("Shared", "PerFrame") if instance is not None else ()
    groups = [group for name in names for group in attributes.items(f"{name}FunctionalGroupsSequence")]
    thicknesses = {_thickness(one) for one in _within(attributes, groups, "PixelMeasuresSequence", "SliceThickness")}
    kernels = {
        one.words("ConvolutionKernel") for one in _within(attributes, groups, "CTReconstructionSequence", "ConvolutionKernel")
    }
    contrast = _contrast(attributes)
    return frozenset(
        Traits(
            description=attributes.text("SeriesDescription"),
            body_part=attributes.text("BodyPartExamined"),
            image_type=attributes.words("ImageType"),
            kernel=kernel,
            thickness_mm=thickness_mm,
            plane=plane,
            contrast=contrast,
        )
        for kernel in kernels or {()}
        for thickness_mm in thicknesses or {None}
        for plane in _planes(attributes, instance)
    )


def _within(attributes: Attributes, groups: list[Attributes], sequence: str, keyword: str) -> Iterator[Attributes]:
    """Give every place in a header, be it plain or enhanced, that holds an attribute."""
    for place in (attributes, *(item for group in groups for item in group.items(sequence))):
        if place.has(keyword):
            yield place


def _thickness(attributes: Attributes) -> float | None:
    try:
        value = attributes.number("SliceThickness")
    except Rejected:
        return None
    return value if value is not None and value > 0 else None


def _contrast(attributes: Attributes) -> bool:
    return attributes.text("ContrastBolusAgent").lower() not in NO_AGENT or bool(attributes.items("ContrastBolusAgentSequence"))


def _planes(attributes: Attributes, instance: Instance | None) -> set[Plane | None]:
    if instance is not None:
        return {None if frame.orientation is None else nearest_plane(frame.orientation) for frame in instance.frames}
    try:
        orientation = attributes.vector("ImageOrientationPatient", 6)
    except Rejected:
        return {None}
    return {None if orientation is None else nearest_plane(orientation)}


def nearest_plane(orientation: tuple[float, ...]) -> Plane:
    """Name the plane whose normal is nearest to that of an image.

    Args:
        orientation: (6,) Image Orientation (Patient): cosines along a row, then down a column.
    """
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    normal = (abs(b * f - c * e), abs(c * d - a * f), abs(a * e - b * d))  # in plain numbers: this runs for every file
    return PLANES[normal.index(max(normal))]
