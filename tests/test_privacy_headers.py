"""What is let through of a header: by the list, by the form of a value, and never what is known of its person."""

from pathlib import Path, PurePosixPath

import numpy as np
import planted_headers as planted
import pydicom
import pytest
from pydicom.dataset import Dataset
from test_readers_dicom import read_image, save_enhanced

from medmm.privacy.allowed import Action, allowed
from medmm.privacy.dates import shifted_date, shifted_moment
from medmm.privacy.forms import BadValueError, may_be_so_many, shown_age, terms_within
from medmm.privacy.headers import cleaned
from medmm.privacy.key import Key
from medmm.privacy.one_file import exporter
from medmm.privacy.people import Person, forms_of, known_of
from medmm.privacy.places import new_paths
from medmm.privacy.terms import DESCRIPTIONS
from medmm.readers.dicom_attributes import tag_of
from medmm.readers.dicom_keywords import HEADER_KEYWORDS

KEY = Key(bytes(range(32)))
NOT_KEPT = {"SpecificCharacterSet", "FileSetID"}
"""What is kept is ASCII; a file set is not kept."""


def clean(dataset: Dataset) -> Dataset:
    return cleaned(dataset, KEY, Person(str(dataset.PatientID), known_of(dataset)))


def test_what_the_readers_look_at_is_on_the_list() -> None:
    assert {keyword for keyword in HEADER_KEYWORDS if tag_of(keyword) not in allowed()} == NOT_KEPT


def test_no_attribute_of_a_person_is_kept_as_it_is() -> None:
    from pydicom.datadict import dictionary_VR, keyword_for_tag

    kept = {tag: rule for tag, rule in allowed().items() if rule.action in (Action.KEEP, Action.DEVICE)}
    assert not [keyword_for_tag(tag) for tag in kept if dictionary_VR(tag) in ("PN", "LT", "ST", "UT", "DA", "DT", "UI", "UN")]
    assert all(rule.why for rule in allowed().values())


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("20240301", "20240220"),
        ("2024.03.01", "20240220"),
        (" 20240301 ", "20240220"),
        ("20240230", ""),
        ("202403", ""),
        ("", ""),
        ("00010101", ""),
        ("20240301-20240401", ""),
    ],
)
def test_a_date_moves_by_days_or_goes(text: str, moved: str) -> None:
    assert shifted_date(text, -10) == moved


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("20240301", "20240220"),
        ("20240301235959.999999+0200", "20240220235959.999999+0200"),
        ("202403011200", "202402201200"),
        ("2024", ""),
        ("20240301x", ""),
    ],
)
def test_a_moment_keeps_its_time(text: str, moved: str) -> None:
    assert shifted_moment(text, -10) == moved


@pytest.mark.parametrize(
    ("age", "shown"), [("089Y", "089Y"), ("090Y", "090Y"), ("101Y", "090Y"), ("999M", "999M"), ("012D", "012D"), ("", "")]
)
def test_ages_of_90_and_above_are_one(age: str, shown: str) -> None:
    assert shown_age(age) == shown


def test_what_is_no_age_is_none() -> None:
    with pytest.raises(BadValueError):
        shown_age("Zqfam")


def test_an_age_that_is_not_stated_is_told_from_the_dates_before_they_go() -> None:
    dataset = planted.base(day="20200101")
    dataset.PatientBirthDate = "19200102"
    assert clean(dataset).PatientAge == "090Y"
    dataset.PatientBirthDate = "19600101"
    assert (clean(dataset).PatientAge, clean(dataset).PatientBirthDate) == ("060Y", "")


def test_of_a_description_words_of_the_list_stay() -> None:
    assert (
        " ".join(terms_within("Zqfam AX T1 post-contrast 3mm, Dr. Zqgiv 19310314", DESCRIPTIONS)) == "AX T1 post contrast 3mm"
    )


@pytest.mark.parametrize(
    ("count", "keyword", "may"),
    [
        (1, "Rows", True),
        (2, "Rows", False),
        (6, "ImageOrientationPatient", True),
        (5, "WindowCenter", True),
        (4, "PixelSpacing", False),
    ],
)
def test_values_may_be_as_many_as_the_standard_says(count: int, keyword: str, may: bool) -> None:
    assert may_be_so_many(count, tag_of(keyword)) == may


def test_forms_of_a_name_by_hand() -> None:
    assert set(forms_of("Doe^Jane Ann=山田^太郎")) == {
        *("Doe^Jane Ann", "Doe Jane Ann", "Jane Ann Doe", "Doe, Jane Ann", "DoeJane Ann", "Doe", "Jane Ann", "Jane", "Ann"),
        *("山田^太郎", "山田 太郎", "太郎 山田", "山田, 太郎", "山田太郎", "山田", "太郎"),
    }
    assert list(forms_of("ANONYMOUS")) == []


def test_a_name_in_utf_8_is_known_where_the_header_does_not_say_so() -> None:
    dataset = Dataset()
    dataset.PatientName = "M\u00c3\u00bcller^Eva"  # how the bytes of Müller read as Latin-1
    assert "Müller" in known_of(dataset).names


@pytest.mark.parametrize("model", ["MUELLER 3", "Muller", "MULLER"])
def test_a_name_without_its_accents_is_no_model(model: str) -> None:
    dataset = Dataset()
    dataset.PatientName, dataset.ManufacturerModelName = "Mu\u0308ller^Eva", model
    person = Person("1", known_of(dataset))
    assert person.is_named_in(model)
    assert not person.is_named_in("Mull 3000")


def test_what_is_known_is_found_in_sequences_too() -> None:
    dataset = planted.base()
    item, other = Dataset(), Dataset()
    item.PatientID, other.PersonName, other.PersonAddress = "OTHER-1", "Zqdeep^Zqdoc", "Zq road 1"
    item.PersonIdentificationCodeSequence = [other]
    dataset.OtherPatientIDsSequence = [item]
    known = known_of(dataset)
    assert {"Zqdeep Zqdoc", "Zqfam", "やまだたろう"} <= set(known.names)
    assert known.identifiers == (planted.PATIENT_NUMBER, "OTHER-1")
    assert (known.birth_dates, known.addresses) == (("1931-03-14",), ("Zq road 1",))


@pytest.mark.parametrize(
    ("keyword", "value", "left"),
    [
        ("Manufacturer", "Zqfam Medical", None),
        ("Manufacturer", "Nobodys Works", None),
        ("Manufacturer", "SIEMENS", "SIEMENS"),
        ("Manufacturer", "GE MEDICAL SYSTEMS", "GE MEDICAL SYSTEMS"),
        ("Manufacturer", "Siemens Healthineers", "Siemens Healthineers"),
        ("ConvolutionKernel", "Nobody", None),
        ("ConvolutionKernel", "BONEPLUS", "BONEPLUS"),
        ("ConvolutionKernel", "B60f", "B60f"),
        ("ImagedNucleus", "Nobody", None),
        ("ImagedNucleus", "129XE", "129XE"),
        ("StackID", "Nobody", None),
        ("StackID", "1", "1"),
        ("ManufacturerModelName", f"CT {planted.PATIENT_NUMBER}", None),
        ("ManufacturerModelName", "SOMATOM Definition AS+", "SOMATOM Definition AS+"),
        ("ManufacturerModelName", "a^b", None),
        ("TimezoneOffsetFromUTC", "ZQGIV", None),
        ("TimezoneOffsetFromUTC", "+0130", "+0130"),
        ("ScanOptions", "ZQGIV", None),
        ("ScanOptions", "HELIX", "HELIX"),
        ("BodyPartExamined", "CHEST", "CHEST"),
        ("BodyPartExamined", "SMITH", ""),
        ("PatientSex", "SMITH", ""),
        ("SOPClassUID", planted.base().SOPClassUID, planted.base().SOPClassUID),
        ("FrameOfReferenceUID", "1.2.840.10008.1.4.1.1", "1.2.840.10008.1.4.1.1"),
        ("FrameOfReferenceUID", "1.2.840.10008.8.8.19310314", KEY.uid("1.2.840.10008.8.8.19310314")),
    ],
)
def test_a_value_stays_by_its_form_and_its_list(keyword: str, value: str, left: str | None) -> None:
    dataset = planted.base()
    setattr(dataset, keyword, value)
    assert clean(dataset).get(keyword) == left


def test_a_vendor_stays_also_where_a_patient_is_called_like_it() -> None:
    dataset = planted.base()
    dataset.PatientName, dataset.Manufacturer = "Philips^Anna", "Philips"
    dataset.ManufacturerModelName = "Anna 3"
    made = clean(dataset)
    assert (made.Manufacturer, made.get("ManufacturerModelName")) == ("Philips", None)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "PixelSpacing", "ImagePositionPatient", "SliceThickness"])
def test_a_geometry_that_is_none_is_never_left_out(keyword: str) -> None:
    dataset = planted.base()
    with pytest.warns(UserWarning, match="."):
        dataset.add(pydicom.DataElement(tag_of(keyword), "LO", "Zqfam" * 20))
    with pytest.raises(BadValueError):
        clean(dataset)


def test_a_number_that_is_written_as_a_text_goes() -> None:
    dataset = planted.base()
    dataset.add(pydicom.DataElement(tag_of("PatientWeight"), "LO", "Zqsmith"))
    assert "PatientWeight" not in clean(dataset)


def test_a_code_of_a_public_scheme_stays_without_its_words() -> None:
    dataset = planted.base()
    one, other = Dataset(), Dataset()
    one.CodeValue, one.CodingSchemeDesignator, one.CodeMeaning = "51185008", "SCT", "Chest of Zqfam"
    other.CodeValue, other.CodingSchemeDesignator, other.CodeMeaning = "Zq", "99HOSP", "x"
    dataset.AnatomicRegionSequence = [one, other]
    (first,) = clean(dataset).AnatomicRegionSequence
    assert (first.CodeValue, first.CodingSchemeDesignator, first.CodeMeaning) == ("51185008", "SCT", "51185008")


def test_an_enhanced_image_is_the_same_volume(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    file = save_enhanced(tmp_path / "in" / "a", [34, 30, 32])
    with_id = pydicom.dcmread(file)
    with_id.PatientID = "1"
    with_id.save_as(file)
    done = exporter(KEY, tmp_path / "in", tmp_path / "out", pixels_checked=False)(PurePosixPath("a"))
    assert done.place is not None, done.code
    one, other = read_image([file]), read_image([tmp_path / "out" / done.place])
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.affine, other.affine)


def test_a_table_finds_images_and_folders_by_their_new_paths() -> None:
    places = {
        "scans/doe/a/1": "dicom/P/S/X/1.dcm",
        "scans/doe/a/2": "dicom/P/S/X/2.dcm",
        "scans/doe/b/1": "dicom/P/T/Y/3.dcm",
        "scans/roe/b/9": "dicom/Q/U/Z/4.dcm",
        "flat.nii": "images/5.nii",
    }
    told = new_paths((PurePosixPath(old), PurePosixPath(new)) for old, new in places.items())
    assert {
        name: told.get(name) for name in ("scans/doe", "scans/doe/a", "doe", "doe/a", "doe/a/1", "a", "b", "scans", "flat.nii")
    } == {
        "scans/doe": "dicom/P",
        "scans/doe/a": "dicom/P/S/X",
        "doe": "P",
        "doe/a": "P/S/X",
        "doe/a/1": "P/S/X/1.dcm",
        "a": "P/S/X",
        "b": None,
        "scans": None,
        "flat.nii": "images/5.nii",
    }
