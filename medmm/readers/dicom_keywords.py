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

HEADER_KEYWORDS = (
    *PART_KEYWORDS,
    "SpecificCharacterSet",
    "SOPInstanceUID",
    "AccessionNumber",
    "StudyDate",
    "StudyTime",
    "Manufacturer",
    "SeriesDescription",
    "PatientID",
    "BodyPartExamined",
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
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionIndexSequence",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
)
"""All that is read of a header."""

PRIVATE_TILES = (
    (0x00190010, "SIEMENS MR HEADER", 0x0019100A),
    (0x00650010, "Image Private Header", 0x00651050),
)
"""Creator tag, creator and attribute that mark the slices of a volume laid out as tiles of one image: Siemens' mosaic (Number
Of Images In Mosaic) and United Imaging's grid (MR VFrame Sequence)."""
