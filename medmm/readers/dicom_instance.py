"""One DICOM image file, checked: what kind of object it is, how its pixels are stored, and the frames it holds.

Source: DICOM PS3.4, annex B.5 (storage classes); PS3.3, section C.11.1 (modality LUT).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes, tag_of
from medmm.readers.dicom_file import Header, PixelElement
from medmm.readers.dicom_format import PixelFormat, check_length, pixel_format
from medmm.readers.dicom_frames import (
    ENHANCED_CLASSES,
    ENHANCED_PLACED_CLASSES,
    PLAIN_MOVING_CLASSES,
    Frame,
    functional_frames,
    functional_group,
    moving_frames,
    single_frame,
)
from medmm.readers.dicom_keywords import MOMENT_KEYWORDS, PART_KEYWORDS, PRIVATE_TILES
from medmm.readers.dicom_lookup import Lookup, modality_lookup
from medmm.readers.dicom_mosaic import mosaic_frames
from medmm.readers.dicom_presentation import Presentation, presentation_of
from medmm.readers.dicom_suv import suv_factor
from medmm.readers.reading import AS_STORED, Reading

NOT_IMAGES = (
    "1.2.840.10008.1.3.10",  # media storage directory
    "1.2.840.10008.5.1.4.1.1.9.",  # waveforms
    "1.2.840.10008.5.1.4.1.1.11.",  # presentation states
    "1.2.840.10008.5.1.4.1.1.66",  # raw data, registrations, segmentations, surfaces, tracts
    "1.2.840.10008.5.1.4.1.1.67",  # real world values
    "1.2.840.10008.5.1.4.1.1.88.",  # structured reports
    "1.2.840.10008.5.1.4.1.1.77.1.5.3",  # stereometric relation
    "1.2.840.10008.5.1.4.1.1.78.",  # lens and refraction measurements
    "1.2.840.10008.5.1.4.1.1.79.",
    "1.2.840.10008.5.1.4.1.1.80.",
    "1.2.840.10008.5.1.4.1.1.104.",  # encapsulated documents
    "1.2.840.10008.5.1.4.1.1.131",  # structured display
    "1.2.840.10008.5.1.4.1.1.200.",  # acquisition protocols
    "1.2.840.10008.5.1.4.1.1.481.",  # radiotherapy; its images and doses are taken out below
    "1.2.840.10008.5.1.4.34.",  # radiotherapy delivery
    "1.2.840.10008.5.1.4.3",  # hanging protocols, templates, protocols
)
STANDARD_IMAGES = "1.2.840.10008.5.1.4.1.1."
"""How the classes of all images of the standard begin."""

RADIOTHERAPY_PIXELS = ("1.2.840.10008.5.1.4.1.1.481.1", "1.2.840.10008.5.1.4.1.1.481.2")
"""RT Image and RT Dose hold pixels, but their geometry is of a kind of its own."""

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
MOSAIC, GRID = PRIVATE_TILES


@dataclass(frozen=True, slots=True)
class Instance:
    """One image file whose header holds what a volume needs.

    Attributes:
        where: Which file it is, in words that hold no patient.
        part: What all files of one volume share, keyword by keyword of `PART_KEYWORDS`.
        moment: What may tell it from images at the same place, keyword by keyword of `MOMENT_KEYWORDS`.
        frames: Its images, one for most files.
        tiles: How many frames stand side by side, and above each other, in one stored image; 1 but for a mosaic.
        lookup: What stands in the place of a rescaling; None for most files.
    """

    file: Path
    where: str
    patient_id: str
    series_uid: str
    modality: str
    format: PixelFormat
    pixels: PixelElement
    part: tuple[tuple[object, ...], ...]
    moment: tuple[str, ...]
    frames: tuple[Frame, ...]
    tiles: int = 1
    lookup: Lookup | None = None


def instance_of(header: Header, reading: Reading = AS_STORED) -> Instance:
    """Check a header and give the image it describes.

    Args:
        header: Of the file.
        reading: What the run asks for.

    Raises:
        Rejected: NOT_AN_IMAGE, UNSUPPORTED, HEADER, UNIT, MALFORMED or TRUNCATED.
    """
    attributes, where = header.attributes, header.where
    sop_class = attributes.text("SOPClassUID")
    if sop_class.startswith(NOT_IMAGES) and sop_class not in RADIOTHERAPY_PIXELS:
        raise Rejected(Code.NOT_AN_IMAGE, where, "a DICOM object that is no image", "an image", "leave it out")
    _refuse_unsupported(attributes, sop_class)
    pixels = _pixels(header)
    stored = pixel_format(header, pixels)
    tiles = 1
    if _is_mosaic(attributes):
        tiles, frames = mosaic_frames(attributes, stored, sop_class)
    elif sop_class in ENHANCED_PLACED_CLASSES or attributes.has("SharedFunctionalGroupsSequence"):
        frames = functional_frames(attributes, stored.frames)
    elif stored.frames == 1:
        frames = (single_frame(attributes, sop_class),)
    elif sop_class in PLAIN_MOVING_CLASSES:
        frames = moving_frames(attributes, sop_class, stored.frames)
    else:
        raise _unsupported(where, f"{stored.frames} frames without a place each", "one image a file")
    if reading.pet == "suv" and attributes.text("Modality") == "PT":
        factor = suv_factor(attributes)
        frames = tuple(replace(one, slope=one.slope * factor, intercept=one.intercept * factor) for one in frames)
    if reading.values == "presentation" and not stored.coloured:  # colours are what a screen shows
        frames = tuple(replace(frame, presentation=_presentation(attributes, stored, frame.index)) for frame in frames)
    return Instance(
        file=header.file,
        where=where,
        patient_id=attributes.text("PatientID"),
        series_uid=attributes.text("SeriesInstanceUID"),
        modality=attributes.text("Modality"),
        format=stored,
        pixels=pixels,
        part=tuple(attributes.value(keyword) for keyword in PART_KEYWORDS),
        moment=_moment(attributes),
        frames=frames,
        tiles=tiles,
        lookup=modality_lookup(attributes, stored.signed),
    )


class Instances:
    """Checks the headers of a series, most of which differ from the one before in their place only.

    Args:
        reading: What the run asks for.
    """

    def __init__(self, reading: Reading = AS_STORED) -> None:
        self._reading = reading
        self._last: tuple[Header, Instance] | None = None

    def instance(self, header: Header) -> Instance:
        """Check the next header.

        Raises:
            Rejected: As `instance_of`.
        """
        found = None if self._last is None else _moved(header, *self._last)
        if found is None:
            found = instance_of(header, self._reading)
        self._last = header, found
        return found


def _moved(header: Header, last: Header, like: Instance) -> Instance | None:
    """Give the image of a header that differs from the last one in nothing but its place and moment; None for another one."""
    pixels, before = header.pixels, like.pixels
    if pixels is None or header.syntax != last.syntax or len(like.frames) > 1 or like.tiles > 1:
        return None
    if (pixels.keyword, pixels.words, pixels.length) != (before.keyword, before.words, before.length):
        return None
    attributes = header.attributes
    if attributes.differs(last.attributes) - _varying():
        return None
    position = attributes.vector("ImagePositionPatient", 3)
    (frame,) = like.frames
    if position is None or frame.position_mm is None:
        return None
    check_length(like.format, pixels, header)
    return replace(
        like,
        file=header.file,
        where=header.where,
        pixels=pixels,
        moment=_moment(attributes),
        frames=(replace(frame, position_mm=position),),
    )


@cache
def _varying() -> frozenset[int]:
    return frozenset(map(tag_of, ("SOPInstanceUID", "ImagePositionPatient", *MOMENT_KEYWORDS)))


def _moment(attributes: Attributes) -> tuple[str, ...]:
    return tuple(attributes.text(keyword) for keyword in MOMENT_KEYWORDS)


def _refuse_unsupported(attributes: Attributes, sop_class: str) -> None:
    where = attributes.where
    if sop_class in RADIOTHERAPY_PIXELS:
        raise _unsupported(where, "a radiotherapy image or dose", "a diagnostic image")
    if attributes.has_private(*GRID) or "VFRAME" in attributes.words("ImageType"):
        raise _unsupported(where, "the slices of a volume as tiles of one image", "one slice an image")
    if attributes.has("SharedFunctionalGroupsSequence") and sop_class not in ENHANCED_CLASSES:
        raise _unsupported(
            where, "an enhanced object of a rare kind", "enhanced CT, MR, PET, X-ray, ultrasound or secondary capture"
        )


def _presentation(attributes: Attributes, stored: PixelFormat, index: int) -> Presentation:
    if attributes.has("PerFrameFunctionalGroupsSequence"):
        attributes = functional_group(attributes, index, "FrameVOILUTSequence")
    return presentation_of(attributes, stored.photometric, stored.signed)


def _is_mosaic(attributes: Attributes) -> bool:
    return attributes.has_private(*MOSAIC) or "MOSAIC" in attributes.words("ImageType")


def _pixels(header: Header) -> PixelElement:
    attributes, where = header.attributes, header.where
    if header.pixels is None:
        sop_class = attributes.text("SOPClassUID")
        standard_image = sop_class.startswith(STANDARD_IMAGES) or STANDARD_IMAGES.startswith(sop_class)  # it may be cut off
        directory = attributes.has("FileSetID")  # which has no class
        if directory or not (standard_image or attributes.has("Rows")):
            raise Rejected(Code.NOT_AN_IMAGE, where, "a DICOM object without pixels", "an image", "leave it out")
        raise Rejected(Code.TRUNCATED, where, "an image that ends before its pixels", "the whole file", "copy it again")
    if attributes.text("SOPClassUID") == PARAMETRIC_MAP and header.pixels.keyword == "PixelData":
        raise _unsupported(where, "a parametric map of whole numbers", "one of floating-point numbers")
    return header.pixels


def _unsupported(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.UNSUPPORTED, where, found, expected, "leave the series out, or convert it")
