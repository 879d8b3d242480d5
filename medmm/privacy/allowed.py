"""Which attributes of a DICOM header an export may keep, what is done to each, and why; all others go.

What each one is, and what the standard's profile does to it, is said in DICOM PS3.15, annex E, table E.1-1. Attributes that the
table names stay only in another form here; those of acquisition, geometry and pixels, which it does not name, stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from types import MappingProxyType

from medmm.cohort.shown import BODY_PARTS, MODALITIES
from medmm.privacy.terms import DESCRIPTIONS, IMAGE_TYPES, LATERALITIES, RESCALE_TYPES, SEXES, UNITS, VIEWS

PIXELS = "the pixels"
STORAGE = "how the pixels are stored"
PLACE = "where the pixels lie in the patient"
MEANING = "what the values mean, and how they are shown"
FRAMES = "images of many frames"
NEEDED = frozenset({PIXELS, STORAGE, PLACE, MEANING, FRAMES})
"""Reasons of attributes without which an image would be another: where one is not of its form, the file stays behind."""


class Action(Enum):
    """What is done to an attribute."""

    KEEP = auto()
    """It stays where its value has the form that its kind asks for: a number, a time, a word in capitals."""

    TERM = auto()
    """Values of a closed list stay, others go."""

    WORDS = auto()
    """Of its text the words of a closed list and small numbers stay."""

    DEVICE = auto()
    """It stays where it is short, plain ASCII and holds nothing that the header says of a person."""

    CODE = auto()
    """A code of a public scheme stays, and its meaning in words is left out."""

    UID = auto()
    """One that the standard registers stays; any other is replaced, everywhere by the same."""

    DATE = auto()
    """Moved by as many days as all dates of the patient; one that is incomplete goes."""

    AGE = auto()
    """It stays up to 89 years; from 90 on all are 90 (45 CFR 164.514(b)(2)(i)(C))."""

    PATIENT = auto()
    """The patient's pseudonym."""

    STUDY = auto()
    """A pseudonym, where there was a value."""

    EMPTY = auto()
    """There, as the standard asks (type 2), and empty."""

    SEQUENCE = auto()
    """Its items are treated like the header itself."""

    BYTES = auto()
    """As it stands, to the byte."""


@dataclass(frozen=True)
class Allowed:
    """What is done to one attribute.

    Attributes:
        action: What.
        why: What would be lost without it.
        terms: Of `TERM` and `WORDS`: what may stay.
    """

    action: Action
    why: str
    terms: frozenset[str] = frozenset()


def _groups() -> Iterator[tuple[Action, str, str, frozenset[str]]]:
    """Give actions, reasons, keywords and closed lists."""
    none: frozenset[str] = frozenset()
    yield Action.PATIENT, "tells patients apart", "PatientID PatientName", none
    yield Action.STUDY, "joins studies and tables", "AccessionNumber", none
    yield (
        Action.EMPTY,
        "asked for by the standard",
        "PatientBirthDate ReferringPhysicianName StudyID PositionReferenceIndicator",
        none,
    )
    yield Action.TERM, "a subgroup, and what the model is made for", "PatientSex", SEXES
    yield Action.AGE, "what the model is made for", "PatientAge", none
    yield Action.KEEP, "uptake by body weight (SUV)", "PatientWeight PatientSize", none
    yield Action.DATE, "intervals, and which image is the newest", (
        "StudyDate SeriesDate AcquisitionDate ContentDate AcquisitionDateTime FrameAcquisitionDateTime FrameReferenceDateTime "
        "RadiopharmaceuticalStartDateTime RadiopharmaceuticalStopDateTime DecayCorrectionDateTime"
    ), none  # fmt: skip
    yield Action.KEEP, "order within a day, decay of a tracer", (
        "StudyTime SeriesTime AcquisitionTime ContentTime RadiopharmaceuticalStartTime RadiopharmaceuticalStopTime "
        "ContrastBolusStartTime TriggerTime FrameReferenceTime FrameTime FrameTimeVector TimezoneOffsetFromUTC"
    ), none  # fmt: skip
    yield Action.UID, "what belongs together", (
        "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID ConcatenationUID "
        "SOPInstanceUIDOfConcatenationSource SynchronizationFrameOfReferenceUID DimensionOrganizationUID "
        "ReferencedSOPClassUID ReferencedSOPInstanceUID RelatedFrameOfReferenceUID IrradiationEventUID AcquisitionUID "
        "PaletteColorLookupTableUID LargePaletteColorLookupTableUID"
    ), none  # fmt: skip
    yield Action.TERM, "what the model is made for", "Modality", MODALITIES
    yield Action.TERM, "what the model is made for", "BodyPartExamined", BODY_PARTS
    yield Action.TERM, "what the model is made for", "Laterality ImageLaterality FrameLaterality", LATERALITIES
    yield Action.TERM, "what the model is made for", "ViewPosition", VIEWS
    yield Action.TERM, "choice of series, shape of a volume", "ImageType FrameType", IMAGE_TYPES
    yield Action.TERM, "units of the values", "RescaleType ModalityLUTType", RESCALE_TYPES
    yield Action.TERM, "units of the values", "Units", UNITS
    yield Action.WORDS, "choice of series", "SeriesDescription StudyDescription ProtocolName", DESCRIPTIONS
    yield Action.WORDS, "whether a contrast agent was given", "ContrastBolusAgent", DESCRIPTIONS
    yield Action.DEVICE, "what the model is made for; a make, not a machine", "Manufacturer ManufacturerModelName", none
    yield Action.DEVICE, "choice of series", "ConvolutionKernel", none
    yield Action.CODE, "what is seen, and in what units", (
        "AnatomicRegionSequence AnatomicRegionModifierSequence ViewCodeSequence ViewModifierCodeSequence "
        "MeasurementUnitsCodeSequence RadionuclideCodeSequence RadiopharmaceuticalCodeSequence ContrastBolusAgentSequence "
        "PatientOrientationCodeSequence PatientOrientationModifierCodeSequence PatientGantryRelationshipCodeSequence"
    ), none  # fmt: skip
    yield Action.KEEP, "which image of a series it is", (
        "SeriesNumber InstanceNumber AcquisitionNumber TemporalPositionIdentifier NumberOfTemporalPositions StackID "
        "InStackPositionNumber DimensionIndexPointer FunctionalGroupPointer DimensionIndexValues TemporalPositionIndex "
        "ReferencedFrameNumber InConcatenationNumber InConcatenationTotalNumber ConcatenationFrameOffsetNumber "
        "FrameIncrementPointer NumberOfSlices NumberOfTimeSlices ImageIndex FrameAcquisitionNumber"
    ), none  # fmt: skip
    yield Action.KEEP, PLACE, (
        "ImagePositionPatient ImageOrientationPatient PatientPosition PatientOrientation PixelSpacing ImagerPixelSpacing "
        "NominalScannedPixelSpacing PixelSpacingCalibrationType EstimatedRadiographicMagnificationFactor SliceThickness "
        "SpacingBetweenSlices SliceLocation PixelAspectRatio GantryDetectorTilt "
        "PositionerPrimaryAngle PositionerSecondaryAngle BodyPartThickness CompressionForce FieldOfViewDimensions "
        "FieldOfViewShape FieldOfViewOrigin FieldOfViewRotation FieldOfViewHorizontalFlip DetectorElementSpacing "
        "ReconstructionDiameter DataCollectionDiameter VolumetricProperties VolumeBasedCalculationTechnique"
    ), none  # fmt: skip
    yield Action.KEEP, STORAGE, (
        "Rows Columns NumberOfFrames SamplesPerPixel PlanarConfiguration PhotometricInterpretation BitsAllocated BitsStored "
        "HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit FloatPixelPaddingValue "
        "FloatPixelPaddingRangeLimit DoubleFloatPixelPaddingValue DoubleFloatPixelPaddingRangeLimit "
        "SmallestImagePixelValue LargestImagePixelValue LossyImageCompression LossyImageCompressionRatio "
        "LossyImageCompressionMethod BurnedInAnnotation RecognizableVisualFeatures QualityControlImage"
    ), none  # fmt: skip
    yield (
        Action.BYTES,
        "the pixels",
        "PixelData FloatPixelData DoubleFloatPixelData ExtendedOffsetTable ExtendedOffsetTableLengths",
        none,
    )
    yield Action.KEEP, MEANING, (
        "RescaleIntercept RescaleSlope WindowCenter WindowWidth VOILUTFunction LUTDescriptor PresentationLUTShape "
        "PresentationIntentType PixelIntensityRelationship PixelIntensityRelationshipSign "
        "RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor "
        "BluePaletteColorLookupTableDescriptor"
    ), none  # fmt: skip
    yield Action.BYTES, MEANING, (
        "LUTData RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData "
        "SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData "
        "SegmentedBluePaletteColorLookupTableData"
    ), none  # fmt: skip
    yield Action.KEEP, "how it was taken: radiographs, CT", (
        "KVP XRayTubeCurrent ExposureTime Exposure ExposureInuAs ExposureInmAs XRayTubeCurrentInmA ExposureTimeInms "
        "DistanceSourceToDetector DistanceSourceToPatient DetectorType DetectorConfiguration Grid FocalSpots FilterMaterial "
        "AnodeTargetMaterial ScanOptions SpiralPitchFactor TableSpeed TableFeedPerRotation RevolutionTime TableHeight "
        "SingleCollimationWidth TotalCollimationWidth ExposureModulationType CTDIvol RotationDirection ScanLength "
        "AcquisitionType RelativeXRayExposure Sensitivity"
    ), none  # fmt: skip
    yield Action.KEEP, "how it was taken: MR", (
        "ScanningSequence SequenceVariant MRAcquisitionType RepetitionTime EchoTime EffectiveEchoTime EchoNumbers "
        "EchoTrainLength InversionTime InversionTimes FlipAngle MagneticFieldStrength ImagingFrequency ImagedNucleus "
        "NumberOfAverages PercentSampling PercentPhaseFieldOfView PixelBandwidth AcquisitionMatrix "
        "InPlanePhaseEncodingDirection DiffusionBValue DiffusionGradientOrientation DiffusionDirectionality "
        "ComplexImageComponent AcquisitionContrast AngioFlag SAR"
    ), none  # fmt: skip
    yield Action.KEEP, "how it was taken: nuclear medicine", (
        "CorrectedImage DecayCorrection SUVType SeriesType CountsSource ActualFrameDuration DecayFactor DoseCalibrationFactor "
        "ScatterFractionFactor RadionuclideTotalDose RadionuclideHalfLife RadionuclidePositronFraction "
        "RadiopharmaceuticalVolume AxialAcceptance EnergyWindowLowerLimit EnergyWindowUpperLimit CollimatorType"
    ), none  # fmt: skip
    yield Action.SEQUENCE, FRAMES, (
        "SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence DimensionOrganizationSequence DimensionIndexSequence "
        "FrameContentSequence PlanePositionSequence PlaneOrientationSequence PixelMeasuresSequence FrameVOILUTSequence "
        "PixelValueTransformationSequence FrameAnatomySequence CTReconstructionSequence CTImageFrameTypeSequence "
        "MRImageFrameTypeSequence PETFrameTypeSequence MRTimingAndRelatedParametersSequence MREchoSequence MRDiffusionSequence "
        "DiffusionGradientDirectionSequence MRModifierSequence CTExposureSequence CTXRayDetailsSequence "
        "XRay3DFrameTypeSequence TemporalPositionSequence CardiacSynchronizationSequence ReferencedImageSequence "
        "DerivationImageSequence SourceImageSequence ReferencedStudySequence ReferencedSeriesSequence "
        "ReferencedInstanceSequence ParametricMapFrameTypeSequence"
    ), none  # fmt: skip
    yield Action.SEQUENCE, MEANING, (
        "ModalityLUTSequence VOILUTSequence SoftcopyVOILUTSequence RadiopharmaceuticalInformationSequence "
        "EnergyWindowInformationSequence EnergyWindowRangeSequence"
    ), none  # fmt: skip


@cache
def allowed() -> Mapping[int, Allowed]:
    """Give the table by tag.

    Raises:
        KeyError: A keyword is none of the data dictionary's (PS3.6).
    """
    from pydicom.datadict import tag_for_keyword

    table: dict[int, Allowed] = {}
    for action, why, keywords, terms in _groups():
        for keyword in keywords.split():
            tag = tag_for_keyword(keyword)
            if tag is None or tag in table:
                raise KeyError(keyword)
            table[tag] = Allowed(action, why, terms)
    return MappingProxyType(table)
