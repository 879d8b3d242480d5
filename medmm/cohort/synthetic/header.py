"""What every DICOM object of the cohort says of patient, study, series and equipment: an image as well as an ECG."""

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, generate_uid

from medmm.cohort.synthetic.truth import StudyTruth


def study_dataset(study: StudyTruth, modality: str, sop_class: UID, transfer_syntax: UID, instance: str) -> Dataset:
    """Begin an object of a study: modules of PS3.3, sections C.7.1.1, C.7.2.1, C.7.3.1, C.7.5.1 and C.12.1.

    Args:
        study: Whose it is, and when it was made.
        modality: DICOM Modality; the objects of one are one series.
        sop_class: Kind of object.
        transfer_syntax: How the file is written.
        instance: Tells it from the other objects of its series.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = uid(study, modality, "instance", instance)
    dataset.PatientName = study.person.name
    dataset.PatientID = study.patient_id
    dataset.PatientBirthDate = f"{study.person.birth_date:%Y%m%d}"
    dataset.PatientSex = study.person.sex
    dataset.PatientAge = f"{study.age_years:03d}Y"
    dataset.StudyInstanceUID = study.study_uid
    dataset.StudyID = str(study.order + 1)
    dataset.AccessionNumber = study.study_id
    dataset.ReferringPhysicianName = ""
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = f"{study.time:%Y%m%d}"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = f"{study.time:%H%M%S}"
    dataset.Modality = modality
    dataset.SeriesInstanceUID = uid(study, modality, "series")
    dataset.Manufacturer = "Synthetic"
    dataset.InstitutionName = f"Site {study.person.site}"
    return dataset


def code(value: str, scheme: str, meaning: str, version: str = "") -> Dataset:
    """Give an item of a code sequence: PS3.3, section 8; a version is for a scheme that cannot do without."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    if version:
        item.CodingSchemeVersion = version
    return item


def uid(study: StudyTruth, *what: str) -> str:
    """Give a UID that this part of this study has every time it is made."""
    return str(generate_uid(entropy_srcs=[study.study_uid, *what]))
