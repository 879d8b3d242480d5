"""Turn rendered chests into DICOM objects.

Attributes follow DICOM PS3.3, sections A.2 (CR), A.3 (CT) and A.26 (DX).
"""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
)

from medmm.cohort.synthetic.header import code, study_dataset, uid
from medmm.cohort.synthetic.images import render_ct, render_radiograph
from medmm.cohort.synthetic.settings import SyntheticSettings
from medmm.cohort.synthetic.storage import (
    RADIOGRAPH_LEVELS,
    Storage,
    draw_arrangement,
    draw_ct_storage,
    draw_radiograph_storage,
)
from medmm.cohort.synthetic.truth import StudyTruth
from medmm.types import Array

MODALITIES = {
    ComputedRadiographyImageStorage: "CR",
    DigitalXRayImageStorageForPresentation: "DX",
    CTImageStorage: "CT",
}
SERIES_NUMBERS = {"CR": 1, "DX": 1, "CT": 2}
RADIOGRAPH_FIELD_MM = 400.0
CT_FIELD_MM = 360.0
CT_LENGTH_MM = 300.0
ISOCENTRE_MM = (0.0, -10.0, -150.0)
"""Middle of every CT in patient coordinates."""


def radiograph_dataset(study: StudyTruth, settings: SyntheticSettings) -> Dataset:
    """Give the radiograph of a study, ready to be saved."""
    storage = draw_radiograph_storage(study, settings)
    dataset = _image(study, storage, instance=1, position=0)
    pixel_mm = RADIOGRAPH_FIELD_MM / settings.radiograph_size
    dataset.ImageType = ["ORIGINAL", "PRIMARY"] if dataset.Modality == "CR" else ["ORIGINAL", "PRIMARY", ""]
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImagerPixelSpacing = [round(pixel_mm, 6)] * 2
    dataset.WindowCenter = RADIOGRAPH_LEVELS // 2
    dataset.WindowWidth = RADIOGRAPH_LEVELS
    if dataset.Modality == "DX":
        _describe_digital_radiograph(dataset, storage)
    add_pixels(dataset, storage, render_radiograph(study, settings))
    return dataset


def ct_datasets(study: StudyTruth, settings: SyntheticSettings) -> list[Dataset]:
    """Give the slices of a study's CT in the order of their files, ready to be saved; one is missing where truth says so."""
    storage = draw_ct_storage(study, settings)
    arrangement = draw_arrangement(study, settings)
    volume = render_ct(study, settings)
    pixel_mm, slice_mm = CT_FIELD_MM / settings.ct_size, CT_LENGTH_MM / settings.ct_slices
    steps_mm = arrangement.axes * (pixel_mm, pixel_mm, slice_mm)
    middle = (np.array([settings.ct_size, settings.ct_size, settings.ct_slices]) - 1) / 2
    first_mm = np.array(ISOCENTRE_MM) - steps_mm @ middle
    missing = settings.ct_slices // 2 if study.broken == "gap" else None
    datasets = []
    for position in arrangement.file_order:
        if position == missing:
            continue
        dataset = _image(study, storage, int(arrangement.instance_numbers[position]), int(position))
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.PatientPosition = "HFS"
        dataset.FrameOfReferenceUID = uid(study, "frame of reference")
        dataset.PositionReferenceIndicator = ""
        dataset.ImageOrientationPatient = np.round(arrangement.axes[:, :2].T.ravel(), 10).tolist()
        dataset.ImagePositionPatient = np.round(first_mm + position * steps_mm[:, 2], 6).tolist()
        dataset.PixelSpacing = [round(pixel_mm, 8)] * 2
        dataset.SliceThickness = round(slice_mm, 6)
        dataset.SliceLocation = round(float(position * slice_mm), 6)
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = storage.slope, storage.intercept, "HU"
        dataset.KVP = 120
        dataset.WindowCenter, dataset.WindowWidth = -500, 1500
        add_pixels(dataset, storage, volume[position])
        datasets.append(dataset)
    return datasets


def _image(study: StudyTruth, storage: Storage, instance: int, position: int) -> Dataset:
    """Give what every kind of image says of patient, study, series and equipment."""
    modality = MODALITIES[storage.sop_class]
    dataset = study_dataset(study, modality, storage.sop_class, storage.transfer_syntax, str(position))
    dataset.AcquisitionDate, dataset.AcquisitionTime = dataset.StudyDate, dataset.StudyTime
    dataset.SeriesNumber = SERIES_NUMBERS[modality]
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = instance
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    return dataset


def _describe_digital_radiograph(dataset: Dataset, storage: Storage) -> None:
    """Add what PS3.3 sections C.8.11.1 to C.8.11.5 require of a DX image for presentation."""
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.PresentationLUTShape = "INVERSE" if storage.inverted else "IDENTITY"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if storage.inverted else -1
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, 0, "US"
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = [code("51185008", "SCT", "Chest")]
    dataset.DetectorType = "SCINTILLATOR"
    dataset.AcquisitionContextSequence = []


def add_pixels(dataset: Dataset, storage: Storage, values: Array) -> None:
    """Add the pixel data of one image, values (rows, columns) in real units, and the attributes that describe it."""
    stored = storage.to_stored(values)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if storage.inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, storage.bits, storage.bits - 1
    dataset.PixelRepresentation = int(storage.signed)
    if storage.transfer_syntax.is_encapsulated:
        dataset.compress(storage.transfer_syntax, stored, generate_instance_uid=False)
        return
    big_endian = storage.transfer_syntax == ExplicitVRBigEndian
    dataset.add_new("PixelData", "OW", stored.astype(stored.dtype.newbyteorder(">" if big_endian else "<")).tobytes())
