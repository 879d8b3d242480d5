"""Structured reports as notes: headings and text, no person, nothing partial or cut off."""

import io
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medmm.errors import Code, Rejected
from medmm.readers import dicom_sr
from medmm.readers.note_sections import split_sections
from medmm.readers.notes import read_note

BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"
DOSE = "1.2.840.10008.5.1.4.1.1.88.67"
SECRET = "Quoxzybar"


def code(meaning: str, value: str = "121070") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def node(kind: str, name: str, *children: Dataset, relationship: str = "CONTAINS") -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, kind
    item.ConceptNameCodeSequence = [code(name)]
    if children:
        item.ContentSequence = list(children)
    return item


def text(name: str, value: str, *children: Dataset, relationship: str = "CONTAINS") -> Dataset:
    item = node("TEXT", name, *children, relationship=relationship)
    item.TextValue = value
    return item


def person(name: str) -> Dataset:
    item = node("PNAME", name)
    item.PersonName = SECRET
    return item


def number(name: str, value: str, unit: str) -> Dataset:
    item = node("NUM", name)
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = value, [code("unit", unit)]
    item.MeasuredValueSequence = [measured]
    return item


def coded(name: str, value: str, relationship: str = "CONTAINS") -> Dataset:
    item = node("CODE", name, relationship=relationship)
    item.ConceptCodeSequence = [code(value)]
    return item


def report(*content: Dataset, sop_class: str = BASIC_TEXT, **attributes: object) -> bytes:
    dataset = node("CONTAINER", "Radiology Diagnosis Report", *content)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.ReferringPhysicianName = SECRET, SECRET, SECRET
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "VERIFIED"
    for name, value in attributes.items():
        setattr(dataset, name, value)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read(folder: Path, content: bytes) -> str:
    path = folder / f"{SECRET}.txt"
    path.write_bytes(content)
    return read_note(path)


def refusal(folder: Path, content: bytes) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(folder, content)
    assert SECRET not in str(caught.value)
    return caught.value


WHOLE = report(
    coded("Language of Content Item and Descendants", "English", "HAS CONCEPT MOD"),
    text("Subject Name", SECRET, relationship="HAS OBS CONTEXT"),
    person("Person Observer Name"),
    node(
        "CONTAINER",
        "History",
        text("History", "Fever.\r\nNo cough.", person("Informant")),
        person("Informant"),
    ),
    node(
        "CONTAINER",
        "Findings",
        text("Finding", "Opacity, größer"),
        number("Diameter", "12.5", "mm"),
        coded("Laterality", "Left", "HAS CONCEPT MOD"),
    ),
    text("Impression", "Pneumonia"),
)


def test_a_report_becomes_a_note_of_headings_and_text_by_hand(tmp_path: Path) -> None:
    note = read(tmp_path, WHOLE)
    assert note == (
        "History:\nHistory: Fever.\nNo cough.\nFindings:\nFinding: Opacity, größer\nDiameter: 12.5 mm\nLaterality: Left\n"
        "Impression: Pneumonia"
    )
    assert [section.name for section in split_sections(note)] == ["history"] * 2 + ["findings"] * 2 + ["impression"]


def test_no_person_is_carried_on(tmp_path: Path) -> None:
    assert SECRET.encode() in WHOLE
    assert SECRET not in read(tmp_path, WHOLE)


def test_an_unverified_report_is_read_and_a_partial_one_refused(tmp_path: Path) -> None:
    body = text("Finding", "Opacity")
    assert read(tmp_path, report(body, VerificationFlag="UNVERIFIED")) == "Finding: Opacity"
    assert refusal(tmp_path, report(body, CompletionFlag="PARTIAL")).code is Code.UNSUPPORTED


@pytest.mark.parametrize("sop_class", [DOSE, "1.2.840.10008.5.1.4.1.1.2"])
def test_other_dicom_objects_are_no_notes(tmp_path: Path, sop_class: str) -> None:
    assert refusal(tmp_path, report(text("Finding", SECRET), sop_class=sop_class)).code is Code.UNSUPPORTED


def test_a_report_that_is_cut_off_is_never_read_in_part(tmp_path: Path) -> None:
    for end in range(140, len(WHOLE)):
        assert refusal(tmp_path, WHOLE[:end]).code in (Code.TRUNCATED, Code.MALFORMED, Code.EMPTY, Code.UNSUPPORTED)


def test_a_report_that_nests_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    deep = text("Finding", "Opacity")
    for _ in range(30):
        deep = node("CONTAINER", "Findings", deep)
    assert refusal(tmp_path, report(deep)).code is Code.MALFORMED


def test_a_report_without_text_is_an_empty_note(tmp_path: Path) -> None:
    assert read(tmp_path, report(person("Informant"))) == ""


def test_a_report_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(WHOLE)
    with pytest.raises(Rejected) as caught:
        dicom_sr.read_report(path, "the note", 40)
    assert caught.value.code is Code.TOO_LARGE
