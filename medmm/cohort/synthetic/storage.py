"""How the images of a study are stored: one of the many legal ways that hospitals use, drawn once and written down."""

from dataclasses import dataclass

import numpy as np
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from medmm.cohort.synthetic.settings import SyntheticSettings
from medmm.cohort.synthetic.truth import Purpose, StudyTruth, stream
from medmm.types import Array

TRANSFER_SYNTAXES: tuple[UID, ...] = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEG2000Lossless,
)
RADIOGRAPH_LEVELS = 4000
MONOCHROME1_SHARE = 0.3
COMPUTED_RADIOGRAPHY_SHARE = 0.4
OBLIQUE_SHARE = 0.4
OBLIQUE_DEGREES = 8.0


@dataclass(frozen=True)
class Storage:
    """How real values become stored numbers: (value - intercept) / slope, and where inverted the largest minus that.

    Attributes:
        sop_class: Kind of image.
        transfer_syntax: How the file is written.
        bits: Used of the 16 bits of a pixel.
        signed: Whether stored numbers can be negative.
        slope: Real units for one step of the stored number.
        intercept: Real value of the stored number 0.
        inverted: Whether the smallest stored number is the brightest: MONOCHROME1.
    """

    sop_class: UID
    transfer_syntax: UID
    bits: int = 12
    signed: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    inverted: bool = False

    def to_stored(self, values: Array) -> Array:
        """Give the numbers that stand in the file, 16 bits each."""
        numbers = np.rint((values - self.intercept) / self.slope)
        if self.inverted:
            numbers = 2**self.bits - 1 - numbers
        return numbers.astype(np.int16 if self.signed else np.uint16)


@dataclass(frozen=True)
class Arrangement:
    """Where the slices of a CT lie in the patient, and in which order they are exported.

    Attributes:
        axes: (3, 3) columns are the directions along a row, down a column, and from slice to slice, in DICOM's patient
            coordinates: to the left, the back and the head.
        file_order: (slices,) numbers of the slices as they follow on disk.
        instance_numbers: (slices,) Instance Number of each slice, from 1.
    """

    axes: Array
    file_order: Array
    instance_numbers: Array


def draw_radiograph_storage(study: StudyTruth, settings: SyntheticSettings) -> Storage:
    """Choose how this study's radiograph is stored; the values 0 to 1 fill 4001 of 4096 levels."""
    rng = stream(settings, Purpose.RADIOGRAPH_STORAGE, study.person.number, study.order)
    computed = rng.random() < COMPUTED_RADIOGRAPHY_SHARE
    return Storage(
        ComputedRadiographyImageStorage if computed else DigitalXRayImageStorageForPresentation,
        _draw_transfer_syntax(rng),
        slope=1 / RADIOGRAPH_LEVELS,
        inverted=bool(rng.random() < MONOCHROME1_SHARE),
    )


def draw_ct_storage(study: StudyTruth, settings: SyntheticSettings) -> Storage:
    """Choose how this study's CT is stored; each way holds -1024 to 3071 HU."""
    rng = stream(settings, Purpose.CT_STORAGE, study.person.number, study.order)
    syntax = _draw_transfer_syntax(rng)
    ways = (
        Storage(CTImageStorage, syntax, bits=12, intercept=-1024),
        Storage(CTImageStorage, syntax, bits=16, signed=True),
        Storage(CTImageStorage, syntax, bits=12, signed=True, slope=2),
        Storage(CTImageStorage, syntax, bits=16, slope=0.5, intercept=-1024),
    )
    return ways[int(rng.integers(len(ways)))]


def draw_arrangement(study: StudyTruth, settings: SyntheticSettings) -> Arrangement:
    """Choose how this study's CT lies in the patient, upright or a little oblique, and in which order it is exported."""
    rng = stream(settings, Purpose.CT_ARRANGEMENT, study.person.number, study.order)
    tilt, turn = np.radians(rng.uniform(-OBLIQUE_DEGREES, OBLIQUE_DEGREES, size=2)) * (rng.random() < OBLIQUE_SHARE)
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    order, numbers = (_draw_order(rng, settings.ct_slices) for _ in range(2))
    return Arrangement(about_x @ about_z, order, numbers + 1)


def _draw_transfer_syntax(rng: np.random.Generator) -> UID:
    return TRANSFER_SYNTAXES[int(rng.integers(len(TRANSFER_SYNTAXES)))]


def _draw_order(rng: np.random.Generator, length: int) -> Array:
    """Give 0 to length - 1 upwards, downwards or shuffled."""
    upwards = np.arange(length)
    return (upwards, upwards[::-1], rng.permutation(length))[int(rng.integers(3))]
