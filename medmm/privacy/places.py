"""Where a file of a cohort lies in its export: no name of it is kept, and the same key gives the same place."""

from pathlib import PurePosixPath

from medmm.privacy.key import Key

DICOM, IMAGES = "dicom", "images"
"""Folders of an export."""


def dicom_place(key: Key, patient: str, study_uid: str, series_uid: str, file: PurePosixPath) -> PurePosixPath:
    """Give the place of a DICOM image below the export: patient, study and series by their pseudonyms, and the file's.

    Args:
        key: What makes pseudonyms.
        patient: Patient ID.
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        file: Its place in the cohort; two files of one object stay two.
    """
    folders = (("patient", patient), ("study", study_uid), ("series", series_uid))
    folder = PurePosixPath(DICOM, *(key.pseudonym(kind, value) for kind, value in folders))
    return folder / f"{key.pseudonym('file', str(file))}.dcm"


def image_place(key: Key, file: PurePosixPath, suffix: str) -> PurePosixPath:
    """Give the place of an image that is no DICOM below the export.

    Args:
        key: What makes pseudonyms.
        file: Its place in the cohort; a table that names it names this one instead.
        suffix: Such as `.nii.gz`.
    """
    return PurePosixPath(IMAGES, f"{key.pseudonym('file', str(file))}{suffix}")
