"""Pictures of saliency as Secondary Captures: valid, in the study of their images, marked as research, the same each time."""

import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from conftest import Hospital
from PIL import Image
from test_hostile_tags import write
from test_sinks_dicom_sr import SOURCE, row_of, study_of, validated

from medmm.cohort.synthetic import SyntheticSettings, make_cohort
from medmm.explanation.study import explain
from medmm.package import Package
from medmm.scoring.engine import Options
from medmm.scoring.run import Scorer
from medmm.scoring.sinks.dicom_object import content_of, writer_of_dicom
from medmm.scoring.sinks.dicom_saliency import FOLDER, IN_PICTURE, capture, pictures
from medmm.scoring.sinks.dicom_source import Source, read_source
from medmm.scoring.studies import find_studies

SMALL = {
    "patients": 3,
    "first_patient": 300,
    "radiograph_size": 32,
    "ct_size": 32,
    "ct_slices": 5,
    "seed": 3,
    "unlabelled": True,
}


@pytest.fixture(scope="module")
def incoming(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("incoming")
    make_cohort(root, SyntheticSettings.model_validate(SMALL))
    return root


@pytest.fixture(scope="module")
def out(loaded: Package, incoming: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    scored_into(loaded, incoming, out)
    return out


def scored_into(package: Package, incoming: Path, out: Path, most: int | None = None) -> list[str]:
    told: list[str] = []
    with Scorer(package, out, Options(workers=0), also=["saliency"], notice=told.append) as scorer:
        scorer.round(find_studies(package, incoming)[:most])
        scorer.export()
    return told


def captures(out: Path) -> dict[str, pydicom.Dataset]:
    return {file.name: pydicom.dcmread(file) for file in sorted((out / FOLDER).iterdir())}


def a_picture(colour: tuple[int, int, int] = (10, 20, 30)) -> bytes:
    buffer = BytesIO()
    Image.new("RGBA", (5, 3), (*colour, 255)).save(buffer, format="png")
    return buffer.getvalue()


def test_each_image_input_of_a_study_has_a_picture_in_the_study_of_its_images(
    out: Path, loaded: Package, incoming: Path
) -> None:
    made = captures(out)
    studies = find_studies(loaded, incoming)
    expected = sum("chest" in study.evidence for study in studies) + sum("ct" in study.evidence for study in studies)
    assert len(made) == expected > 2
    headers = {}
    for file in (incoming / "dicom").rglob("*"):
        if file.is_file():
            header = pydicom.dcmread(file, stop_before_pixels=True)
            headers[header.SOPInstanceUID] = header
    for name, one in made.items():
        assert name == f"{one.SOPInstanceUID}.dcm"
        assert one.SOPClassUID.name == "Secondary Capture Image Storage"
        sources = [headers[item.ReferencedSOPInstanceUID] for item in one.SourceImageSequence]
        assert {source.StudyInstanceUID for source in sources} == {one.StudyInstanceUID}
        assert one.SeriesInstanceUID not in {source.SeriesInstanceUID for source in headers.values()}
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "AccessionNumber"):
            assert one[keyword].value == sources[0][keyword].value
        assert "research use only" in one.SeriesDescription
        assert "pneumonia" in one.DerivationDescription
        assert IN_PICTURE in one.ImageComments
        assert list(one.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert one.BurnedInAnnotation == "NO"  # as all of the synthetic images state


def test_every_picture_is_valid(out: Path) -> None:
    for name in captures(out):
        validated(out / FOLDER / name)


def test_a_picture_is_what_medmm_explain_shows(loaded: Package, incoming: Path) -> None:
    study = next(study for study in find_studies(loaded, incoming) if {"chest", "labs"} <= study.evidence.keys())
    whole, alone = explain(loaded, study), explain(loaded, study, images_alone=True)
    assert alone.tables == alone.notes == ()
    assert whole.tables
    assert len(alone.images) == len(whole.images)
    for one, other in zip(alone.images, whole.images, strict=True):
        np.testing.assert_array_equal(one.map, other.map)
        assert one.deletion == other.deletion


def test_the_pixels_are_those_of_the_picture(loaded: Package) -> None:
    with writer_of_dicom():
        made = capture(SOURCE, row_of("binary"), loaded, a_picture(), "pneumonia", "chest", 1)
        read = pydicom.dcmread(BytesIO(content_of(made)))
    assert read.pixel_array.shape == (3, 5, 3)
    assert (read.pixel_array == (10, 20, 30)).all()


def test_research_use_stands_in_the_picture_itself(loaded: Package, incoming: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medmm.explanation import pictures as drawing

    said: list[str] = []
    draw = drawing.draw
    monkeypatch.setattr(drawing, "draw", lambda share, warning="": said.append(warning) or draw(share, warning))
    study = next(study for study in find_studies(loaded, incoming) if "chest" in study.evidence)
    made = pictures(loaded, study)
    assert len(said) == len(made) > 0
    assert all(text.startswith(f"{IN_PICTURE}: what speaks for pneumonia") for text in said)
    for picture, _ in made.values():
        pixels = np.asarray(Image.open(BytesIO(picture)).convert("RGB"), float)
        top = pixels[: int(0.06 * len(pixels))]
        amber = (np.abs(top - (0xFF, 0xD2, 0x4D)).sum(2) < 60).sum()
        assert amber > 100  # letters stand at the top


@pytest.mark.parametrize(
    ("stated", "said"), [(["NO", "NO"], "NO"), (["NO", "YES"], "YES"), (["NO", None], ""), ([None], ""), (["EVIL"], "")]
)
def test_burned_in_annotation_is_that_of_the_images_and_unknown_where_they_do_not_say(
    loaded: Package, tmp_path: Path, stated: list[str | None], said: str
) -> None:
    files = []
    write(tmp_path / "first", b"7777777777", "StudyID")
    for number, text in enumerate(stated):
        image = pydicom.dcmread(tmp_path / "first")
        image.SOPInstanceUID = f"1.2.3.{number}"
        if text is not None:
            image.BurnedInAnnotation = text
        files.append(tmp_path / str(number))
        image.save_as(files[-1])
    source = read_source(study_of(*files))
    assert isinstance(source, Source)
    assert source.burned_in == said
    with writer_of_dicom():
        made = capture(source, row_of("binary"), loaded, a_picture(), "pneumonia", "chest", 1)
    assert made.get("BurnedInAnnotation", "") == said
    assert ("BurnedInAnnotation" in made) == (said != "")
    (tmp_path / "capture.dcm").write_bytes(content_of(made))
    validated(tmp_path / "capture.dcm")


def test_the_same_scoring_again_draws_nothing_anew_and_gives_the_same_bytes(
    out: Path, loaded: Package, incoming: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / "again"
    shutil.copytree(out, again)
    before = {file.name: file.read_bytes() for file in (again / FOLDER).iterdir()}
    shutil.rmtree(again / FOLDER)
    with monkeypatch.context() as patch:
        patch.setattr("medmm.scoring.sinks.dicom_saliency.pictures", lambda *_: pytest.fail("drawn again"))
        scored_into(loaded, incoming, again)
    assert {file.name: file.read_bytes() for file in (again / FOLDER).iterdir()} == before
    fresh = tmp_path / "fresh"
    scored_into(loaded, incoming, fresh, most=1)
    assert 0 < len(captures(fresh)) < len(before)
    assert captures(fresh).keys() <= before.keys()


def test_pictures_are_kept_for_their_owner_alone(out: Path) -> None:
    kept = list((out / ".dicom").glob("*.png"))
    assert len(kept) == len(captures(out))
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}


def test_another_model_or_answer_is_another_object(loaded: Package) -> None:
    def uid(package: Package, row: dict[str, object], colour: tuple[int, int, int]) -> str:
        return str(capture(SOURCE, row, package, a_picture(colour), "pneumonia", "chest", 1).SOPInstanceUID)

    one = uid(loaded, row_of("binary"), (1, 2, 3))
    assert one == uid(loaded, row_of("binary"), (1, 2, 3))
    assert one != uid(loaded, row_of("binary"), (1, 2, 4))
    assert one != uid(loaded, row_of("binary", computed_in="bf16"), (1, 2, 3))
    assert one != uid(replace(loaded, digest="0" * 64), row_of("binary"), (1, 2, 3))


def test_a_study_without_images_has_no_picture_and_is_counted(
    loaded: Package, incoming: Path, hospital: Hospital, tmp_path: Path
) -> None:
    without = tmp_path / "in"
    shutil.copytree(incoming, without)
    shutil.rmtree(without / "dicom")
    (without / "dicom").mkdir()
    told = scored_into(loaded, without, tmp_path / "out")
    studies = len(pd.read_parquet(tmp_path / "out" / "scores.parquet"))
    assert told[-1].startswith("0 DICOM pictures of saliency")
    assert f"{studies} studies have none" in told[-1]
