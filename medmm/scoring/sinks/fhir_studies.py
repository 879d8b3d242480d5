"""Which imaging studies the images of a study are of, by their StudyInstanceUIDs, kept for when the files are gone."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from medmm.errors import Rejected
from medmm.files import write_private
from medmm.readers.dicom_file import read_header
from medmm.readers.formats import Format, format_of
from medmm.scoring.sinks.base import Row
from medmm.scoring.sinks.dicom_source import memory_name
from medmm.types import Study

MEMORY = ".fhir"
"""Folder of what was read of headers, in that of the results."""

UID = re.compile(r"[0-9]+(?:\.[0-9]+)+")
LONGEST_UID = 64
"""DICOM PS3.5, section 9.1."""


def remember_uids(studies: Sequence[Study], out: Path) -> None:
    """Read the UIDs of studies while their files are there, and keep them; the output folder may be the only place left."""
    for study in studies:
        row = {"patient_id": study.patient_id, "study_id": study.study_id}
        uids = uids_of(study)
        if uids and uids != _recalled(row, out):
            write_private(_file(row, out), json.dumps(uids).encode())


def uids_for(row: Row, study: Study | None, out: Path) -> list[str]:
    """Give the StudyInstanceUIDs of the study of a row: of its files, where they are there, else what is remembered."""
    if study is not None and all(file.exists() for file in _firsts(study)):
        return uids_of(study)
    return _recalled(row, out)


def uids_of(study: Study) -> list[str]:
    """Give the StudyInstanceUIDs of the DICOM images of a study, each once; of an image the first file tells.

    A file that is gone or of another format tells none.
    """
    found = dict.fromkeys(map(_uid, _firsts(study)))
    return [uid for uid in found if _is_uid(uid)]


def _firsts(study: Study) -> list[Path]:
    return [image[0] for one in study.evidence.values() for image in one.images() if image]


def _uid(file: Path) -> str:
    try:
        if format_of(file, "an image") is not Format.DICOM:
            return ""
        return read_header(file, "an image").attributes.text("StudyInstanceUID")
    except (Rejected, OSError):
        return ""


def _is_uid(text: object) -> bool:
    return isinstance(text, str) and UID.fullmatch(text) is not None and len(text) <= LONGEST_UID


def _recalled(row: Row, out: Path) -> list[str]:
    try:
        plain = json.loads(_file(row, out).read_bytes())
    except (OSError, ValueError):
        return []
    return [uid for uid in plain if _is_uid(uid)] if isinstance(plain, list) else []


def _file(row: Row, out: Path) -> Path:
    return out / MEMORY / f"{memory_name(row)}.json"
