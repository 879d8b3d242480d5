"""What went into a run, and how the text of a cell becomes a target."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from medmm.cohort.manifest import LEFT_OUT, Manifest, make_manifest, patient_numbers
from medmm.cohort.target import TargetSettings
from medmm.dataset.cache import evidence_digests
from medmm.errors import Code, Rejected
from medmm.types import Evidence, Study

GAP = Rejected(Code.GAP, "the series", "a gap", "none", "export it again")


def cohort(folder: Path) -> list[Study]:
    """Make four studies of three patients with an image file, a note and cells."""
    for name in ("one", "two"):
        (folder / name).write_bytes(name.encode())
    day = datetime(2024, 1, 1)
    return [
        Study(
            1,
            "PAT-7",
            "ACC-1",
            day,
            (1.0,),
            evidence={"chest": Evidence(files=(folder / "one",)), "note": Evidence(text="cough")},
        ),
        Study(2, "PAT-9", "ACC-2", day, (0.0,), evidence={"chest": Evidence(files=(folder / "two",))}),
        Study(3, "PAT-7", "ACC-3", day, None, evidence={"labs": Evidence(cells={"crp": "3"})}, rejected={"chest": GAP}),
        Study(4, "PAT-8", "ACC-4", day, (0.0,), evidence={"note": Evidence(text="fever")}),
    ]


PARTS = {0: "train", 1: "test", 3: "validation"}
REASONS = {2: "no label"}


def manifest(studies: Sequence[Study], parts: Mapping[int, str] = PARTS, reasons: Mapping[int, str] = REASONS) -> Manifest:
    digests = {name: evidence_digests(studies, name) for name in ("chest", "labs", "note")}
    return make_manifest(studies, parts, reasons, digests)


def test_the_table_says_what_became_of_every_study(tmp_path: Path) -> None:
    table = manifest(cohort(tmp_path)).table
    assert table.to_dict("records") == [
        {
            "row": 1,
            "patient": 1,
            "part": "train",
            "reason": "",
            "label": "1",
            "chest": "present",
            "labs": "absent",
            "note": "present",
        },
        {
            "row": 2,
            "patient": 2,
            "part": "test",
            "reason": "",
            "label": "0",
            "chest": "present",
            "labs": "absent",
            "note": "absent",
        },
        {
            "row": 3,
            "patient": 1,
            "part": LEFT_OUT,
            "reason": "no label",
            "label": "",
            "chest": "E_GAP",
            "labs": "present",
            "note": "absent",
        },
        {
            "row": 4,
            "patient": 3,
            "part": "validation",
            "reason": "",
            "label": "0",
            "chest": "absent",
            "labs": "absent",
            "note": "present",
        },
    ]


def test_the_table_names_nobody(tmp_path: Path) -> None:
    text = manifest(cohort(tmp_path)).table.to_csv()
    for secret in ("PAT", "ACC", "cough", str(tmp_path), "2024"):
        assert secret not in text


def test_patients_are_numbered_as_they_come_and_the_same_person_alike(tmp_path: Path) -> None:
    assert patient_numbers(cohort(tmp_path)) == [1, 2, 1, 3]


def test_the_digest_is_the_same_for_the_same_content_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = manifest(cohort(tmp_path / "a")), manifest(cohort(tmp_path / "b"))
    assert first.digest == second.digest
    assert len(first.digest) == 64
    # What is only said about a study, not learned from it, is of no matter.
    other = [replace(study, groups={"sex": "F"}, cells={"more": "1"}) for study in cohort(tmp_path / "a")]
    assert manifest(other, reasons={2: "another word"}).digest == first.digest


Change = Callable[[list[Study], Path], None]


def change_label(studies: list[Study], _folder: Path) -> None:
    studies[1] = replace(studies[1], label=(1.0,))


def change_time(studies: list[Study], _folder: Path) -> None:
    studies[1] = replace(studies[1], time=datetime(2024, 1, 2))


def change_patient(studies: list[Study], _folder: Path) -> None:
    studies[1] = replace(studies[1], patient_id="PAT-7")


def change_file(_studies: list[Study], folder: Path) -> None:
    (folder / "two").write_bytes(b"twp")


def change_note(studies: list[Study], _folder: Path) -> None:
    studies[3] = studies[3].with_input("note", Evidence(text="fevers"))


def change_cells(studies: list[Study], _folder: Path) -> None:
    studies[0] = studies[0].with_input("labs", Evidence(cells={"crp": "31"}))


def lose_an_input(studies: list[Study], _folder: Path) -> None:
    studies[0] = replace(studies[0], evidence={"chest": studies[0].evidence["chest"]})


def lose_a_study(studies: list[Study], _folder: Path) -> None:
    del studies[2]


def swap_files(studies: list[Study], _folder: Path) -> None:
    one, two = studies[0].evidence["chest"], studies[1].evidence["chest"]
    studies[0], studies[1] = studies[0].with_input("chest", two), studies[1].with_input("chest", one)


@pytest.mark.parametrize(
    "change",
    [
        change_label,
        change_time,
        change_patient,
        change_file,
        change_note,
        change_cells,
        lose_an_input,
        lose_a_study,
        swap_files,
    ],
)
def test_the_digest_knows_every_change_of_the_data(tmp_path: Path, change: Change) -> None:
    before = manifest(cohort(tmp_path)).digest
    studies = cohort(tmp_path)
    change(studies, tmp_path)
    assert manifest(studies).digest != before


@pytest.mark.parametrize("parts", [{**PARTS, 1: "train"}, {0: "train", 1: "test"}, {0: "test", 1: "train", 3: "validation"}])
def test_the_digest_knows_every_change_of_the_split(tmp_path: Path, parts: dict[int, str]) -> None:
    studies = cohort(tmp_path)
    assert manifest(studies, parts).digest != manifest(studies).digest


def test_the_digest_of_an_input_tells_files_cells_and_notes_apart(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("a")
    (tmp_path / "rest").write_text("b")
    given = [
        Evidence(files=(tmp_path / "note",)),
        Evidence(files=(tmp_path / "note", tmp_path / "rest")),
        Evidence(text="a"),
        Evidence(cells={"a": ""}),
        Evidence(cells={"a": "", "b": ""}),
        Evidence(text=""),
    ]
    digests = evidence_digests([Study(i, "p", str(i), evidence={"x": one}) for i, one in enumerate(given)], "x")
    assert len(set(digests)) == len(given)
    assert evidence_digests([Study(1, "p", "s")], "x") == [None]
    backwards = [Study(1, "p", "s", evidence={"x": Evidence(cells={"b": "", "a": ""})})]
    assert evidence_digests(backwards, "x") == [digests[4]]
    other_order = [Study(1, "p", "s", evidence={"x": Evidence(files=(tmp_path / "rest", tmp_path / "note"))})]
    assert evidence_digests(other_order, "x") == [digests[1]]  # names and their order are not content


BINARY = TargetSettings(column="diagnosis", positive="pneumonia")
MULTICLASS = TargetSettings(column="diagnosis", task="multiclass", classes=("healthy", "pneumonia", "fracture"))
MULTILABEL = TargetSettings(column="findings", task="multilabel", classes=("effusion", "nodule", "mass"))


@pytest.mark.parametrize(
    ("settings", "cell", "expected"),
    [
        (BINARY, "pneumonia", (1,)),
        (BINARY, "healthy", (0,)),
        (BINARY, "Pneumonia", (0,)),
        (BINARY, "", None),
        (MULTICLASS, "healthy", (1, 0, 0)),
        (MULTICLASS, "fracture", (0, 0, 1)),
        (MULTICLASS, "", None),
        (MULTILABEL, "mass;effusion", (1, 0, 1)),
        (MULTILABEL, " nodule ; ", (0, 1, 0)),
        (MULTILABEL, ";", (0, 0, 0)),
        (MULTILABEL, "nodule;nodule", (0, 1, 0)),
        (MULTILABEL, "", None),
        (MULTILABEL.model_copy(update={"separator": "|"}), "nodule|mass", (0, 1, 1)),
    ],
)
def test_a_cell_becomes_one_number_a_class(settings: TargetSettings, cell: str, expected: tuple[int, ...] | None) -> None:
    assert settings.encode(cell) == expected


@pytest.mark.parametrize(
    ("settings", "cell"), [(MULTICLASS, "Erika M."), (MULTICLASS, "healthy;fracture"), (MULTILABEL, "nodule;Erika M.")]
)
def test_a_class_that_is_not_declared_is_rejected_and_not_repeated(settings: TargetSettings, cell: str) -> None:
    with pytest.raises(Rejected) as caught:
        settings.encode(cell)
    assert caught.value.code is Code.CATEGORY
    assert "Erika" not in str(caught.value)
    assert settings.classes[0] in str(caught.value)


def test_the_names_of_the_scores_are_the_positive_class_or_all_classes() -> None:
    assert BINARY.names == ("pneumonia",)
    assert MULTILABEL.names == ("effusion", "nodule", "mass")


@pytest.mark.parametrize(
    "settings",
    [
        {"task": "binary"},
        {"task": "binary", "positive": "a", "classes": ["a", "b"]},
        {"task": "multiclass", "classes": ["a"]},
        {"task": "multiclass", "classes": ["a", "a"]},
        {"task": "multiclass", "classes": ["a", "b"], "positive": "a"},
        {"task": "multilabel", "classes": ["a", "b", "b"]},
        {"task": "multilabel", "classes": ["a", "b"], "separator": ""},
        {"task": "multilabel", "classes": ["a;b", "c"]},
        {"task": "multilabel", "classes": ["", "c"]},
        {"task": "binary", "positive": ""},
    ],
    ids=json.dumps,
)
def test_a_target_that_cannot_be_right_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TargetSettings.model_validate({"column": "x", **settings})
