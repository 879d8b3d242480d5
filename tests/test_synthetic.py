"""The synthetic cohort: what it promises is measured here, knob by knob."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage
from sklearn.metrics import roc_auc_score

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.cohort.synthetic.dicom import add_pixels
from medmm.cohort.synthetic.export import DIAGNOSES, LEAKING_COLUMN
from medmm.cohort.synthetic.images import render_ct, render_radiograph
from medmm.cohort.synthetic.records import TELLING, laboratory_rows, note_rows
from medmm.cohort.synthetic.storage import TRANSFER_SYNTAXES, Storage, draw_ct_storage, draw_radiograph_storage
from medmm.cohort.synthetic.truth import StudyTruth, draw_truth
from medmm.errors import DataError
from medmm.files import digest_file
from medmm.types import Array

Images: TypeAlias = dict[tuple[str, str], list[Dataset]]
"""By study_id and kind, each in the order of the disk."""

UNITS = {("crp", "mg/L"), ("wbc", "10*9/L"), ("creatinine", "umol/L"), ("haemoglobin", "g/L")}
RADIOGRAPH_KINDS = ("Computed Radiography Image Storage", "Digital X-Ray Image Storage - For Presentation")
COMMON = """SOPClassUID PatientName PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID
    AccessionNumber SeriesInstanceUID SeriesNumber Manufacturer InstanceNumber ImageType SamplesPerPixel
    PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation WindowCenter WindowWidth"""
REQUIRED = {
    "CR": f"{COMMON} BodyPartExamined ViewPosition PatientOrientation ImagerPixelSpacing",
    "DX": f"""{COMMON} PresentationIntentType PresentationLUTShape PixelIntensityRelationship PixelIntensityRelationshipSign
    RescaleSlope RescaleIntercept RescaleType BurnedInAnnotation LossyImageCompression ImageLaterality AnatomicRegionSequence
    DetectorType AcquisitionContextSequence PatientOrientation ImagerPixelSpacing""",
    "CT": f"""{COMMON} FrameOfReferenceUID PositionReferenceIndicator PatientPosition ImageOrientationPatient
    ImagePositionPatient PixelSpacing SliceThickness RescaleSlope RescaleIntercept KVP AcquisitionNumber""",
}
"""Type 1 and 2 attributes of PS3.3 sections A.2, A.26 and A.3, as far as they concern a reader."""

SMALL = {"radiograph_size": 32, "ct_size": 32, "ct_slices": 5}


def small(**knobs: object) -> SyntheticSettings:
    return SyntheticSettings.model_validate({**SMALL, "patients": 12, **knobs})


def many(**knobs: object) -> list[StudyTruth]:
    return draw_truth(SyntheticSettings.model_validate({"patients": 3000, **knobs}))


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def image_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "dicom").rglob("*") if path.is_file())


def series(folder: Path) -> Images:
    found = defaultdict(list)
    for path in image_files(folder):
        dataset = pydicom.dcmread(path)
        found[str(dataset.AccessionNumber), "ct" if dataset.Modality == "CT" else "radiograph"].append(dataset)
    return found


def auroc(studies: Sequence[StudyTruth], scores: Iterable[float]) -> float:
    return float(roc_auc_score([study.diagnosis for study in studies], list(scores)))


def share(flags: Iterable[bool]) -> float:
    return float(np.mean(list(flags)))


@pytest.fixture(scope="module")
def settings() -> SyntheticSettings:
    return small(patients=60, duplicate_patients=2)


@pytest.fixture(scope="module")
def cohort(settings: SyntheticSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "export"
    make_cohort(folder, settings)
    return folder


@pytest.fixture(scope="module")
def studies(settings: SyntheticSettings) -> list[StudyTruth]:
    return draw_truth(settings)


@pytest.fixture(scope="module")
def images(cohort: Path) -> Images:
    return series(cohort)


def test_a_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_cohort(tmp_path / name, small(patients=4, seed=seed))
    files = {
        name: {path.relative_to(tmp_path / name): digest_file(path) for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in "abc"
    }
    assert files["a"] == files["b"]
    assert not set(files["a"].values()) & set(files["c"].values())


def test_more_patients_leave_the_first_ones_as_they_are(tmp_path: Path) -> None:
    for patients in (3, 5):
        make_cohort(tmp_path / str(patients), small(patients=patients, duplicate_patients=1, broken=2))
    few, more = tmp_path / "3", tmp_path / "5"
    for path in image_files(few):
        assert digest_file(path) == digest_file(more / path.relative_to(few))
    for table in ("studies.csv", "labs.csv", "notes.csv", "truth.csv"):
        assert (more / table).read_text().startswith((few / table).read_text())
        assert (more / table).stat().st_size > (few / table).stat().st_size


def test_a_second_export_holds_the_people_that_follow() -> None:
    assert draw_truth(small(patients=4)) + draw_truth(small(patients=8, first_patient=4)) == draw_truth(small(patients=12))


def test_knobs_leave_each_other_alone() -> None:
    plain, noisy = many(), many(label_noise=0.3, absent={"note": 0.5})
    assert [study.diagnosis for study in plain] == [study.diagnosis for study in noisy]
    assert [study.time for study in plain] == [study.time for study in noisy]


def test_each_input_tells_a_part_and_all_together_nearly_everything() -> None:
    studies = many(patients=6000)
    assert 0.76 < auroc(studies, (study.image for study in studies)) < 0.83
    assert 0.69 < auroc(studies, (study.laboratory for study in studies)) < 0.76
    assert 0.69 < auroc(studies, (study.note for study in studies)) < 0.76
    assert 0.93 < auroc(studies, (study.probability for study in studies)) < 0.97
    assert abs(auroc(studies, (study.laboratory_nuisance for study in studies)) - 0.5) < 0.03


@pytest.mark.parametrize("part", ["image", "laboratory", "note"])
def test_without_strength_an_input_is_noise(part: str) -> None:
    studies = many(**{f"{part}_strength": 0})
    assert abs(auroc(studies, (getattr(study, part) for study in studies)) - 0.5) < 0.03


@pytest.mark.parametrize(
    "knobs", [{}, {"prevalence": 0.1}, {"site_effect": 5, "image_strength": 1, "laboratory_strength": 0, "prevalence": 0.2}]
)
def test_the_prevalence_is_met_and_the_probability_is_true(knobs: dict[str, float]) -> None:
    studies = many(**knobs)
    expected = knobs.get("prevalence", 0.4)
    assert share(study.diagnosis for study in studies) == pytest.approx(expected, abs=0.03)
    confident = [study for study in studies if 0.6 < study.probability < 0.9]
    mean = np.mean([study.probability for study in confident])
    assert share(study.diagnosis for study in confident) == pytest.approx(mean, abs=0.06)


def test_studies_of_a_patient_are_alike_and_at_least_thirty_days_apart() -> None:
    studies = many()
    pairs = [(a, b) for a, b in itertools.pairwise(studies) if a.person == b.person]
    assert all(b.time - a.time >= timedelta(days=30) for a, b in pairs)
    assert np.corrcoef([(a.image, b.image) for a, b in pairs], rowvar=False)[0, 1] == pytest.approx(0.5, abs=0.06)
    counts = pd.Series([study.person.number for study in studies]).value_counts()
    assert set(counts) == {1, 2, 3}


def test_identifiers_are_unique_and_awkward() -> None:
    studies = draw_truth(SyntheticSettings(patients=2000, duplicate_patients=2000))
    assert len({study.patient_id for study in studies}) == 4000
    assert len({study.study_id for study in studies}) == len({study.study_uid for study in studies}) == len(studies)
    assert all(study.patient_id.startswith("0") and len(study.patient_id) == 7 for study in studies)


def test_inputs_are_absent_as_often_as_asked() -> None:
    studies = many(absent={"ct": 0.3, "note": 0.05}, absent_by_label={"ct": -0.2, "laboratory": 0.4})
    expected = {"radiograph": (0, 0), "ct": (0.3, 0.1), "laboratory": (0, 0.4), "note": (0.05, 0.05)}
    for name, shares in expected.items():
        for diagnosis, wanted in zip((False, True), shares, strict=True):
            measured = share(name in study.absent for study in studies if study.diagnosis == diagnosis)
            assert measured == pytest.approx(wanted, abs=0.03), (name, diagnosis)


@pytest.mark.parametrize(("effect", "gap"), [(0.0, 0.0), (3.0, 0.5)])
def test_sites_differ_in_prevalence_only_when_asked(effect: float, gap: float) -> None:
    drawn = many(site_effect=effect)
    at = {site: share(study.diagnosis for study in drawn if study.person.site == site) for site in "BC"}
    assert at["B"] - at["C"] == pytest.approx(gap, abs=0.1)


def test_the_tables_say_what_is_true(studies: list[StudyTruth], cohort: Path) -> None:
    table, truth = read_table(cohort / "studies.csv"), read_table(cohort / "truth.csv")
    assert list(table) == ["patient_id", "study_id", "study_uid", "time", "diagnosis", "site", "sex", "age"]
    assert list(table.study_id) == list(truth.study_id) == [study.study_id for study in studies]
    assert list(table.diagnosis) == [DIAGNOSES[study.label] for study in studies]
    np.testing.assert_array_equal(truth.image.astype(float), [study.image for study in studies])
    np.testing.assert_array_equal(truth.probability.astype(float), [study.probability for study in studies])
    assert [set(cell.split()) for cell in truth.absent] == [set(study.absent) for study in studies]


def test_an_absent_input_leaves_nothing_behind(studies: list[StudyTruth], cohort: Path, images: Images) -> None:
    notes, labs = read_table(cohort / "notes.csv"), read_table(cohort / "labs.csv")
    assert len({name for study in studies for name in study.absent}) == 4
    for study in studies:
        drawn = pd.to_datetime(labs[labs.patient_id == study.patient_id].time)
        present = {
            "radiograph": (study.study_id, "radiograph") in images,
            "ct": (study.study_id, "ct") in images,
            "note": study.study_id in set(notes.study_id),
            "laboratory": bool(((drawn - study.time).abs() < pd.Timedelta(days=4)).any()),
        }
        assert {name for name, there in present.items() if not there} == study.absent


def test_only_the_asked_kinds_of_image_are_made(tmp_path: Path) -> None:
    make_cohort(tmp_path, small(patients=3, images=["ct"], absent={}))
    assert {dataset.Modality for group in series(tmp_path).values() for dataset in group} == {"CT"}


def test_recorded_diagnoses_are_wrong_as_often_as_asked(tmp_path: Path) -> None:
    noisy = many(label_noise=0.2)
    for diagnosis in (False, True):
        wrong = share(study.label != diagnosis for study in noisy if study.diagnosis == diagnosis)
        assert wrong == pytest.approx(0.2, abs=0.03)
    make_cohort(tmp_path, small(patients=3, images=[], label_noise=1))
    table, truth = read_table(tmp_path / "studies.csv"), read_table(tmp_path / "truth.csv")
    assert (table.diagnosis != truth.diagnosis).all()


def test_new_studies_have_no_diagnosis(tmp_path: Path) -> None:
    make_cohort(tmp_path, small(patients=3, images=[], unlabelled=True))
    assert "diagnosis" not in read_table(tmp_path / "studies.csv")
    assert "diagnosis" in read_table(tmp_path / "truth.csv")


def test_a_leaking_column_follows_the_recorded_diagnosis(tmp_path: Path) -> None:
    make_cohort(tmp_path, small(images=[], leak="column", label_noise=0.3))
    table = read_table(tmp_path / "studies.csv")
    assert (table[LEAKING_COLUMN] == (table.diagnosis == "pneumonia").map({True: "1", False: "0"})).all()
    assert table.diagnosis.nunique() == 2


def test_the_diagnosis_is_named_in_notes_only_when_it_leaks() -> None:
    for leak in ("none", "word"):
        settings = small(patients=300, leak=leak, label_noise=0.3, absent={})
        for study in draw_truth(settings):
            (note,) = note_rows(study, settings)
            assert ("pneumonia" in note["text"].lower()) == (leak == "word" and study.label)
            assert "healthy" not in note["text"].lower()


def test_a_leaking_marker_outshines_every_other_corner() -> None:
    for leak in ("none", "marker"):
        settings = small(patients=100, leak=leak, label_noise=0.3)
        for study in draw_truth(settings):
            expected = leak == "marker" and study.label
            assert (render_radiograph(study, settings)[1:3, 1:3].min() > 0.9) == expected
            assert (render_ct(study, settings)[:, 1:3, 1:3].min() > 1500) == expected


def test_sites_and_drift_change_brightness_and_noise_of_images() -> None:
    def appearance(site: str, **knobs: float) -> tuple[float, float, float, float]:
        settings = small(patients=150, **knobs)
        chosen = [study for study in draw_truth(settings) if study.person.site == site]
        radiographs = [render_radiograph(study, settings) for study in chosen]
        volumes = [render_ct(study, settings) for study in chosen]
        return (
            np.median(radiographs),
            np.std(np.diff(radiographs, axis=2)[:, 26:, 10:22]),
            np.median(np.stack(volumes)[:, :, 16, 14:18]),
            np.std(np.diff(volumes, axis=1)[:, :, 0]),
        )

    plain = np.array(appearance("B"))
    assert (np.array(appearance("B", site_effect=2)) > plain).all()
    assert (np.array(appearance("B", drift=2)) > plain).all()
    assert (np.array(appearance("A", drift=2)) > appearance("A")).all()
    np.testing.assert_array_equal(appearance("A", site_effect=2), appearance("A"))


def test_drift_raises_laboratory_values() -> None:
    means = []
    for drift in (0, 1):
        settings = small(patients=400, drift=drift)
        rows = [row for study in draw_truth(settings) for row in draws_before(study, settings)]
        values = pd.DataFrame(rows).assign(value=lambda table: table.value.astype(float))
        means.append(values.groupby("code").value.median())
    assert (means[1] > means[0] * 1.02).all()


def draws_before(study: StudyTruth, settings: SyntheticSettings) -> list[dict[str, str]]:
    return [row for row in laboratory_rows(study, settings) if datetime.fromisoformat(row["time"]) <= study.time]


def test_only_both_values_together_tell_what_the_laboratory_tells() -> None:
    settings = SyntheticSettings(patients=3000, absent={})
    drawn = draw_truth(settings)
    rows = pd.DataFrame([{**row, "study": study.study_id} for study in drawn for row in draws_before(study, settings)])
    assert set(zip(rows.code, rows.unit, strict=True)) == UNITS
    assert set(rows.groupby(["study", "code"]).size()) == {2, 3}
    values = rows.assign(value=rows.value.astype(float)).groupby(["study", "code"]).value.mean()
    found = values.unstack("code").loc[[study.study_id for study in drawn]]
    both = np.log(found.crp) + found.wbc / 3
    assert auroc(drawn, both) > 0.69
    assert auroc(drawn, both) - 0.04 > auroc(drawn, found.crp) > 0.6
    assert auroc(drawn, both) - 0.04 > auroc(drawn, found.wbc) > 0.6
    assert abs(auroc(drawn, found.creatinine) - 0.5) < 0.03
    assert abs(auroc(drawn, found.haemoglobin) - 0.5) < 0.03
    assert auroc(drawn, both) < auroc(drawn, (study.laboratory for study in drawn)) + 0.01


def test_one_value_from_after_the_study_gives_the_diagnosis_away() -> None:
    settings = small(patients=500, absent={}, label_noise=0.2)
    for study in draw_truth(settings):
        rows = list(laboratory_rows(study, settings))
        (after,) = (row for row in rows if datetime.fromisoformat(row["time"]) > study.time)
        assert after["code"] == "crp"
        assert (float(after["value"]) > 100) == study.label


def test_notes_are_written_before_the_study() -> None:
    settings = small(patients=100, absent={})
    for study in draw_truth(settings):
        (note,) = note_rows(study, settings)
        assert timedelta(0) < study.time - datetime.fromisoformat(note["time"]) < timedelta(hours=5)


def test_words_alone_say_less_than_words_with_their_negation() -> None:
    settings = SyntheticSettings(patients=3000, absent={})
    drawn = draw_truth(settings)
    texts = [next(iter(note_rows(study, settings)))["text"].lower() for study in drawn]
    named = [any(first in text and second in text for first, second in TELLING) for text in texts]
    assert named == [study.finding != "unmentioned" for study in drawn]
    assert share(study.finding == "denied" for study in drawn) == pytest.approx(0.2, abs=0.02)
    assert auroc(drawn, (study.note for study in drawn)) > auroc(drawn, named) + 0.08
    others_denied = defaultdict(list)
    for study, text in zip(drawn, texts, strict=True):
        sentences = text.split("\n")[0].removesuffix(".").split(". ")[1:]
        assert len(sentences) == 3
        for sentence in sentences:
            denied = any(word in f" {sentence}" for word in (" no ", " denies "))
            if any(first in sentence for first, _ in TELLING):
                assert denied == (study.finding == "denied")
            else:
                others_denied[study.finding].append(denied)
    assert [share(flags) for flags in others_denied.values()] == pytest.approx([0.3] * 3, abs=0.03)


def test_a_second_registration_has_the_same_person_images_and_records(cohort: Path, images: Images) -> None:
    table, truth = read_table(cohort / "studies.csv"), read_table(cohort / "truth.csv")
    registrations = truth.groupby("person").patient_id.unique()
    assert [len(ids) for ids in registrations].count(2) == 2
    assert table.patient_id.nunique() == 62
    for first, second in (ids for ids in registrations if len(ids) == 2):
        pairs = zip(*(table[table.patient_id == patient].study_id for patient in (first, second)), strict=True)
        for kind, (one, other) in itertools.product(("radiograph", "ct"), pairs):
            for a, b in zip(images.get((one, kind), []), images.get((other, kind), []), strict=True):
                assert (a.PatientName, a.PatientBirthDate) == (b.PatientName, b.PatientBirthDate)
                assert not {a.SOPInstanceUID, a.StudyInstanceUID, a.PatientID} & {
                    b.SOPInstanceUID,
                    b.StudyInstanceUID,
                    b.PatientID,
                }
                np.testing.assert_array_equal(a.pixel_array, b.pixel_array)


def test_stored_pixels_are_the_rendered_values(settings: SyntheticSettings, studies: list[StudyTruth], images: Images) -> None:
    seen = set()
    for study in studies:
        for dataset in images.get((study.study_id, "radiograph"), []):
            storage = draw_radiograph_storage(study, settings)
            numbers = dataset.pixel_array.astype(float)
            if dataset.PhotometricInterpretation == "MONOCHROME1":
                numbers = 4095 - numbers
            np.testing.assert_allclose(numbers / 4000, render_radiograph(study, settings), atol=0.5 / 4000 + 1e-9)
            seen.add((storage.sop_class.name, storage.inverted))
        slices = images.get((study.study_id, "ct"), [])
        if slices:
            upwards = sorted(slices, key=lambda dataset: dataset.ImagePositionPatient[2])
            values = [item.pixel_array * float(item.RescaleSlope) + float(item.RescaleIntercept) for item in upwards]
            tolerance = float(slices[0].RescaleSlope) / 2 + 1e-9
            np.testing.assert_allclose(values, render_ct(study, settings), atol=tolerance)
            storage = draw_ct_storage(study, settings)
            assert slices[0].file_meta.TransferSyntaxUID == storage.transfer_syntax
            seen |= {storage.transfer_syntax, (storage.bits, storage.signed, storage.slope)}
    ways = {(12, False, 1.0), (16, True, 1.0), (12, True, 2.0), (16, False, 0.5)}
    kinds = {(name, inverted) for name in RADIOGRAPH_KINDS for inverted in (False, True)}
    assert seen == set(TRANSFER_SYNTAXES) | ways | kinds


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_the_extremes_survive_every_transfer_syntax(syntax: UID, signed: bool, tmp_path: Path) -> None:
    storage = Storage(
        CTImageStorage, syntax, bits=12, signed=signed, slope=2 if signed else 1, intercept=0 if signed else -1024
    )
    values = np.linspace(-1024, 3070, 33 * 40).round().reshape(33, 40) // 2 * 2
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3"
    add_pixels(dataset, storage, values)
    dataset.save_as(tmp_path / "image", enforce_file_format=True)
    found = pydicom.dcmread(tmp_path / "image")
    np.testing.assert_array_equal(found.pixel_array.astype(float) * storage.slope + storage.intercept, values)


def test_slices_are_even_right_handed_and_in_no_order(
    settings: SyntheticSettings, studies: list[StudyTruth], images: Images
) -> None:
    kinds = set()
    for study in studies:
        slices = images.get((study.study_id, "ct"), [])
        if not slices:
            continue
        assert len({tuple(item.ImageOrientationPatient) for item in slices}) == 1
        row, column = np.array(slices[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
        normal = np.cross(row, column)
        np.testing.assert_allclose([row @ row, column @ column, row @ column], (1, 1, 0), atol=1e-6)
        assert row[0] > 0.9
        assert normal[2] > 0.9
        positions = np.array([item.ImagePositionPatient for item in slices], dtype=float)
        along = np.sort(positions @ normal)
        np.testing.assert_allclose(np.diff(along), float(slices[0].SliceThickness), atol=1e-5)
        np.testing.assert_allclose(
            positions - np.outer(positions @ normal, normal), [positions[0] - (positions[0] @ normal) * normal] * 5, atol=1e-5
        )
        # By hand: the middle of 32 x 32 x 5 voxels lies at index (15.5, 15.5, 2).
        lowest = positions[np.argmin(positions @ normal)]
        pixel_mm, slice_mm = float(slices[0].PixelSpacing[0]), float(slices[0].SliceThickness)
        middle = lowest + 15.5 * pixel_mm * (row + column) + 2 * slice_mm * normal
        np.testing.assert_allclose(middle, (0, -10, -150), atol=1e-4)
        order = np.argsort(positions @ normal)
        numbers = np.array([int(item.InstanceNumber) for item in slices])
        assert sorted(numbers) == [1, 2, 3, 4, 5]
        kinds |= {("file", steps(order)), ("instance", steps(numbers[order])), ("oblique", abs(row[1]) > 1e-3)}
    orders = {(what, how) for what in ("file", "instance") for how in ("up", "down", "shuffled")}
    assert kinds == orders | {("oblique", True), ("oblique", False)}


def steps(order: Array) -> str:
    return {(1,): "up", (-1,): "down"}.get(tuple(set(np.diff(order).tolist())), "shuffled")


def test_images_carry_what_a_reader_may_want(studies: list[StudyTruth], images: Images) -> None:
    by_id = {study.study_id: study for study in studies}
    seen = set()
    for (study_id, _), group in images.items():
        study = by_id[study_id]
        assert len({item.SeriesInstanceUID for item in group}) == 1
        for item in group:
            assert (item.PatientID, item.StudyInstanceUID) == (study.patient_id, study.study_uid)
            assert (item.StudyDate + item.StudyTime) == f"{study.time:%Y%m%d%H%M%S}"
            assert str(item.PatientName) == study.person.name
            assert item.SOPClassUID == item.file_meta.MediaStorageSOPClassUID
            assert item.SOPInstanceUID == item.file_meta.MediaStorageSOPInstanceUID
            assert item.HighBit == item.BitsStored - 1
            assert [word for word in REQUIRED[item.Modality].split() if word not in item] == []
            assert all(item[uid].value.is_valid for uid in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"))
            seen.add(item.Modality)
    assert seen == {"CR", "CT", "DX"}
    instances = [item.SOPInstanceUID for group in images.values() for item in group]
    assert len(set(instances)) == len(instances)


def test_file_names_mean_nothing(cohort: Path) -> None:
    files = image_files(cohort)
    assert [path.relative_to(cohort).as_posix() for path in files[:2]] == ["dicom/00/IM000000", "dicom/00/IM000001"]
    assert len(files) == len({path.name for path in files})


def test_broken_studies_lack_a_slice_or_the_end_of_a_file(tmp_path: Path) -> None:
    for name, broken in (("whole", 0), ("broken", 4)):
        make_cohort(tmp_path / name, small(broken=broken, absent={"ct": 0.5}))
    exported = {path.read_bytes() for path in image_files(tmp_path / "broken")}
    faults, missing, heights = {}, [], defaultdict(list)
    for path in image_files(tmp_path / "whole"):
        content, dataset = path.read_bytes(), pydicom.dcmread(path)
        if dataset.Modality == "CT":
            heights[dataset.AccessionNumber].append(float(dataset.SliceLocation))
        if content not in exported:
            cut = any(content.startswith(part) for part in exported)
            assert dataset.AccessionNumber not in faults
            faults[dataset.AccessionNumber] = "truncated" if cut else "gap"
            if not cut:
                missing.append((float(dataset.SliceLocation), dataset.AccessionNumber))
    truth = read_table(tmp_path / "broken/truth.csv")
    assert list(truth.broken[truth.broken != ""]) == ["gap", "truncated", "gap", "truncated"]
    assert faults == {study: fault for study, fault in zip(truth.study_id, truth.broken, strict=True) if fault}
    assert all(min(heights[study]) < height < max(heights[study]) for height, study in missing)


def test_without_ct_every_fault_is_a_short_file() -> None:
    broken = [study.broken for study in draw_truth(small(images=["radiograph"], broken=3))]
    assert [fault for fault in broken if fault] == ["truncated"] * 3


def test_progress_counts_the_studies(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    settings = small(patients=3)
    make_cohort(tmp_path, settings, progress=lambda done, total: calls.append((done, total)))
    total = len(draw_truth(settings))
    assert calls == [(done, total) for done in range(1, total + 1)]


def test_an_export_is_never_overwritten(cohort: Path) -> None:
    before = image_files(cohort)
    with pytest.raises(DataError, match="already"):
        make_cohort(cohort, small())
    assert image_files(cohort) == before


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"duplicate_patients": 13}, "exceeds patients 12"),
        ({"first_patient": 499_990}, "exceeds 500000"),
        ({"absent": {"eeg": 0.1}}, "'radiograph', 'ct'"),
        ({"absent": {"ct": 1.1}}, "less than or equal to 1"),
        ({"leek": "word"}, "did you mean 'leak'"),
    ],
)
def test_impossible_settings_are_refused(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**knobs)
