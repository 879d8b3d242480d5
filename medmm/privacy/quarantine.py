"""What must not leave unseen: DICOM objects and images in whose pixels something may be written, and why they stay behind.

Source: DICOM PS3.3, sections C.7.6.1.1.5 (burned-in annotation), C.8.6.1 (conversion type), C.9.2 (overlays within pixels);
PS3.15, annex E.3.1 (clean pixel data).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from medmm.privacy.forms import registered
from medmm.privacy.terms import words_of
from medmm.readers.dicom_instance import NOT_IMAGES, STANDARD_IMAGES
from medmm.readers.dicom_keywords import PRIVATE_TILES

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class Reason(StrEnum):
    """Why a file stays behind that can be read."""

    BURNED_IN = "Q_BURNED_IN"
    """Its header says that text is burned into the pixels, or that the overlay lies within them."""

    RISK = "Q_RISK"
    """Of a kind in which text is often burned in, and the header does not say NO."""

    RECOGNIZABLE = "Q_RECOGNIZABLE"
    """Its header says that the person can be recognised."""

    NO_IMAGE = "Q_NO_IMAGE"
    """A report, a document, a presentation, a segmentation, a directory, or a class that the standard does not name."""

    NO_PATIENT = "Q_NO_PATIENT"
    """No Patient ID, so nobody knows with which other dates its own would have to move."""

    PRIVATE_GEOMETRY = "Q_PRIVATE_GEOMETRY"
    """Where its slices lie stands in private attributes only, which go."""

    PIXELS_TOO_LONG = "Q_PIXELS_TOO_LONG"
    """More bytes than pixels: what the rest is nobody knows."""

    NOT_COVERED = "Q_NOT_COVERED"
    """A file that is no image and no table."""

    IDENTIFIER_LEFT = "Q_IDENTIFIER_LEFT"
    """What is known of a patient was still found in what was written."""


RELEASED = frozenset({Reason.RISK})
"""What a person who has looked at the images may let pass."""

RISKY_CLASSES = tuple(
    f"{STANDARD_IMAGES}{suffix}"
    for suffix in ("3.", "6.", "7", "12.", "77.1.", "481.1", "14.")  # ultrasound, captures, fluoroscopy, photographs, IVOCT
)
"""How the classes of images begin in which text is often burned in."""

RISKY_MODALITIES = words_of("US IVUS BDUS SC OT XA RF XC GM SM ES OP OPT OCT DG HC SR DOC PX")
RISKY_WORDS = words_of("SCREEN SCREENSHOT SCREEN_SAVE SCREENSAVE SAVE CAPTURE SNAPSHOT REPORT DOSE")
RISKY_DESCRIPTION = re.compile(r"dose|report|patient protocol|screen|capture|summary|result|scanned|document", re.IGNORECASE)
"""Series that show a page of text, whatever class they are stored as."""

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
OVERLAYS = range(0x6000, 0x6100, 2)
OVERLAY_POSITION, OVERLAY_DATA = 0x0102, 0x3000


def reason_of(dataset: Dataset) -> Reason | None:
    """Give why a DICOM object must stay behind; None where nothing speaks against it."""
    sop_class = _text(dataset, "SOPClassUID")
    stated = _text(dataset, "BurnedInAnnotation").upper()
    checks: tuple[tuple[Reason, Callable[[], bool]], ...] = (
        (Reason.NO_IMAGE, lambda: not _is_image(dataset, sop_class)),
        (Reason.NO_PATIENT, lambda: not _text(dataset, "PatientID")),
        (Reason.PRIVATE_GEOMETRY, lambda: any(tag in dataset for _, _, tag in PRIVATE_TILES)),
        (Reason.BURNED_IN, lambda: stated == "YES" or _overlay_in_pixels(dataset)),
        (Reason.RECOGNIZABLE, lambda: _text(dataset, "RecognizableVisualFeatures").upper() == "YES"),
        (Reason.PIXELS_TOO_LONG, lambda: _pixels_too_long(dataset)),
        (Reason.RISK, lambda: stated != "NO" and _is_risky(dataset, sop_class)),
    )
    return next((reason for reason, speaks in checks if speaks()), None)


def _is_image(dataset: Dataset, sop_class: str) -> bool:
    standard = sop_class.startswith(STANDARD_IMAGES) and not sop_class.startswith(NOT_IMAGES)
    return standard and sop_class in registered() and any(one in dataset for one in PIXELS)


def _is_risky(dataset: Dataset, sop_class: str) -> bool:
    kinds = _text(dataset, "ImageType").upper().split("\\")
    return (
        sop_class.startswith(RISKY_CLASSES)
        or _text(dataset, "Modality").upper() in RISKY_MODALITIES
        or bool(_text(dataset, "ConversionType"))
        or kinds[0] == "DERIVED"
        or kinds[1:2] == ["SECONDARY"]
        or any(word in RISKY_WORDS for kind in kinds for word in kind.split())
        or RISKY_DESCRIPTION.search(_text(dataset, "SeriesDescription")) is not None
    )


def _overlay_in_pixels(dataset: Dataset) -> bool:
    """Tell whether an overlay lies in bits of the pixels that hold no grey value, where it was kept until 2004."""
    return any(
        (group << 16 | OVERLAY_POSITION) in dataset and (group << 16 | OVERLAY_DATA) not in dataset for group in OVERLAYS
    )


def _pixels_too_long(dataset: Dataset) -> bool:
    """Tell whether uncompressed pixels are followed by more than the one byte that makes their number even."""
    from pydicom.uid import UID

    if UID(_text(dataset.file_meta, "TransferSyntaxUID")).is_compressed or "PixelData" not in dataset:
        return False
    try:
        bits = int(dataset.get("BitsAllocated", 0)) * int(dataset.get("SamplesPerPixel", 1))
        count = int(dataset.get("Rows", 0)) * int(dataset.get("Columns", 0)) * int(dataset.get("NumberOfFrames", 1) or 1)
        if _text(dataset, "PhotometricInterpretation") == "YBR_FULL_422":
            bits = bits * 2 // 3
        return len(dataset["PixelData"].value) > (count * bits + 7) // 8 + 1
    except (ValueError, TypeError, NotImplementedError):
        return True


def _text(dataset: Dataset, keyword: str) -> str:
    """Give a value as text, several joined by a backslash; "" where there is none that can be read."""
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, AttributeError, NotImplementedError):
        return ""
    if value is None:
        return ""
    values = value if isinstance(value, list) or type(value).__name__ == "MultiValue" else [value]
    return "\\".join(str(one).strip(" \0") for one in values)
