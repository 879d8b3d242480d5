"""The frames of an image file: their place in the patient, and how their stored values become real ones.

A plain file states both once; an enhanced one for all frames (shared functional groups) or for each (per-frame).

Source: DICOM PS3.3, sections C.7.6.2 (image plane), C.7.6.16 (multi-frame functional groups), C.7.6.17 (dimensions).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import mul

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes, tag_of
from medmm.readers.dicom_presentation import Presentation

ENHANCED_PLACED_CLASSES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{suffix}"
    for suffix in (
        "2.1",  # enhanced CT
        "2.2",  # legacy converted enhanced CT
        "4.1",  # enhanced MR
        "4.3",  # enhanced MR in colour
        "4.4",  # legacy converted enhanced MR
        "13.1.1",  # X-ray 3D angiography
        "13.1.2",  # X-ray 3D craniofacial
        "13.1.3",  # breast tomosynthesis
        "30",  # parametric map
        "128.1",  # legacy converted enhanced PET
        "130",  # enhanced PET
    )
)
"""Enhanced objects whose frames each state their place in the patient."""

ENHANCED_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.2"
"""Its frames state their place in the volume that was scanned; where that lies in the patient is rarely known."""

ENHANCED_CLASSES = ENHANCED_PLACED_CLASSES | {
    ENHANCED_ULTRASOUND,
    "1.2.840.10008.5.1.4.1.1.7.2",  # multi-frame secondary capture of grey bytes
    "1.2.840.10008.5.1.4.1.1.7.3",  # of grey words
    "1.2.840.10008.5.1.4.1.1.7.4",  # of colour
    "1.2.840.10008.5.1.4.1.1.12.1.1",  # enhanced X-ray angiography
    "1.2.840.10008.5.1.4.1.1.12.2.1",  # enhanced X-ray fluoroscopy
    "1.2.840.10008.5.1.4.1.1.13.1.4",  # breast projections, each from another angle
    "1.2.840.10008.5.1.4.1.1.13.1.5",
}

PLAIN_MOVING_CLASSES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{suffix}"
    for suffix in (
        "3.1",  # ultrasound
        "3",  # ultrasound, retired
        "6",  # ultrasound image, retired
        "6.1",  # ultrasound image, which should hold one
        "7",  # secondary capture
        "7.1",  # of bits
        "7.2",
        "7.3",
        "7.4",
        "12.1",  # X-ray angiography
        "12.2",  # X-ray fluoroscopy
        "12.3",  # biplane angiography, retired
        "77.1.1.1",  # endoscopy
        "77.1.1.1.1",  # video of it
        "77.1.2.1",  # microscopy
        "77.1.2.1.1",
        "77.1.4.1",  # photography
        "77.1.4.1.1",
        "77.1.5.1",  # ophthalmic photography
        "77.1.5.2",
    )
)
"""Objects of several frames that follow each other in time, with no place in the patient."""

PLACED_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.{suffix}" for suffix in ("2", "4", "128"))
"""CT, MR and PET images, which the standard obliges to state their place."""

RESCALED_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.{suffix}" for suffix in ("2", "2.1", "2.2", "128", "128.1", "130"))
"""CT and PET images, whose stored values mean nothing without slope and intercept."""

RESCALING_LIMIT = 1e28
"""Largest slope or intercept with which any stored value of 32 bits stays within float32."""

UNIT_TOLERANCE = 1e-3
"""Direction cosines are written with few digits, so their length is 1 only roughly."""

PATIENT_PLACE = ("PlanePositionSequence", "PlaneOrientationSequence", "Patient")
VOLUME_PLACE = ("PlanePositionVolumeSequence", "PlaneOrientationVolumeSequence", "Volume")
"""Functional groups of a frame's place, and how the attributes in them end (sections C.7.6.16.2 and C.8.24.6)."""

PLACE_DIMENSIONS = ("ImagePositionPatient", "ImagePositionVolume", "StackID", "InStackPositionNumber")
"""Dimensions that run through the place of a frame; frames that differ in any other are of different volumes."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a file.

    Attributes:
        index: Which frame of its file, from 0.
        position_mm: (3,) centre of the first pixel, axes to the left, posterior and superior; None where there is no place.
        in_patient: Whether place and orientation are those in the patient, not only in the volume that was scanned.
        orientation: (6,) direction cosines along a row, then down a column; None where there is no place.
        spacing_mm: (2,) between rows, then between columns; None where the file states no physical size.
        thickness_mm: Distance to the next slice as far as one image can tell; 1.0 where the file does not say.
        slope, intercept: Real value = stored value x slope + intercept.
        part: What else frames of one volume share.
        presentation: How values are shown; None where real values are asked for.
    """

    index: int
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, ...] | None
    thickness_mm: float
    slope: float
    intercept: float
    part: tuple[object, ...] = ()
    in_patient: bool = True
    presentation: Presentation | None = None


def single_frame(attributes: Attributes, sop_class: str) -> Frame:
    """Give the one frame of a plain image file.

    Raises:
        Rejected: HEADER where place, size or rescaling are missing where they must stand, or impossible.
    """
    position = attributes.vector("ImagePositionPatient", 3)
    orientation = attributes.vector("ImageOrientationPatient", 6)
    spacing = attributes.vector("PixelSpacing", 2)
    placed = position is not None and orientation is not None and spacing is not None
    if sop_class in PLACED_CLASSES:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            if not attributes.numbers(keyword):
                raise attributes.missing(keyword)
    if not placed:
        position = orientation = None
        stated = (spacing, attributes.vector("ImagerPixelSpacing", 2))
        spacing = next((one for one in stated if one is not None and any(one)), None)  # zeros state nothing
    slope, intercept = _rescaling(attributes, sop_class)
    frame = Frame(0, position, orientation, spacing, _thickness(attributes), slope, intercept)
    _check_plane(attributes, frame)
    return frame


def moving_frames(attributes: Attributes, sop_class: str, count: int) -> tuple[Frame, ...]:
    """Give the frames of an object that follow each other in time, without a place.

    Raises:
        Rejected: HEADER where the rescaling is incomplete or impossible.
    """
    slope, intercept = _rescaling(attributes, sop_class)
    return tuple(Frame(index, None, None, None, 1.0, slope, intercept) for index in range(count))


def functional_frames(attributes: Attributes, count: int) -> tuple[Frame, ...]:
    """Give the frames of an enhanced object.

    Raises:
        Rejected: HEADER where a frame lacks its place, size or rescaling; MALFORMED where groups and frames differ in number.
    """
    if not attributes.has("PerFrameFunctionalGroupsSequence"):
        raise attributes.missing("PerFrameFunctionalGroupsSequence")
    shared = attributes.items("SharedFunctionalGroupsSequence")
    groups = attributes.items("PerFrameFunctionalGroupsSequence")
    if len(shared) > 1 or len(groups) != count:
        found = f"{len(groups)} functional groups for {count} frames"
        raise Rejected(Code.MALFORMED, attributes.where, found, "one for each frame", "export it again")
    dimensions = _dimensions(attributes)
    part = (attributes.text("ConcatenationUID") or attributes.text("SOPInstanceUID"),)
    sop_class = attributes.text("SOPClassUID")
    return tuple(
        _functional_frame(index, [group, *shared], dimensions, part, sop_class, attributes)
        for index, group in enumerate(groups)
    )


def functional_group(attributes: Attributes, index: int, sequence: str) -> Attributes:
    """Give the item of a functional group that holds for a frame of an enhanced object; the empty item where there is none."""
    groups = [attributes.items("PerFrameFunctionalGroupsSequence")[index], *attributes.items("SharedFunctionalGroupsSequence")]
    return _group(groups, sequence, attributes)


def _functional_frame(
    index: int, groups: list[Attributes], dimensions: list[int], part: tuple[str, ...], sop_class: str, top: Attributes
) -> Frame:
    measures = _group(groups, "PixelMeasuresSequence", top)
    content = _group(groups, "FrameContentSequence", top)
    values = content.numbers("DimensionIndexValues")
    slope, intercept = _rescaling(_group(groups, "PixelValueTransformationSequence", top), sop_class)
    in_patient = sop_class != ENHANCED_ULTRASOUND
    position_in, orientation_in, ending = PATIENT_PLACE if in_patient else VOLUME_PLACE
    position = _group(groups, position_in, top).vector(f"ImagePosition{ending}", 3)
    orientation = _group(groups, orientation_in, top).vector(f"ImageOrientation{ending}", 6)
    spacing = measures.vector("PixelSpacing", 2)
    if sop_class not in ENHANCED_PLACED_CLASSES and position is None and orientation is None:
        spacing = None
    elif position is None or orientation is None or spacing is None:
        raise top.missing("place or pixel spacing of a frame")
    if dimensions and max(dimensions) >= len(values):
        raise top.impossible("DimensionIndexValues", f"{len(values)} values", "one for each dimension")
    frame = Frame(
        index=index,
        position_mm=position,
        orientation=orientation,
        spacing_mm=spacing,
        thickness_mm=_thickness(measures, top),
        slope=slope,
        intercept=intercept,
        part=(*part, *(values[dimension] for dimension in dimensions), content.text("StackID"), *_frame_kind(groups, top)),
        in_patient=in_patient,
    )
    _check_plane(top, frame)
    return frame


def _frame_kind(groups: list[Attributes], top: Attributes) -> tuple[object, ...]:
    """Give what tells frames of one place apart: frame type, echo, diffusion, time."""
    kinds = [
        ("MRImageFrameTypeSequence", "FrameType"),
        ("CTImageFrameTypeSequence", "FrameType"),
        ("PETFrameTypeSequence", "FrameType"),
        ("XRay3DFrameTypeSequence", "FrameType"),
        ("ParametricMapFrameTypeSequence", "FrameType"),
        ("MREchoSequence", "EffectiveEchoTime"),
        ("MRDiffusionSequence", "DiffusionBValue"),
        ("FrameContentSequence", "TemporalPositionIndex"),
        ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
        ("ImageDataTypeSequence", "DataType"),
    ]
    return tuple(_group(groups, sequence, top).value(keyword) for sequence, keyword in kinds)


def _group(groups: list[Attributes], sequence: str, top: Attributes) -> Attributes:
    """Give the item of a functional group, of the frame's own groups first; the empty item where there is none."""
    for group in groups:
        items = group.items(sequence)
        if items:
            return items[0]
    return top.empty()


def _dimensions(attributes: Attributes) -> list[int]:
    """Number the dimensions that do not run through the place of a frame."""
    places = {(tag_of(keyword) >> 16, tag_of(keyword) & 0xFFFF) for keyword in PLACE_DIMENSIONS}
    pointers = [item.numbers("DimensionIndexPointer") for item in attributes.items("DimensionIndexSequence")]
    return [number for number, pointer in enumerate(pointers) if pointer not in places]


def _rescaling(attributes: Attributes, sop_class: str) -> tuple[float, float]:
    slope, intercept = attributes.number("RescaleSlope"), attributes.number("RescaleIntercept")
    if slope is None and intercept is None and sop_class not in RESCALED_CLASSES:
        return 1.0, 0.0
    if slope is None or intercept is None:
        raise attributes.missing("RescaleSlope or RescaleIntercept")
    if slope == 0 or max(abs(slope), abs(intercept)) > RESCALING_LIMIT:
        raise attributes.impossible("RescaleSlope or RescaleIntercept", "zero or an enormous number", "a plausible one")
    return slope, intercept


def _thickness(*places: Attributes) -> float:
    for attributes in places:
        for keyword in ("SliceThickness", "SpacingBetweenSlices"):
            value = attributes.number(keyword)
            if value is not None and value > 0:
                return value
    return 1.0


def _check_plane(attributes: Attributes, frame: Frame) -> None:
    """Refuse pixel sizes that are not positive, and directions that are no two unit vectors at a right angle."""
    if frame.spacing_mm is not None and min(frame.spacing_mm) <= 0:
        raise attributes.impossible("PixelSpacing", "zero or less", "millimetres above zero")
    if frame.orientation is None:
        return
    row, column = frame.orientation[:3], frame.orientation[3:]
    products = (_product(row, row) - 1, _product(column, column) - 1, _product(row, column))
    if max(map(abs, products)) > UNIT_TOLERANCE:
        raise attributes.impossible("ImageOrientationPatient", "no right angle of unit vectors", "two direction cosines")


def _product(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    return math.fsum(map(mul, first, second))
