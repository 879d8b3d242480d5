"""One file of a cohort, cleaned into its place in the export, or why it stays behind: what a worker process does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from medmm.errors import Code, Rejected
from medmm.files import write_bytes, writing
from medmm.privacy.forms import BadValueError
from medmm.privacy.headers import cleaned
from medmm.privacy.key import Key
from medmm.privacy.known import KnownValues
from medmm.privacy.loose import cleaned_jpeg, cleaned_nifti, cleaned_png
from medmm.privacy.people import Person, known_of
from medmm.privacy.places import dicom_place, image_place
from medmm.privacy.quarantine import RELEASED, Reason, reason_of
from medmm.privacy.table_files import TEXTS
from medmm.readers.dicom_file import read_header
from medmm.readers.formats import DICOM_SUFFIXES, Format, format_of
from medmm.readers.quiet import quiet

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

WHERE = "a file"
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
STANDARD_SYNTAXES = "1.2.840.10008.1.2"


@dataclass(frozen=True)
class Done:
    """What became of a file.

    Attributes:
        code: Why it stays behind; None where it was written, or is a table.
        place: Where it was written, below the export; None where it was not.
        patient: Patient ID as it stood; "" where there is none.
        known: What its header says of people.
        uids: Those of the original, which must not be found in what was written.
        table: Whether it is for those who clean tables.
    """

    code: Code | Reason | None = None
    place: PurePosixPath | None = None
    patient: str = ""
    known: KnownValues = field(default_factory=KnownValues)
    uids: tuple[str, ...] = ()
    table: bool = False


def exporter(key: Key, source: Path, out: Path, *, pixels_checked: bool) -> Callable[[PurePosixPath], Done]:
    """Give a function that cleans a file of a cohort, named by its place below it.

    Args:
        key: What makes pseudonyms, UIDs and dates.
        source: Folder of the cohort.
        out: Folder of the export.
        pixels_checked: Whether somebody has looked for text in the pixels of those that are only at risk.
    """
    return partial(_export, key, source, out, pixels_checked)


def _export(key: Key, source: Path, out: Path, pixels_checked: bool, file: PurePosixPath) -> Done:
    path = source / file
    try:
        kind = _format_of(path)
        if kind is Format.DICOM:
            return _dicom(key, path, out, file, pixels_checked)
        if kind is not None:
            return _loose(key, path, out, file, kind, pixels_checked)
        if path.suffix.lower() in TEXTS:
            return Done(table=True)
        return Done(Code.MALFORMED if path.suffix.lower() in DICOM_SUFFIXES else Reason.NOT_COVERED)
    except Rejected as rejected:
        return Done(Reason.NO_IMAGE if rejected.code is Code.NOT_AN_IMAGE else rejected.code)
    except MemoryError:
        raise
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - whatever a library did not foresee costs this file alone
        return Done(Code.CRASH)


def _format_of(path: Path) -> Format | None:
    """Tell the format of a file; None of an empty table or note, which is one all the same.

    Raises:
        Rejected: Another file that is empty or cannot be opened.
    """
    try:
        return format_of(path, WHERE)
    except Rejected:
        if path.suffix.lower() in TEXTS:
            return None
        raise


def _dicom(key: Key, path: Path, out: Path, file: PurePosixPath, pixels_checked: bool) -> Done:
    """Clean a DICOM file.

    Raises:
        Rejected: It is cut off or contradicts itself.
    """
    header = read_header(path, WHERE, whole=True)
    if header.pixels is not None and header.pixels.length is not None and header.pixels.length > header.pixels.available:
        raise _cut_off()
    with quiet():
        dataset = _read(path)
        patient = str(dataset.get("PatientID") or "").strip(" \0")
        known = known_of(dataset)
        reason = reason_of(dataset)
        if reason is not None and not (pixels_checked and reason in RELEASED):
            return Done(reason, patient=patient, known=known)
        uids = tuple(str(dataset[keyword].value) for keyword in UIDS if dataset.get(keyword))
        if len(uids) < len(UIDS) - 1 or not header.syntax.startswith(STANDARD_SYNTAXES):
            return Done(Code.HEADER, patient=patient, known=known)
        try:
            made = cleaned(dataset, key, Person(patient, known))
        except BadValueError:
            return Done(Code.HEADER, patient=patient, known=known)
        place = dicom_place(key, patient, uids[0], uids[1], file)
        with writing(out / place) as temporary:
            made.save_as(temporary, enforce_file_format=True)
    return Done(place=place, patient=patient, known=known, uids=uids)


def _read(path: Path) -> FileDataset:
    from pydicom import dcmread

    try:
        return dcmread(path)
    except EOFError:
        raise _cut_off() from None


def _loose(key: Key, path: Path, out: Path, file: PurePosixPath, kind: Format, pixels_checked: bool) -> Done:
    """Clean an image that is no DICOM; of a picture no header says whether something is written in it.

    Raises:
        Rejected: It is cut off or contradicts itself.
    """
    if kind is not Format.NIFTI and not pixels_checked:
        return Done(Reason.RISK)
    content = path.read_bytes()
    clean, suffix = {
        Format.NIFTI: (cleaned_nifti, ".nii.gz" if content.startswith(b"\x1f\x8b") else ".nii"),
        Format.PNG: (cleaned_png, ".png"),
        Format.JPEG: (cleaned_jpeg, ".jpg"),
    }[kind]
    place = image_place(key, file, suffix)
    write_bytes(out / place, clean(content, WHERE))
    return Done(place=place)


def _cut_off() -> Rejected:
    return Rejected(Code.TRUNCATED, WHERE, "a file that ends within its data", "the whole file", "copy it again")
