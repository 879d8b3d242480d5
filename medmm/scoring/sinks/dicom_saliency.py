"""What the model looked at, as DICOM Secondary Captures in a series of their own in the study of the images.

A picture an image input: the image as the model saw it, and what in it speaks for the answer, as `medmm explain` draws it.
That it is for research stands in it. It is made while the files of the study are there, kept as PNG for its owner alone, and
becomes a DICOM object at the end.

Source: DICOM PS3.3, section A.8.1 (Secondary Capture Image), C.7.6.1 (General Image) and C.12.4 (General Reference).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medmm.errors import MedmmError
from medmm.files import digest, write_private, writing_folder
from medmm.package import Package
from medmm.scoring.identity import study_digest
from medmm.scoring.sinks.base import Reporter, Row
from medmm.scoring.sinks.dicom_object import (
    FOLDERS,
    Objects,
    complete,
    evidence_of,
    object_uid,
    series_uid,
    writer_of_dicom,
)
from medmm.scoring.sinks.dicom_source import (
    LONG,
    MEMORY,
    UNREAD,
    Source,
    memory_name,
    one_line,
    read_memory,
    recall_source,
    remember_sources,
)
from medmm.types import Array, Study

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FOLDER = FOLDERS["saliency"]
SERIES_NUMBER = 9902

IN_PICTURE = "RESEARCH USE ONLY, not a diagnosis"
"""Stands in each picture."""

MOST_LETTERS = 40
"""Of the name of a class in a picture."""

NO_PICTURE = "no image that could be explained"

Kept = Mapping[str, tuple[bytes, str]]
"""Input -> picture as PNG, and what it explains."""


def pictures(package: Package, study: Study) -> dict[str, tuple[bytes, str]]:
    """Explain the images of a study, and draw what was found.

    Args:
        package: The model.
        study: Whose files are there.

    Raises:
        MedmmError: It cannot be explained.
    """
    from medmm.explanation.pictures import NO_BETTER, draw, png
    from medmm.explanation.study import explain

    found = explain(package, study, images_alone=True)
    name = found.answer.explained.name
    shown = one_line(name, MOST_LETTERS)
    what = f"{IN_PICTURE}: what speaks for {shown}" if shown.isascii() and shown.isprintable() else IN_PICTURE
    made = {}
    for share in found.images:
        lines = [what, NO_BETTER] if share.deletion.passed is False else [what]
        made[share.name] = png(draw(share, "\n".join(lines))), name
    return made


def capture(source: Source, row: Row, package: Package, picture: bytes, explained: str, name: str, number: int) -> Dataset:
    """Make the DICOM object of a picture.

    Args:
        source: The images that the model has read.
        row: Of `scores`.
        package: The model.
        picture: As PNG.
        explained: Name of the answer.
        name: Of the input.
        number: Of the picture among those of the study, from 1.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    pixels = _pixels(picture)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.SOPInstanceUID = capture_uid(source, row, package, picture, name)
    made.StudyInstanceUID, made.SeriesInstanceUID = source.study, series_uid("saliency", source, package)
    made.Modality, made.SeriesNumber, made.InstanceNumber = "OT", SERIES_NUMBER, number
    made.ConversionType = "WSD"  # workstation
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        setattr(made, keyword, "")
    made.AccessionNumber = made.ReferringPhysicianName = made.PatientOrientation = made.Laterality = ""
    made.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    if source.burned_in:  # what our own letters say names nobody
        made.BurnedInAnnotation = source.burned_in
    made.DerivationDescription = one_line(
        f"Saliency of a statistical model for {explained}, input {name}, by occlusion. {IN_PICTURE}."
    )
    made.SourceImageSequence = [_reference(image) for image in evidence_of(source)]
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.Rows, made.Columns = pixels.shape[:2]
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    content = pixels.tobytes()
    made.add_new("PixelData", "OB", content + b"\0" * (len(content) % 2))
    complete(made, source, package, row, "saliency")
    made.ImageComments = one_line(f"{IN_PICTURE}. What speaks for {explained}.")
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = made.ContentDate, made.ContentTime
    return made


def capture_uid(source: Source, row: Row, package: Package, picture: bytes, name: str) -> str:
    """Give the SOP Instance UID of a picture of an answer."""
    return object_uid("saliency", source, package, {**row, "input": name, "picture": digest(picture)})


def _pixels(picture: bytes) -> Array:
    """Give a PNG as (rows, columns, 3) bytes."""
    from PIL import Image

    with Image.open(BytesIO(picture)) as opened:
        return np.asarray(opened.convert("RGB"), np.uint8)


def _reference(image: Dataset) -> Dataset:
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes

    purpose, item = Dataset(), Dataset()
    code = codes.DCM.SourceImageForImageProcessingOperation
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = code.value, "DCM", one_line(code.meaning, LONG)
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _keep(file: Path, study: Study, package: Package) -> None:
    """Draw the pictures of a study where that was not done before, and keep them."""
    known, as_now = read_memory(file), study_digest(study)
    if known is not None and (known.get("digest"), known.get("model")) == (as_now, package.digest):
        return
    try:
        made = pictures(package, study)
    except MedmmError:
        made = {}
    plain = {}
    for number, (name, (picture, explained)) in enumerate(made.items()):
        plain[name] = [f"{file.stem}.{number}.png", explained]
        write_private(file.with_name(plain[name][0]), picture)
    write_private(file, json.dumps({"digest": as_now, "model": package.digest, "pictures": plain}).encode())


def _recall(row: Row, out: Path, package: Package) -> Kept | str:
    known = read_memory(_file(out, memory_name(row)))
    if known is None or known.get("model") != package.digest:
        return UNREAD
    try:
        kept = {str(name): ((out / MEMORY / file).read_bytes(), str(said)) for name, (file, said) in known["pictures"].items()}
    except FileNotFoundError:
        return UNREAD
    return kept or NO_PICTURE


def _file(out: Path, name: str) -> Path:
    return out / MEMORY / f"{name}.saliency.json"


class _Captures:
    """Writes captures into a folder that appears when all are there."""

    def __init__(self, out: Path, folder: Path, package: Package) -> None:
        self._out = out
        self._package = package
        self._objects = Objects("DICOM pictures of saliency", folder, out / FOLDER)

    def scored(self, row: Row, study: Study | None) -> None:
        """Write the pictures of a study; one that was written before stays as it was."""
        source, kept = recall_source(row, self._out), _recall(row, self._out, self._package)
        if isinstance(source, str) or isinstance(kept, str):
            self._objects.leave_out(source if isinstance(source, str) else str(kept))
            return
        for number, (name, (picture, explained)) in enumerate(kept.items(), 1):
            make = partial(capture, source, row, self._package, picture, explained, name, number)
            self._objects.keep(capture_uid(source, row, self._package, picture, name), make)

    def rejected(self, row: Row, study: Study | None) -> None:
        """Say nothing of a study that must not be scored."""

    def told(self) -> str:
        """Say how many pictures there are, and why some studies have none."""
        return self._objects.told()


class DicomSaliency:
    """`dicom_saliency/UID.dcm`, one an image input of a scored study with DICOM images. Takes seconds a study."""

    def look(self, studies: Sequence[Study], out: Path, package: Package) -> None:
        """Read the headers and explain the images of studies while their files are there."""
        with writer_of_dicom():
            remember_sources(studies, out)
            for study in studies:
                row = {"patient_id": study.patient_id, "study_id": study.study_id}
                if not isinstance(recall_source(row, out), str):
                    _keep(_file(out, memory_name(row)), study, package)

    @contextmanager
    def open(self, out: Path, package: Package) -> Iterator[Reporter]:
        """Start the folder of pictures."""
        with writer_of_dicom(), writing_folder(out / FOLDER) as folder:
            yield _Captures(out, folder, package)
