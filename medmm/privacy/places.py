"""Where a file of a cohort lies in its export: no name of it is kept, and the same key gives the same place."""

from collections.abc import Iterable
from os.path import commonpath
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


def new_paths(moved: Iterable[tuple[PurePosixPath, PurePosixPath]]) -> dict[str, str]:
    """Give what stands in a table in the place of the path of an image, or of a folder of images of one patient.

    A table may name a path below the cohort or, as a run file does, below one of its folders: then so does the new one, below
    `dicom` or `images`. What could mean two things is not told.

    Args:
        moved: Place in the cohort, and in the export.
    """
    whole: dict[PurePosixPath, str] = {}
    for old, new in moved:
        whole[old] = str(new)
        for folder in old.parents[:-1]:
            whole[folder] = commonpath((whole.get(folder, str(new.parent)), str(new.parent)))
    named: dict[str, set[str]] = {}
    for path, place in whole.items():
        if "/" not in place:  # images of several patients
            continue
        named.setdefault(str(path), set()).add(place)
        for start in range(1, len(path.parts)):
            named.setdefault("/".join(path.parts[start:]), set()).add(place.partition("/")[2])
    return {name: places.pop() for name, places in named.items() if len(places) == 1}
