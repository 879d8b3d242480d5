"""What a DICOM object about a study repeats of its images, so that an archive files it beside them, and which images these are.

Only what the standard allows is taken over: a header's text is made to fit its value representation, and an identifier that
does not fit is never cut, for a part of it may be somebody else's.

Source: DICOM PS3.3, sections C.7.1.1 (Patient), C.7.2.1 (General Study) and C.17.2 (evidence); PS3.5, table 6.2-1.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from medmm.errors import Rejected
from medmm.files import digest, write_private
from medmm.readers.dicom_attributes import Attributes
from medmm.readers.dicom_file import read_header
from medmm.scoring.identity import study_digest
from medmm.scoring.sinks.base import Row
from medmm.settings import Plain
from medmm.types import Study

MEMORY = ".dicom"
"""Folder for what was read of headers, in that of the results; private, for it names patients."""

LONG, SHORT = 64, 16
"""Characters of the value representations LO, a group of PN, and SH."""

GROUPS, COMPONENTS = 3, 5
"""Of a name: alphabetic, ideographic and phonetic; family, given, middle, prefix and suffix."""

UID = re.compile(r"\d+(\.\d+)+")
TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
ZONE = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")

NOT_DICOM = "no image is DICOM"
NO_STUDY = "no usable Study Instance UID"
NO_INSTANCE = "no usable SOP Instance UID"
NO_PATIENT = "a Patient ID that DICOM does not allow"
OTHERS = "images of several patients"
SEVERAL_ROWS = "several rows with one identifier"
UNREAD = "images that an earlier scoring has read, without this report"

KEYWORDS = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "Modality",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
    "BurnedInAnnotation",
)


@dataclass(frozen=True, order=True)
class Reference:
    """An image that the model has read."""

    study: str
    series: str
    sop_class: str
    uid: str


@dataclass(frozen=True)
class Source:
    """The images of a study, and what their headers say of patient and study.

    Attributes:
        study: Study Instance UID of the study that an object about them belongs to.
        modality: Of the first image; "" where it states none.
        header: Keyword -> text that fits its value representation; empty where nothing usable is stated.
        images: In the order of their UIDs.
        burned_in: Whether their pixels may name the patient, YES or NO; "" where not all headers state it.
    """

    study: str
    modality: str
    header: Mapping[str, str]
    images: tuple[Reference, ...]
    burned_in: str = ""

    def plain(self) -> Plain:
        """Give it as plain data."""
        images = [[one.study, one.series, one.sop_class, one.uid] for one in self.images]
        return {
            "study": self.study,
            "modality": self.modality,
            "header": dict(self.header),
            "images": images,
            "burned_in": self.burned_in,
        }


def read_source(study: Study) -> Source | str:
    """Read the headers of the images of a study.

    Returns:
        What they say, or why no DICOM object can be made of it, in words without a patient.
    """
    headers = list(_headers(study))
    if not headers:
        return NOT_DICOM
    found = [(_reference(one), one) for one in headers]
    if not any(UID.fullmatch(reference.study) for reference, _ in found):
        return NO_STUDY
    usable = [(reference, one) for reference, one in found if _is_usable(reference)]
    if not usable:
        return NO_INSTANCE
    if len({(one.text("PatientID"), one.text("IssuerOfPatientID")) for _, one in usable}) > 1:
        return OTHERS
    if one_line(usable[0][1].text("PatientID")) != usable[0][1].text("PatientID") or len(usable[0][1].text("PatientID")) > LONG:
        return NO_PATIENT
    ours = _own_study(study, usable)
    first = next(one for reference, one in usable if reference.study == ours)
    modality = first.text("Modality")
    return Source(
        ours,
        modality if re.fullmatch(r"[A-Z0-9_ ]{1,16}", modality) else "",
        {keyword: fit(first.text(keyword)) for keyword, fit in FITTED.items()},
        tuple(sorted({reference for reference, _ in usable})),
        _burned_in([one.text("BurnedInAnnotation") for one in headers]),
    )


def _burned_in(stated: Sequence[str]) -> str:
    return "YES" if "YES" in stated else "NO" if set(stated) == {"NO"} else ""


def _headers(study: Study) -> Iterator[Attributes]:
    """Give the header of each DICOM file that the model has read of a study."""
    files = dict.fromkeys(file for _, one in sorted(study.evidence.items()) for file in one.files)
    for file in files:
        with suppress(Rejected, OSError):
            yield read_header(file, study.key, KEYWORDS).attributes


def _reference(header: Attributes) -> Reference:
    return Reference(*map(header.text, ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")))


def _is_usable(one: Reference) -> bool:
    return all(UID.fullmatch(uid) and len(uid) <= LONG for uid in (one.study, one.series, one.sop_class, one.uid))


def _own_study(study: Study, found: Sequence[tuple[Reference, Attributes]]) -> str:
    """Choose the study that a report belongs to, of images from several: the one that the table names, else the latest."""
    uids = {reference.study: fit_date(header.text("StudyDate")) for reference, header in reversed(found)}
    return study.study_id if study.study_id in uids else max(uids, key=lambda uid: (uids[uid], uid))


def one_line(text: str, most: int | None = None) -> str:
    """Give a text as one value of one line: without control characters and backslashes, cut to the length of its kind."""
    kept = "".join(" " if one == "\\" or unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} else one for one in text)
    return kept.strip()[:most].strip()


def fit_name(text: str) -> str:
    """Give a person's name with at most three groups of five components, each group of 64 characters."""
    groups = one_line(text).split("=")[:GROUPS]
    return "=".join("^".join(group.split("^")[:COMPONENTS])[:LONG] for group in groups).rstrip("=^")


def fit_date(text: str) -> str:
    """Give a date; "" where it is none."""
    with suppress(ValueError):
        return date.fromisoformat(text).strftime("%Y%m%d") if re.fullmatch(r"\d{8}", text) else ""
    return ""


def _whole(most: int) -> Callable[[str], str]:
    """Give what takes a text whole or not at all."""
    return lambda text: text if len(text) <= most and one_line(text) == text else ""


def _fitting(pattern: str) -> Callable[[str], str]:
    return lambda text: text if re.fullmatch(pattern, text) else ""


def _cut(most: int) -> Callable[[str], str]:
    return lambda text: one_line(text, most)


FITTED: Mapping[str, Callable[[str], str]] = {
    "PatientName": fit_name,
    "PatientID": _whole(LONG),
    "IssuerOfPatientID": _whole(LONG),
    "PatientBirthDate": fit_date,
    "PatientSex": _fitting("[MFO]"),
    "StudyDate": fit_date,
    "StudyTime": _fitting(TIME.pattern),
    "StudyID": _whole(SHORT),
    "StudyDescription": _cut(LONG),
    "AccessionNumber": _whole(SHORT),
    "ReferringPhysicianName": fit_name,
    "TimezoneOffsetFromUTC": _fitting(ZONE.pattern),
}
"""What is repeated of a header, and how it is made to fit."""


def memory_name(row: Row) -> str:
    """Give the name under which something of a study is remembered."""
    return digest([str(row["patient_id"]), str(row["study_id"])])


def remember_sources(studies: Sequence[Study], out: Path) -> None:
    """Read the headers of studies while their files are there, and keep what they say for the report at the end.

    Args:
        studies: That were scored.
        out: Folder of the results.
    """
    rows = Counter((study.patient_id, study.study_id) for study in studies)
    for study in studies:
        file = _file(out, {"patient_id": study.patient_id, "study_id": study.study_id})
        known, as_now = read_memory(file), study_digest(study)
        if known is not None and known.get("digest") == as_now:
            continue
        several = rows[study.patient_id, study.study_id] > 1
        source = SEVERAL_ROWS if several else read_source(study)
        plain = source if isinstance(source, str) else source.plain()
        write_private(file, json.dumps({"digest": as_now, "source": plain}, sort_keys=True).encode())


def recall_source(row: Row, out: Path) -> Source | str:
    """Give what is remembered of the study of a row, or why there is nothing."""
    known = read_memory(_file(out, row))
    plain = None if known is None else known.get("source")
    if not isinstance(plain, Mapping):
        return plain if isinstance(plain, str) else UNREAD
    images = tuple(Reference(*map(str, one)) for one in plain["images"])
    header = {str(keyword): str(text) for keyword, text in plain["header"].items()}
    return Source(str(plain["study"]), str(plain["modality"]), header, images, str(plain["burned_in"]))


def _file(out: Path, row: Row) -> Path:
    return out / MEMORY / f"{memory_name(row)}.json"


def read_memory(file: Path) -> Mapping[str, Plain] | None:
    """Read what is remembered; None where there is nothing, or nothing whole."""
    try:
        plain = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return plain if isinstance(plain, dict) else None
