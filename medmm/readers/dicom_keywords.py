"""The attributes of a DICOM header that the readers and the scan look at; all others are stepped over."""

PART_KEYWORDS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPClassUID",
    "Modality",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "PhotometricInterpretation",
    "ImageType",
    "EchoTime",
    "EchoNumbers",
    "InversionTime",
    "FlipAngle",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "ComplexImageComponent",
    "ConvolutionKernel",
    "RescaleType",
    "Units",
)
"""Files that differ in one of these cannot share a volume."""

MOMENT_KEYWORDS = ("AcquisitionNumber", "TriggerTime", "AcquisitionTime")
"""What tells the volumes of a series apart that was taken again and again at the same places."""

HEADER_KEYWORDS = (
    *PART_KEYWORDS,
    *MOMENT_KEYWORDS,
    "SpecificCharacterSet",
    "SOPInstanceUID",
    "FileSetID",
    "AccessionNumber",
    "StudyDate",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionDateTime",
    "Manufacturer",
    "ManufacturerModelName",
    "SeriesDescription",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientAge",
    "PatientWeight",
    "CorrectedImage",
    "DecayCorrection",
    "SUVType",
    "RadiopharmaceuticalInformationSequence",
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
    "BodyPartExamined",
    "ContrastBolusAgent",
    "ContrastBolusAgentSequence",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SeriesNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "ConcatenationUID",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "NumberOfFrames",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "LUTDescriptor",
    "LUTData",
    "FloatPixelPaddingValue",
    "FloatPixelPaddingRangeLimit",
    "DoubleFloatPixelPaddingValue",
    "DoubleFloatPixelPaddingRangeLimit",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionIndexSequence",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
)
"""All that is read of a header."""

PRIVATE_TILES = (
    (0x00190010, "SIEMENS MR HEADER", 0x0019100A),
    (0x00650010, "Image Private Header", 0x00651050),
)
"""Creator tag, creator and attribute that mark the slices of a volume laid out as tiles of one image: Siemens' mosaic (Number
Of Images In Mosaic) and United Imaging's grid (MR VFrame Sequence)."""

MOSAIC_HEADER = (0x00290010, "SIEMENS CSA HEADER", 0x00291010)
"""The same for what tells of the slices of a Siemens mosaic, the CSA image header."""

PHILIPS_SUV = (0x70530010, "Philips PET Private Group", 0x70531000)
"""The same for the factor from counts to SUV by body weight."""

PRIVATE = (*PRIVATE_TILES, MOSAIC_HEADER, PHILIPS_SUV)
"""All that is read of private attributes."""
