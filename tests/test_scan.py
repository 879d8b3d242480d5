from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid
from test_readers_dicom import FILM, save, save_enhanced, save_stack

from medmm.cohort.persons import person_mark
from medmm.cohort.scan import LooseImage, scan
from medmm.errors import Code
from medmm.readers.formats import Format


def test_a_study_is_found_series_by_series(tmp_path: Path) -> None:
    told = {
        "AccessionNumber": "A1",
        "BodyPartExamined": "CHEST",
        "SeriesDescription": "Thorax Müller",
        "SpecificCharacterSet": "ISO_IR 192",
        "Manufacturer": "Acme",
        "SeriesNumber": 3,
    }
    files = save_stack(tmp_path / "b", [0, 2, 4], **told)
    save(tmp_path / "a", SeriesInstanceUID=generate_uid(), **FILM)
    film, ct = scan(tmp_path).series
    assert film.modality == "DX"
    (traits,) = ct.traits
    assert (ct.modality, traits.body_part, traits.description, ct.manufacturer) == ("CT", "CHEST", "Thorax Müller", "Acme")
    assert (ct.accession, ct.patient_id, ct.series_number, ct.slices) == ("A1", "p1", "3", 3)
    assert ct.transfer_syntax == "1.2.840.10008.1.2.1"
    assert ct.files == tuple(files)
    assert ct.problem is None


def test_who_and_what_made_a_series_are_told_by_its_header(tmp_path: Path) -> None:
    who = {"PatientName": "Müller^Greta", "PatientBirthDate": "19500203", "SpecificCharacterSet": "ISO_IR 192"}
    save(tmp_path / "a", Manufacturer="Acme", ManufacturerModelName="Scan 3", **who, **FILM)
    save(tmp_path / "b", PatientName="Müller^Greta", **{**FILM, "SeriesInstanceUID": generate_uid()})
    known, nameless = scan(tmp_path).series
    assert known.person == person_mark("Müller^Greta", "19500203") != ""
    assert nameless.person == ""
    assert known.scanner == "Acme Scan 3"


@pytest.mark.parametrize(("heights", "code"), [([0, 2, 6], Code.GAP), ([0, 2, 2], Code.DUPLICATE)])
def test_a_series_that_would_be_refused_says_why(tmp_path: Path, heights: list[float], code: Code) -> None:
    save_stack(tmp_path / "ct", heights)
    (found,) = scan(tmp_path).series
    assert found.problem is not None
    assert found.problem.code is code


def test_a_broken_slice_is_the_problem_of_its_series(tmp_path: Path) -> None:
    files = save_stack(tmp_path / "ct", [0, 2, 4])
    files[2].write_bytes(files[2].read_bytes()[:-4])
    (found,) = scan(tmp_path).series
    assert found.problem is not None
    assert found.problem.code is Code.TRUNCATED
    assert found.problem.where == "file 3 of 3"
    assert len(found.files) == 3


def test_two_patients_in_a_series_are_its_problem(tmp_path: Path) -> None:
    save_stack(tmp_path / "ct", [0, 2])
    save(tmp_path / "ct" / "x", ImagePositionPatient=[10, 20, 4], PatientID="p2")
    (found,) = scan(tmp_path).series
    assert found.problem is not None
    assert found.problem.code is Code.MIXED_PATIENTS


def test_frames_are_counted_as_slices(tmp_path: Path) -> None:
    save_enhanced(tmp_path / "mr", [30, 32, 34])
    (found,) = scan(tmp_path).series
    assert (found.slices, len(found.files)) == (3, 1)


def test_other_images_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "c.txt").write_text("notes")
    (tmp_path / "d").touch()
    save(tmp_path / "e", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    found = scan(tmp_path)
    assert found.series == ()
    assert found.images == (LooseImage(tmp_path / "a.nii.gz", Format.NIFTI), LooseImage(tmp_path / "b.png", Format.PNG))
    assert found.left == {Code.NOT_AN_IMAGE: 2, Code.EMPTY: 1}


def test_links_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    save_stack(outside, [0, 2])
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "file").symlink_to(outside / "000")
    (folder / ".hidden").write_bytes((outside / "000").read_bytes())
    assert scan(folder).series == ()


def test_progress_counts_every_file(tmp_path: Path) -> None:
    save_stack(tmp_path / "ct", [0, 2, 4])
    seen: list[tuple[int, int]] = []
    scan(tmp_path, lambda done, of: seen.append((done, of)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
