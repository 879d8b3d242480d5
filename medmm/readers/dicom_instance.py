"""One DICOM image file, checked: what kind of object it is, how its pixels are stored, and the frames it holds.

Source: DICOM PS3.4, annex B.5 (storage classes); PS3.3, section C.11.1 (modality LUT).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers.dicom_attributes import Attributes
from medmm.readers.dicom_file import Header, PixelElement
from medmm.readers.dicom_format import PixelFormat, pixel_format
from medmm.readers.dicom_frames import ENHANCED_CLASSES, Frame, functional_frames, single_frame
from medmm.readers.dicom_keywords import PART_KEYWORDS, PRIVATE_TILES

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


@dataclass(frozen=True, slots=True)
class Instance:
    """One image file whose header holds what a volume needs.

    Attributes:
        where: Which file it is, in words that hold no patient.
        part: What all files of one volume share, keyword by keyword of `PART_KEYWORDS`.
        frames: Its images, one for most files.
    """

    file: Path
    where: str
    patient_id: str
    series_uid: str
    modality: str
    format: PixelFormat
    pixels: PixelElement
    part: tuple[tuple[object, ...], ...]
    frames: tuple[Frame, ...]


def instance_of(header: Header) -> Instance:
    """Check a header and give the image it describes.

    Raises:
        Rejected: NOT_AN_IMAGE, UNSUPPORTED, HEADER, MALFORMED or TRUNCATED.
    """
    attributes, where = header.attributes, header.where
    sop_class = attributes.text("SOPClassUID")
    if sop_class.startswith(NOT_IMAGES) and sop_class not in RADIOTHERAPY_PIXELS:
        raise Rejected(Code.NOT_AN_IMAGE, where, "a DICOM object that is no image", "an image", "leave it out")
    _refuse_unsupported(attributes, sop_class)
    pixels = _pixels(header)
    stored = pixel_format(header, pixels)
    if sop_class in ENHANCED_CLASSES:
        frames = functional_frames(attributes, stored.frames)
    elif stored.frames == 1:
        frames = (single_frame(attributes, sop_class),)
    else:
        raise _unsupported(where, f"{stored.frames} frames without a place each", "one image a file")
    return Instance(
        file=header.file,
        where=where,
        patient_id=attributes.text("PatientID"),
        series_uid=attributes.text("SeriesInstanceUID"),
        modality=attributes.text("Modality"),
        format=stored,
        pixels=pixels,
        part=tuple(attributes.value(keyword) for keyword in PART_KEYWORDS),
        frames=frames,
    )


def _refuse_unsupported(attributes: Attributes, sop_class: str) -> None:
    where = attributes.where
    if sop_class in RADIOTHERAPY_PIXELS:
        raise _unsupported(where, "a radiotherapy image or dose", "a diagnostic image")
    tiled = any(attributes.has_private(*marks) for marks in PRIVATE_TILES)
    if tiled or {"MOSAIC", "VFRAME"} & set(attributes.words("ImageType")):
        raise _unsupported(where, "the slices of a volume as tiles of one image", "one slice an image")
    if attributes.has("ModalityLUTSequence"):
        raise _unsupported(where, "a modality lookup table", "a rescale slope and intercept")
    if attributes.has("SharedFunctionalGroupsSequence") and sop_class not in ENHANCED_CLASSES:
        raise _unsupported(where, "an enhanced object of another kind than CT, MR or PET", "enhanced CT, MR or PET")


def _pixels(header: Header) -> PixelElement:
    attributes, where = header.attributes, header.where
    if header.pixels is None:
        sop_class = attributes.text("SOPClassUID")
        standard_image = sop_class.startswith(STANDARD_IMAGES) or STANDARD_IMAGES.startswith(sop_class)  # it may be cut off
        directory = attributes.has("FileSetID")  # which has no class
        if directory or not (standard_image or attributes.has("Rows")):
            raise Rejected(Code.NOT_AN_IMAGE, where, "a DICOM object without pixels", "an image", "leave it out")
        raise Rejected(Code.TRUNCATED, where, "an image that ends before its pixels", "the whole file", "copy it again")
    if header.pixels.keyword != "PixelData":
        raise _unsupported(where, "floating-point pixels", "whole-number pixels")
    return header.pixels


def _unsupported(where: str, found: str, expected: str) -> Rejected:
    return Rejected(Code.UNSUPPORTED, where, found, expected, "leave the series out, or convert it")
