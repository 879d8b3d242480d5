"""Which image belongs to a study, and which must not be used."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid
from test_readers_dicom import FILM, save, save_stack

from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.dataset.cache import evidence_digests
from medmm.errors import Code, DataError, Rejected
from medmm.inputs.base import Found
from medmm.inputs.image import ImageSettings
from medmm.types import Evidence, Study, Volume

FIRST, SECOND = generate_uid(), generate_uid()
STUDIES = f"""patient_id,study_id,uid,picture
p1,A1,{FIRST},a.png
p2,A2,{SECOND},stack
p3,A3,{generate_uid()},
"""


def export(folder: Path) -> tuple[Sources, tuple[Study, ...]]:
    (folder / "studies.csv").write_text(STUDIES)
    (folder / "dicom").mkdir(exist_ok=True)
    sources = Sources.open(CohortSettings(root=folder))
    return sources, read_studies(sources, None)


def found(folder: Path, **settings: object) -> list[Found]:
    sources, studies = export(folder)
    given = {"path": "dicom", "column": "uid", **settings}
    return ImageSettings.model_validate(given).open("chest").gather(sources, studies)


def files(one: Found) -> Sequence[str]:
    assert isinstance(one, Evidence)
    return [path.name for path in one.files]


def code(one: Found) -> Code:
    assert isinstance(one, Rejected), one
    assert one.where.startswith("study in row")
    assert "input chest" in one.where
    return one.code


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """A film of the first patient, a CT and a film of the second; the third has none."""
    (tmp_path / "dicom").mkdir()
    save(tmp_path / "dicom" / "film1", StudyInstanceUID=FIRST, AccessionNumber="A1", SeriesInstanceUID=generate_uid(), **FILM)
    told = {"StudyInstanceUID": SECOND, "AccessionNumber": "A2", "PatientID": "p2"}
    save_stack(tmp_path / "dicom" / "ct", [0, 2, 4], SeriesInstanceUID=generate_uid(), **told)
    save(tmp_path / "dicom" / "film2", SeriesInstanceUID=generate_uid(), **{**FILM, **told})
    return tmp_path


@pytest.mark.parametrize("join", [{"match": "study_uid", "column": "uid"}, {"match": "accession", "column": None}])
def test_studies_and_series_are_joined_by_their_header(hospital: Path, join: dict[str, object]) -> None:
    first, second, third = found(hospital, **join)
    assert files(first) == ["film1"]
    assert files(second) == ["000", "001", "002"]  # the series with the most slices
    assert third is None


def test_the_modality_chooses_among_the_series_of_a_study(hospital: Path) -> None:
    first, second, _ = found(hospital, modality=["CR", "DX"])
    assert files(first) == ["film1"]
    assert files(second) == ["film2"]
    first, second, _ = found(hospital, modality=["CT"])
    assert first is None
    assert len(files(second)) == 3
    assert found(hospital, modality=["MR"]) == [None, None, None]


def test_among_series_of_one_length_the_first_acquired_is_taken(hospital: Path) -> None:
    told = {"StudyInstanceUID": FIRST, "SeriesInstanceUID": generate_uid()}
    for number, name in ((10, "c"), (2, "b"), (9, "a")):
        save(hospital / "dicom" / name, **{**FILM, **told, "SeriesNumber": number, "SeriesInstanceUID": generate_uid()})
    (hospital / "dicom" / "film1").unlink()
    assert files(found(hospital)[0]) == ["b"]  # 2 comes before 9 and 10, as numbers do


def test_a_header_that_names_another_patient_rejects_the_study(hospital: Path) -> None:
    save(
        hospital / "dicom" / "x", **{**FILM, "StudyInstanceUID": FIRST, "SeriesInstanceUID": generate_uid(), "PatientID": "p2"}
    )
    first, second, _ = found(hospital)
    assert code(first) is Code.MIXED_PATIENTS
    assert "p2" not in str(first)
    assert len(files(second)) == 3
    assert isinstance(found(hospital, check_patient=False)[0], Evidence)


def test_another_patient_in_a_series_that_is_not_asked_for_is_of_no_matter(hospital: Path) -> None:
    save(hospital / "dicom" / "x", StudyInstanceUID=FIRST, SeriesInstanceUID=generate_uid(), PatientID="p9")  # a CT slice
    assert files(found(hospital, modality=["DX", "CR"])[0]) == ["film1"]


def test_a_series_with_a_problem_rejects_its_study_alone(hospital: Path) -> None:
    (hospital / "dicom" / "ct" / "001").unlink()
    save(
        hospital / "dicom" / "ct" / "003",
        ImagePositionPatient=[10, 20, 10],
        StudyInstanceUID=SECOND,
        PatientID="p2",
        SeriesInstanceUID=series_of(hospital / "dicom" / "ct" / "000"),
    )
    first, second, third = found(hospital)
    assert files(first) == ["film1"]
    assert code(second) is Code.GAP
    assert third is None


def test_the_rules_of_the_run_file_choose_among_the_series_of_a_study(hospital: Path) -> None:
    told = {"StudyInstanceUID": SECOND, "PatientID": "p2", "SeriesInstanceUID": generate_uid(), "SliceThickness": 1}
    save_stack(hospital / "dicom" / "thin", [0, 1], **told)
    assert len(files(found(hospital)[1])) == 3
    assert len(files(found(hospital, series={"prefer": ["thinnest"]})[1])) == 2
    assert len(files(found(hospital, series={"thickness_mm": [None, 1]})[1])) == 2
    assert found(hospital, series={"thickness_mm": [9, None]}) == [None, None, None]  # no series passes: the input is absent


def test_the_next_best_never_stands_in_for_the_preferred_series(hospital: Path) -> None:
    told = {"StudyInstanceUID": SECOND, "PatientID": "p2", "SeriesInstanceUID": generate_uid(), "SliceThickness": 1}
    save_stack(hospital / "dicom" / "thin", [0, 1, 3], **told)
    assert code(found(hospital, series={"prefer": ["thinnest"]})[1]) is Code.GAP


def test_a_series_that_passes_a_rule_in_part_rejects_its_study(hospital: Path) -> None:
    told = {"StudyInstanceUID": FIRST, "PatientID": "p1", "SeriesInstanceUID": generate_uid()}
    for height, agent in ((0, "Ultravist"), (2, None), (4, None)):
        save(hospital / "dicom" / f"mixed{height}", ImagePositionPatient=[10, 20, height], ContrastBolusAgent=agent, **told)
    assert len(files(found(hospital)[0])) == 3
    assert code(found(hospital, series={"contrast": True})[0]) is Code.MIXED_SERIES


def test_another_patient_in_a_series_that_a_rule_leaves_is_of_no_matter(hospital: Path) -> None:
    told = {"StudyInstanceUID": FIRST, "SeriesInstanceUID": generate_uid(), "PatientID": "p9"}
    save(hospital / "dicom" / "x", **{**FILM, **told, "BodyPartExamined": "HAND"})
    assert code(found(hospital)[0]) is Code.MIXED_PATIENTS
    assert files(found(hospital, series={"body_part": {"exclude": ["hand"]}})[0]) == ["film1"]


def series_of(file: Path) -> str:
    import pydicom

    return str(pydicom.dcmread(file, stop_before_pixels=True).SeriesInstanceUID)


def test_a_file_or_folder_that_the_table_names_is_taken(tmp_path: Path) -> None:
    export(tmp_path)
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(tmp_path / "dicom" / "a.png")
    save_stack(tmp_path / "dicom" / "stack", [0, 2, 4])
    first, second, third = found(tmp_path, match="file", column="picture")
    assert files(first) == ["a.png"]
    assert files(second) == ["000", "001", "002"]
    assert third is None  # an empty cell
    one = ImageSettings.model_validate({"path": "dicom", "size": [32, 32]}).open("chest")
    assert isinstance(first, Evidence)
    image = one.prepare(one.read(first))["image"]
    assert image.shape == (1, 32, 32)
    assert image.dtype == np.float16
    assert 0 <= image.min() < image.max() <= 1


def test_a_file_that_is_not_there_is_an_absent_input(tmp_path: Path) -> None:
    assert found(tmp_path, match="file", column="picture") == [None, None, None]
    (tmp_path / "dicom" / "stack").mkdir()
    assert found(tmp_path, match="file", column="picture")[1] is None  # an empty folder


@pytest.mark.parametrize("name", ["../../outside.png", "x/../../../outside.png"])
def test_a_name_never_leads_out_of_the_export(tmp_path: Path, name: str) -> None:
    root = tmp_path / "export"
    root.mkdir()
    (tmp_path / "outside.png").write_bytes(b"x")
    (root / "studies.csv").write_text(f"patient_id,study_id,picture\np1,A1,{name}\n")
    (root / "dicom").mkdir()
    sources = Sources.open(CohortSettings(root=root))
    one = ImageSettings.model_validate({"path": "dicom", "match": "file", "column": "picture"}).open("chest")
    with pytest.raises(DataError, match="leads out of") as caught:
        one.gather(sources, read_studies(sources, None))
    assert "outside" not in str(caught.value)


def test_an_absolute_path_is_refused_even_inside_the_export(tmp_path: Path) -> None:
    sources = Sources.open(CohortSettings(root=tmp_path))
    with pytest.raises(DataError, match="absolute"):
        sources.scan(str(tmp_path))


def test_a_link_never_leads_out_of_the_export(tmp_path: Path) -> None:
    root = tmp_path / "export"
    export_folder = root / "dicom"
    export_folder.mkdir(parents=True)
    (tmp_path / "outside.png").write_bytes(b"x")
    (export_folder / "a.png").symlink_to(tmp_path / "outside.png")
    (export_folder / "stack").mkdir()
    (export_folder / "stack" / "b.png").symlink_to(tmp_path / "outside.png")
    sources, studies = export(root)
    one = ImageSettings.model_validate({"path": "dicom", "match": "file", "column": "picture"}).open("chest")
    with pytest.raises(DataError, match="leads out of"):
        one.gather(sources, studies)
    (export_folder / "a.png").unlink()
    assert one.gather(sources, studies) == [None, None, None]  # a link inside a folder is passed over


def test_a_missing_folder_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder 'scans'"):
        found(tmp_path, path="scans")
    with pytest.raises(DataError, match="no column 'uidd': did you mean 'uid'"):
        found(tmp_path, column="uidd")


def test_a_study_without_its_key_takes_no_image_that_lacks_it_too(hospital: Path) -> None:
    """Two empty cells are not the same study."""
    save(
        hospital / "dicom" / "x",
        **{
            **FILM,
            "AccessionNumber": None,
            "StudyInstanceUID": generate_uid(),
            "SeriesInstanceUID": generate_uid(),
            "PatientID": "p3",
        },
    )
    (hospital / "studies.csv").write_text("patient_id,study_id,accession\np3,A3,\n")
    sources = Sources.open(CohortSettings(root=hospital))
    one = ImageSettings.model_validate({"path": "dicom", "match": "accession", "column": "accession"}).open("chest")
    assert one.gather(sources, read_studies(sources, None)) == [None]


def test_augmentation_leaves_an_image_alone_when_all_of_it_is_zero() -> None:
    none = {"shift": 0, "rotation_degrees": 0, "scale": 0, "noise": 0, "contrast": 0}
    one = ImageSettings.model_validate({"path": "x", "size": [16, 16], "augmentation": none}).open("chest")
    fields = {"image": np.random.default_rng(0).random((1, 16, 16)).astype(np.float16)}
    assert one.augment(fields, np.random.default_rng(1)) is fields


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [32]},
        {"size": [4, 4]},
        {"size": [32, 32], "spacing_mm": [1.0]},
        {"size": [32, 32], "spacing_mm": [1.0, 0.0]},
        {"window": [200, -1000]},
    ],
)
def test_sizes_that_do_not_agree_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"size|spacing_mm|window"):
        ImageSettings.model_validate({"path": "x", **wrong})


def test_a_tilted_series_is_taken_only_where_the_run_puts_it_straight(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    for number in range(4):
        place = {"ImagePositionPatient": [10, 20 + 0.5 * number, 2 * number]}
        save(tmp_path / "dicom" / str(number), StudyInstanceUID=FIRST, **place)
    first, *_ = found(tmp_path, size=[8, 8, 8])
    assert code(first) is Code.TILT
    first, *_ = found(tmp_path, size=[8, 8, 8], reading={"tilt": "resample"})
    assert isinstance(first, Evidence)
    settings = ImageSettings.model_validate({"path": "dicom", "size": [8, 8, 8], "reading": {"tilt": "resample"}})
    one = settings.open("chest")
    assert one.read(first).volume().values.shape == (4, 6, 4)  # type: ignore[attr-defined]


def test_values_of_presentation_have_a_window_of_their_own(tmp_path: Path) -> None:
    file = save(tmp_path / "film", WindowCenter=5, WindowWidth=4, VOILUTFunction="LINEAR_EXACT")
    settings = {"path": "dicom", "size": [8, 8], "reading": {"values": "presentation"}}
    one = ImageSettings.model_validate(settings).open("chest")
    image = one.prepare(one.read(Evidence(files=(file,))))["image"]
    assert image[0, 0, 0] == 0  # below the window
    assert image[0, -1, -1] == 1  # above it
    assert image[0, :, 0].tolist() == sorted(image[0, :, 0])


def several(folder: Path, images: int, **settings: object) -> list[Found]:
    return found(folder, images=images, **settings)


def read_several(folder: Path, which: int, **settings: object) -> list[Volume]:
    """Read the images of one study."""
    given = {"path": "dicom", "column": "uid", "size": [16, 16], **settings}
    one = ImageSettings.model_validate(given).open("chest")
    sources, studies = export(folder)
    evidence = one.gather(sources, studies)[which]
    assert isinstance(evidence, Evidence)
    read = one.read(evidence)
    assert isinstance(read, tuple)
    return [image.volume() for image in read]


def test_an_input_of_several_flat_images_takes_slices_of_all_series_that_pass(hospital: Path) -> None:
    first, second, third = several(hospital, 8, size=[16, 16])
    assert files(first) == ["film1"]
    assert sorted(files(second)) == ["000", "001", "002", "film2"]
    assert third is None
    assert len(read_several(hospital, 1, images=8)) == 4
    assert files(several(hospital, 8, size=[16, 16], modality=["CT"])[1]) == ["000", "001", "002"]


def test_more_slices_than_images_are_taken_evenly_spaced_through_the_body_whatever_their_names(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    told = {"StudyInstanceUID": SECOND, "PatientID": "p2", "SeriesInstanceUID": generate_uid()}
    save_stack(tmp_path / "dicom" / "ct", range(0, 20, 2), **told)
    stack = sorted((tmp_path / "dicom" / "ct").iterdir())
    for number, path in enumerate(stack):
        path.rename(path.with_name(f"IM{(7 * number) % 10 + 1}"))
    # By hand: ten slices in three parts, the middle of each: floor(0.5 * 10 / 3), floor(1.5 * 10 / 3), floor(2.5 * 10 / 3).
    heights = [one.affine[2, 3] for one in read_several(tmp_path, 1, images=3) if one.affine is not None]
    assert heights == [2, 10, 16]


def test_slices_with_a_gap_are_good_as_images_of_their_own_and_refused_as_a_volume(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    told = {"StudyInstanceUID": SECOND, "PatientID": "p2", "SeriesInstanceUID": generate_uid()}
    save_stack(tmp_path / "dicom" / "ct", [0, 2, 4, 10], **told)
    assert code(found(tmp_path, size=[16, 16, 8])[1]) is Code.GAP
    assert len(files(several(tmp_path, 4, size=[16, 16])[1])) == 4
    assert code(several(tmp_path, 4, size=[16, 16, 8])[1]) is Code.GAP


def test_an_input_of_several_volumes_takes_the_preferred_series(hospital: Path) -> None:
    told = {"StudyInstanceUID": SECOND, "PatientID": "p2"}
    save_stack(hospital / "dicom" / "second", [0, 2, 4, 6], SeriesInstanceUID=generate_uid(), **told)
    save_stack(hospital / "dicom" / "third", [0, 2, 4, 6, 8], SeriesInstanceUID=generate_uid(), **told)
    two = several(hospital, 2, size=[16, 16, 8], modality=["CT"])[1]
    assert isinstance(two, Evidence)
    assert sorted(two.counts) == [4, 5]  # the series with the fewest slices is left
    assert [{path.parent.name for path in files} for files in two.images()] in (
        [{"second"}, {"third"}],
        [{"third"}, {"second"}],
    )
    assert len(read_several(hospital, 1, images=2, size=[16, 16, 8], modality=["CT"])) == 2


@pytest.mark.parametrize("rule", [{}, {"description": ["lung"]}])
def test_slices_of_two_patients_in_one_series_are_never_images_of_one(tmp_path: Path, rule: dict[str, object]) -> None:
    (tmp_path / "dicom").mkdir()
    told = {"StudyInstanceUID": SECOND, "SeriesInstanceUID": generate_uid()}
    save_stack(tmp_path / "dicom" / "a", [0, 2], PatientID="p2", SeriesDescription="lung", **told)
    save_stack(tmp_path / "dicom" / "b", [4, 6], PatientID="p9", SeriesDescription="scout", **told)
    found_code = code(several(tmp_path, 4, size=[16, 16], series=rule)[1])
    assert found_code in {Code.MIXED_PATIENTS, Code.MIXED_SERIES}
    paths = tuple(sorted((tmp_path / "dicom").rglob("0*")))
    one = ImageSettings.model_validate({"path": "dicom", "size": [16, 16], "images": 4}).open("x")
    with pytest.raises(Rejected, match="several patients"):
        one.read(Evidence(files=paths))


def test_files_that_break_a_rule_in_part_are_not_taken_as_images(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    told = {"StudyInstanceUID": SECOND, "PatientID": "p2", "SeriesInstanceUID": generate_uid()}
    save_stack(tmp_path / "dicom" / "a", [0, 2, 4], SeriesDescription="lung", **told)
    save_stack(tmp_path / "dicom" / "b", [6], SeriesDescription="secondary capture", **told)
    assert code(several(tmp_path, 4, size=[16, 16], series={"description": ["lung"]})[1]) is Code.MIXED_SERIES


def test_another_patients_series_among_several_rejects_the_study(hospital: Path) -> None:
    told = {"StudyInstanceUID": SECOND, "PatientID": "p9"}
    save_stack(hospital / "dicom" / "second", [0, 2, 4, 6], SeriesInstanceUID=generate_uid(), **told)
    assert code(several(hospital, 8, size=[16, 16])[1]) is Code.MIXED_PATIENTS


def test_several_images_are_prepared_and_augmented_each_by_itself(hospital: Path) -> None:
    settings = ImageSettings.model_validate(
        {"path": "dicom", "column": "uid", "size": [16, 16], "images": 6, "window": [0, 1000]}
    )
    one = settings.open("chest")
    sources, studies = export(hospital)
    evidence = one.gather(sources, studies)[1]
    assert isinstance(evidence, Evidence)
    fields = one.prepare(one.read(evidence))
    assert fields["image"].shape == (6, 1, 16, 16)
    assert fields["there"].tolist() == [1, 1, 1, 1, 0, 0]
    alone = ImageSettings.model_validate({"path": "dicom", "size": [16, 16], "window": [0, 1000]}).open("x")
    expected = [alone.prepare(alone.read(Evidence(files=(path,))))["image"].tobytes() for path in evidence.files]
    assert sorted(expected) == sorted(image.tobytes() for image in fields["image"][:4])
    assert not fields["image"][4:].any()
    varied = one.augment(fields, np.random.default_rng(0))
    assert not varied["image"][4:].any()
    assert all((varied["image"][place] != fields["image"][place]).any() for place in range(4))
    assert fields["image"].dtype == np.float16  # what was prepared is not changed


def test_pictures_of_a_folder_are_images_of_their_own_and_other_files_none(tmp_path: Path) -> None:
    (tmp_path / "dicom" / "stack").mkdir(parents=True)
    for value, name in ((9, "a.png"), (1, "stack/2.png"), (2, "stack/10.png"), (3, "stack/11.png")):
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / "dicom" / name)
    (tmp_path / "dicom" / "stack" / ".DS_Store").write_text("x")
    (tmp_path / "dicom" / "stack" / "report.txt").write_text("no finding")
    assert several(tmp_path, 2, match="file", column="picture", size=[16, 16])[2] is None
    (only,) = read_several(tmp_path, 0, images=2, match="file", column="picture")
    assert only.values.max() == 9
    two = read_several(tmp_path, 1, images=2, match="file", column="picture")
    assert [int(one.values.max()) for one in two] == [1, 3]  # 2 stands before 10, and the first and last of three are taken


def test_a_study_is_known_again_under_other_names_of_its_files(tmp_path: Path) -> None:
    digests = []
    for names in (("1.png", "2.png"), ("9.png", "3.png")):
        folder = tmp_path / names[0]
        folder.mkdir()
        for value, name in enumerate(names):
            Image.fromarray(np.full((8, 8), value, np.uint8)).save(folder / name)
        paths = tuple(sorted(folder.iterdir()))
        studies = [Study(1, "p", "s", evidence={"x": Evidence(paths, counts)}) for counts in ((), (1, 1))]
        digests.append(evidence_digests(studies, "x"))
    assert digests[0] == digests[1]
