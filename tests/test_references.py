"""What travels with a model comes back as it went, is refused where it does not fit the model, and speaks in few columns."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import Hospital
from safetensors.numpy import load, save

from medmm.cohort.target import TargetSettings
from medmm.errors import DataError
from medmm.evaluation.settings import EvaluationSettings
from medmm.package import FILES, REFERENCE_FACTS, REFERENCES, Package, load_package, save_package
from medmm.predict import Predicted, predict
from medmm.references import NONE_LEFT, SEVERAL_LEFT, References, fit_references, pack, unpack
from medmm.registry import _signature
from medmm.scoring.engine import Options
from medmm.scoring.pyfunc import StudyModel
from medmm.scoring.run import score
from medmm.scoring.studies import find_studies
from medmm.sealed import seal
from medmm.types import Array, Scores, Task

INPUTS = ("chest", "labs")
TARGETS = {
    "binary": TargetSettings(column="diagnosis", positive="sick"),
    "multiclass": TargetSettings(column="kind", task="multiclass", classes=("a", "b", "c")),
    "multilabel": TargetSettings(column="signs", task="multilabel", classes=("x", "y")),
    "ordinal": TargetSettings(column="grade", task="ordinal", classes=("none", "mild", "severe")),
    "regression": TargetSettings(column="value", task="regression"),
    "survival": TargetSettings(task="survival", time="days", event="died", unit="days", horizons=(3, 8)),
}
COLUMNS = {
    "binary": ["set_has_sick", "set_not_sick"],
    "multiclass": ["set_a", "set_b", "set_c"],
    "multilabel": ["set_has_x", "set_not_x", "set_has_y", "set_not_y"],
    "ordinal": ["set_none", "set_mild", "set_severe"],
    "regression": ["set_low", "set_high"],
    "survival": [],
}
WIDTH = 6


def said(studies: int, seed: int) -> Predicted:
    rng = np.random.default_rng(seed)
    pooled = {name: rng.normal(size=(studies, WIDTH)).astype(np.float32) for name in INPUTS}
    present = rng.random((studies, 2)) < 0.8
    return Predicted({}, present, None, rng.normal(size=(studies, WIDTH)).astype(np.float32), pooled)


def drawn(task: Task, studies: int, seed: int) -> Scores:
    rng = np.random.default_rng(seed)
    target = TARGETS[task]
    count = len(target.names)
    predicted = np.sort(rng.random((studies, count)), axis=1)
    truth: Array = (rng.random((studies, count)) < 0.5).astype(float)
    if task == "ordinal":
        predicted, truth = predicted[:, ::-1], np.minimum.accumulate(truth, axis=1)
    elif task == "multiclass":
        predicted = predicted / predicted.sum(axis=1, keepdims=True)
        truth = np.eye(count)[rng.integers(count, size=studies)]
    elif task == "survival":
        truth = np.stack([rng.random(studies), rng.integers(2, size=studies)], axis=1)
    return Scores(target.names, predicted, truth, np.arange(studies) // 2)


def fitted(task: Task = "binary", validation: int = 80) -> References:
    chosen = drawn(task, validation, 1)
    label = np.zeros((50, 2 if task == "survival" else len(chosen.classes)))
    return fit_references(EvaluationSettings(), task, said(50, 0), said(validation, 1), chosen, range(1, 51), label)


def same(one: References, other: References) -> bool:
    packed, again = pack(one), pack(other)
    return packed == again


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("validation", [80, 4])
def test_references_come_back_as_they_went(task: Task, validation: int) -> None:
    references = fitted(task, validation)
    content, plain = pack(references)
    back = unpack(content, json.loads(json.dumps(plain, allow_nan=False)), INPUTS, TARGETS[task], WIDTH)
    assert back is not None
    assert same(references, back)
    new, answers = said(30, 5), drawn(task, 30, 6).predicted
    cells = references.cells(TARGETS[task], answers, new)
    assert cells == back.cells(TARGETS[task], answers, new)
    assert list(cells) == [*COLUMNS[task], "novelty", "novelty_chest", "novelty_labs", "abstain", "abstain_why"]
    assert (back.conformal is None) == (task == "survival")


def test_what_calibration_was_comes_back_and_an_older_package_does_not_say() -> None:
    references = fitted()
    assert {one.metric for one in references.standing} == {"slope", "in_the_large"}
    content, plain = pack(references)
    back = unpack(content, json.loads(json.dumps(plain)), INPUTS, TARGETS["binary"], WIDTH)
    assert back is not None
    assert back.standing == references.standing
    del plain["standing"]
    older = unpack(content, plain, INPUTS, TARGETS["binary"], WIDTH)
    assert older is not None
    assert older.standing == ()


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "auroc"},
        {"class_name": "well"},
        {"value": float("nan")},
        {"value": "1.0"},
        {"error": -0.1},
        {"error": float("inf")},
        {"patients": 0},
        {"patients": 81},
        {"studies": True},
        {"more": 1},
        {"metric": "rejected"},
        {"metric": "rejected", "class_name": "", "value": 1.5},
    ],
)
def test_what_calibration_cannot_have_been_is_refused(change: dict[str, object]) -> None:
    content, plain = pack(fitted())
    plain["standing"][0].update(change)
    with pytest.raises(DataError, match="package the run again"):
        unpack(content, plain, INPUTS, TARGETS["binary"], WIDTH)
    for other in ({}, 3, [None]):
        with pytest.raises(DataError, match="validation studies is damaged"):
            unpack(content, {**plain, "standing": other}, INPUTS, TARGETS["binary"], WIDTH)


def test_no_references_come_back_as_none() -> None:
    assert unpack(*pack(None), INPUTS, TARGETS["binary"], WIDTH) is None


def test_a_study_without_one_answer_is_abstained_from_and_told_why() -> None:
    references = fitted()
    assert references.conformal is not None
    new = said(4, 5)
    new.present[:] = True
    new.present[3, 1] = False
    new.pooled["chest"][2] += 100
    references = replace(references, conformal=replace(references.conformal, limits=np.array([[0.4, 0.4]])))
    open_one = replace(references, conformal=replace(references.conformal, limits=np.array([[0.6, 0.6]])))  # type: ignore[type-var]
    answers = np.array([[0.9], [0.5], [0.1], [0.9]])
    cells = references.cells(TARGETS["binary"], answers, new)
    assert cells["set_has_sick"] == [True, False, False, True]
    assert cells["set_not_sick"] == [False, False, True, False]
    assert cells["abstain"] == [False, True, True, False]
    assert cells["abstain_why"] == ["", NONE_LEFT, "novel chest", ""]
    assert cells["novelty_labs"][3] is None
    assert cells["novelty"][2] == cells["novelty_chest"][2]
    assert open_one.cells(TARGETS["binary"], answers, new)["abstain_why"][1] == SEVERAL_LEFT


def test_a_label_that_stays_open_is_named() -> None:
    references = fitted("multilabel")
    assert references.conformal is not None
    references = replace(references, conformal=replace(references.conformal, limits=np.full((2, 2), 0.3)))
    quiet = np.full((1, 3), 0.5)
    assert references.reasons(TARGETS["multilabel"], np.array([[0.9, 0.5]]), quiet) == [f"{NONE_LEFT} of y"]
    assert references.reasons(TARGETS["multilabel"], np.array([[0.9, 0.1]]), quiet) == [""]


def test_training_studies_are_kept_by_their_row_and_label() -> None:
    known = fitted().neighbours
    assert known.rows.tolist() == list(range(1, 51))
    np.testing.assert_allclose(known.joint, said(50, 0).joint, rtol=1e-3)
    assert known.labels.shape == (50, 1)


def test_of_many_training_studies_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medmm.references.NEIGHBOURS", 20)
    known = fitted().neighbours
    assert len(set(known.rows.tolist())) == 20
    whole = said(50, 0).joint
    np.testing.assert_allclose(known.joint, whole[known.rows - 1], rtol=1e-3)


def damaged(change: Callable[[dict[str, Array]], None]) -> bytes:
    arrays = load(pack(fitted())[0])
    change(arrays)
    return bytes(save(arrays))


HOSTILE: dict[str, Callable[[dict[str, Array]], None]] = {
    "another width": lambda a: a.update({"novelty/mean": np.zeros((3, WIDTH + 1), np.float32)}),
    "another kind": lambda a: a.update({"novelty/mean": a["novelty/mean"].astype(np.float64)}),
    "more parts": lambda a: a.update({"novelty/limit": np.ones(4)}),
    "more axes": lambda a: a.update({"drift/answers": a["drift/answers"][None]}),
    "rows that do not fit": lambda a: a.update({"neighbours/rows": np.arange(49)}),
    "another number of answers": lambda a: a.update({"conformal/limits": np.ones((1, 3))}),
    "no value": lambda a: a.update({"conformal/limits": np.full((1, 2), np.nan)}),
    "a limit below 0": lambda a: a.update({"novelty/limit": np.array([1, -1, 1.0])}),
    "an infinite mean": lambda a: a.update({"novelty/mean": np.full((3, WIDTH), np.inf, np.float32)}),
    "an infinite scale": lambda a: a.update({"novelty/whiten": np.full((3, WIDTH, WIDTH), np.inf, np.float32)}),
    "too large a sample": lambda a: a.update(
        {name: np.repeat(a[name], 7, axis=0) for name in a if name in {"drift/embedding", "drift/present", "drift/answers"}}
        | {"drift/patient": np.arange(560)}
    ),
    "an array less": lambda a: a.pop("drift/centre"),  # type: ignore[dict-item]
    "an array more": lambda a: a.update({"novelty/inputs": np.zeros(1)}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_arrays_that_do_not_fit_the_model_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="package the run again"):
        unpack(damaged(HOSTILE[name]), pack(fitted())[1], INPUTS, TARGETS["binary"], WIDTH)


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        3,
        {},
        {"inputs": ["chest"], "conformal": None},
        {"inputs": ["chest", "labs"], "conformal": None},
        {"inputs": ["chest", "labs"], "conformal": {"level": 2.0, "by_class": False, "studies": 1, "patients": 1}},
        {"inputs": ["chest", "labs"], "conformal": {"level": "0.9", "by_class": False, "studies": 1, "patients": 1}},
        {"inputs": ["chest", "labs"], "conformal": {"level": 0.9, "by_class": False, "studies": 1, "patients": 1, "task": 1}},
    ],
)
def test_facts_that_are_none_are_refused(plain: object) -> None:
    with pytest.raises(DataError, match="package the run again"):
        unpack(pack(fitted())[0], plain, INPUTS, TARGETS["binary"], WIDTH)


@pytest.mark.parametrize("content", [b"", b"x" * 40, b"\x80\x04K\x01.", b"\xff" * 8 + b"{}"])
def test_bytes_that_are_no_safetensors_are_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="no safetensors"):
        unpack(content, pack(fitted())[1], INPUTS, TARGETS["binary"], WIDTH)


def test_references_of_another_model_are_refused() -> None:
    content, plain = pack(fitted("ordinal"))
    with pytest.raises(DataError, match="package the run again"):
        unpack(content, plain, INPUTS, TARGETS["binary"], WIDTH)
    with pytest.raises(DataError, match="not of its inputs"):
        unpack(content, plain, ("chest", "ct"), TARGETS["ordinal"], WIDTH)


@pytest.fixture(scope="module")
def referring(hospital: Hospital, package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save the package with references of its own studies."""
    studies = [study for study in hospital.studies if study.evidence]
    whole = frozenset(package.inputs)
    found = predict(package.model, [hospital.batch(studies)], [whole])
    label = np.array([study.label for study in studies])
    answers = package.answer(found.logits[whole])
    patient = np.unique([study.patient_id for study in studies], return_inverse=True)[1]
    chosen = Scores(package.target.names, answers, label, patient)
    rows = [study.row for study in studies]
    references = fit_references(EvaluationSettings(), "binary", found, found, chosen, rows, label)
    folder = tmp_path_factory.mktemp("referring") / "package"
    save_package(replace(package, references=references), folder)
    return folder


def test_a_package_keeps_its_references_and_gives_the_same_bytes_again(referring: Path, tmp_path: Path) -> None:
    loaded = load_package(referring)
    assert loaded.references is not None
    assert "- prediction sets at the level 0.9, from " in (referring / "card.md").read_text()
    save_package(loaded, tmp_path / "again")
    for name in (REFERENCES, REFERENCE_FACTS):
        assert (tmp_path / "again" / name).read_bytes() == (referring / name).read_bytes()


def test_a_package_whose_references_were_replaced_and_sealed_anew_is_refused(referring: Path, tmp_path: Path) -> None:
    save_package(load_package(referring), tmp_path / "copy")
    (tmp_path / "copy" / REFERENCES).write_bytes(pack(fitted())[0])
    with pytest.raises(DataError, match=r"references\.safetensors of the package was changed"):
        load_package(tmp_path / "copy")
    seal(tmp_path / "copy", FILES)
    with pytest.raises(DataError, match="does not fit the model"):
        load_package(tmp_path / "copy")


def test_scores_say_which_answers_are_left_and_where_to_abstain(hospital: Hospital, referring: Path, tmp_path: Path) -> None:
    loaded = load_package(referring)
    score(loaded, find_studies(loaded, hospital.cohort.root), tmp_path, Options(workers=0))
    table = pq.read_table(tmp_path / "scores.parquet").to_pandas()
    sets = table[["set_has_pneumonia", "set_not_pneumonia"]]
    assert loaded.references is not None
    novel = table["novelty"] > loaded.references.novelty.threshold
    assert (table["abstain"] == (novel | (sets.sum(axis=1) != 1))).all()
    assert (table["abstain"] == (table["abstain_why"] != "")).all()
    has_labs = table["inputs"].map(lambda names: "labs" in names)
    assert (table["novelty_labs"].notna() == has_labs).all()
    assert 0 < has_labs.sum() < len(table)
    assert np.isfinite(table["novelty"]).all()


def test_the_pyfunc_says_the_same_and_mlflow_knows_the_columns(hospital: Hospital, referring: Path, tmp_path: Path) -> None:
    loaded = load_package(referring)
    score(loaded, find_studies(loaded, hospital.cohort.root), tmp_path, Options(workers=0))
    expected = pq.read_table(tmp_path / "scores.parquet").to_pandas().set_index("study_id")
    given = pd.read_csv(hospital.cohort.root / "studies.csv", dtype=str, keep_default_na=False)
    found = StudyModel(loaded).predict(given, {"root": str(hospital.cohort.root)})
    found = found[found["code"] == ""].set_index("study_id").loc[expected.index]
    assert found["abstain_why"].tolist() == expected["abstain_why"].tolist()
    assert found["abstain"].tolist() == expected["abstain"].tolist()
    names = {one.name for one in _signature(loaded).outputs.inputs}
    assert {"set_has_pneumonia", "novelty", "novelty_labs", "abstain", "abstain_why"} <= names
