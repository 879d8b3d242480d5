"""Operating points, calibration, decision curve and abstention of every task: numbers with n and interval, or a reason."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from rich.console import Console
from scipy.special import expit, softmax

from medmm.evaluation.chapter import Chapter
from medmm.evaluation.recalibration import Recalibration
from medmm.evaluation.settings import EvaluationSettings
from medmm.intended_use import IntendedUse
from medmm.types import Array, Evidence, Scores, Study, Task
from medmm.workflows.chapters import CHAPTERS
from medmm.workflows.screen import Screen
from medmm.workflows.subject import Subject

SCREEN = Screen(Console(quiet=True))
OWN = ("operating_points", "calibration", "decision_curve", "abstention")
TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel", "ordinal", "regression", "survival")
WITHOUT = {
    ("operating_points", "regression"),
    ("operating_points", "survival"),
    ("decision_curve", "regression"),
    ("abstention", "regression"),
    ("abstention", "survival"),
}


@dataclass(frozen=True)
class Target:
    task: Task
    horizons: tuple[float, ...] = (5.0, 10.0)


def made(task: Task, studies: int, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    patient = np.arange(studies) // 2
    logits = rng.normal(0, 1.5, (studies, 3))
    if task == "binary":
        chance = expit(logits[:, :1])
        return Scores(("ill",), chance, (rng.random(chance.shape) < chance).astype(float), patient)
    if task == "multilabel":
        return Scores(("a", "b", "c"), expit(logits), (rng.random(logits.shape) < expit(logits)).astype(float), patient)
    if task == "multiclass":
        drawn = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        return Scores(("a", "b", "c"), softmax(logits, axis=1), np.eye(3)[drawn], patient)
    if task == "ordinal":
        chance = expit(logits[:, :1] + np.array([1.0, -1.0]))
        return Scores(("mild", "severe"), chance, (rng.random((studies, 1)) < chance).astype(float), patient)
    if task == "regression":
        return Scores(("value",), logits[:, :1], logits[:, :1] + rng.normal(size=(studies, 1)), patient)
    hazard = np.exp(logits[:, 0] - 3)
    risk = 1 - np.exp(-hazard[:, np.newaxis] * np.array([5.0, 10.0]))
    died, left = rng.exponential(1 / hazard), rng.uniform(1, 25, studies)
    return Scores(("by_5", "by_10"), risk, np.stack([np.minimum(died, left), died <= left], axis=1).astype(float), patient)


def subject(task: Task, scores: Scores, thresholds: tuple[float, ...] | None = None) -> Subject:
    count = 0 if task in ("multiclass", "regression", "survival") else len(scores.classes)
    config = SimpleNamespace(target=Target(task), evaluation=EvaluationSettings(resamples=100))
    package = SimpleNamespace(
        thresholds=(0.4,) * count if thresholds is None else thresholds,
        temperature=1.2,
        calibration=Recalibration(),
        intended=None,
    )
    return cast(Subject, SimpleNamespace(config=config, package=package, test=SimpleNamespace(scores=scores)))


def write(name: str, task: Task, scores: Scores) -> Chapter:
    return CHAPTERS[name](subject(task, scores), SCREEN)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", OWN)
def test_every_task_has_its_numbers_or_a_reason(name: str, task: Task) -> None:
    chapter = write(name, task, made(task, 200))
    assert chapter.name == name
    assert all(chapter.says)
    if (name, task) in WITHOUT:
        assert not chapter.measures
        assert task in chapter.says[0]
        return
    for measure, one in chapter.measures.items():
        assert np.isfinite(one.value), measure
        assert one.low <= one.high, measure
        assert 0 < one.patients <= one.studies <= 200
    assert all(len(table) for table in chapter.tables.values())
    for figure in chapter.figures.values():
        figure.canvas.draw()
    assert "nan" not in " ".join(chapter.says)
    assert "patients" in " ".join(chapter.says)


@pytest.mark.parametrize("studies", [1, 2, 9])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", OWN)
def test_a_tiny_cohort_is_told_to_be_one(name: str, task: Task, studies: int) -> None:
    chapter = write(name, task, made(task, studies))
    assert not chapter.measures
    assert chapter.says
    if (name, task) not in WITHOUT:
        assert all("ot enough data" in one for one in chapter.says)


@pytest.mark.parametrize("name", OWN)
def test_a_class_without_patients_is_left_out_and_named(name: str) -> None:
    scores = made("multilabel", 200)
    scores.target[:, 1] = 0
    chapter = write(name, "multilabel", scores)
    if name != "abstention":  # a decision can be right without any that is ill
        assert not [measure for measure in chapter.measures if measure.endswith("_b")]
        assert any(one.startswith("b: not enough data") for one in chapter.says)
    assert [measure for measure in chapter.measures if measure.endswith("_a")]


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", OWN)
def test_a_model_that_always_says_the_same_breaks_nothing(name: str, value: float) -> None:
    scores = made("binary", 120)
    constant: Array = np.full_like(scores.predicted, value)
    chapter = write(name, "binary", Scores(scores.classes, constant, scores.target, scores.patient))
    for figure in chapter.figures.values():
        figure.canvas.draw()
    assert chapter.says


def test_a_model_that_is_too_sure_is_told_so() -> None:
    scores = made("binary", 1200)
    sharp = Scores(scores.classes, expit(3 * np.log(scores.predicted / (1 - scores.predicted))), scores.target, scores.patient)
    fair, sure = (" ".join(write("calibration", "binary", one).says) for one in (scores, sharp))
    assert "1 is perfect: its probabilities are too extreme" in sure
    assert "chance does not explain it" in sure
    assert "1 is perfect: the interval holds it" in fair
    assert "it can be chance" in fair


def test_the_range_in_which_acting_on_the_model_is_best_is_told() -> None:
    said = " ".join(write("decision_curve", "binary", made("binary", 1200)).says)
    assert "acting on the model beats both acting on all and on nobody, with the lower limit" in said
    scores = made("binary", 1200)
    blind = np.random.default_rng(1).permutation(scores.predicted)
    said = " ".join(write("decision_curve", "binary", Scores(("ill",), blind, scores.target, scores.patient)).says)
    assert "at no threshold does acting on the model beat both" in said


@pytest.mark.parametrize("task", ["binary", "survival"])
def test_test_studies_outside_the_intended_use_are_counted_by_limit(task: Task) -> None:
    one = cast(SimpleNamespace, subject(task, made(task, 200)))
    one.package.intended = IntendedUse.model_validate(
        {
            "inputs": ["labs"],
            "age_years": {"low": 18.0, "high": None, "patients": 0},
            "age_column": "age",
            "may_lack": {"sets": [[]], "patients": 30},
        }
    )
    labs, one.test.rows = {"labs": Evidence(cells={"crp": "3"})}, range(200)
    one.studies = [
        Study(i + 1, f"p{i}", f"s{i}", cells={"age": "4" if i < 6 else "40"}, evidence={} if i < 50 else labs)
        for i in range(200)
    ]
    chapter = CHAPTERS["abstention"](cast(Subject, one), SCREEN)
    assert chapter.measures["outside_intended_use"].value == 0.25
    assert "of the test studies, 200 studies of 100 patients: by age 6, inputs absent 50." in chapter.says[-1]
    one.studies = one.studies[-1:] * 200
    chapter = CHAPTERS["abstention"](cast(Subject, one), SCREEN)
    assert "None of the test studies, 200 studies of 100 patients, is outside" in chapter.says[-1]
    assert "outside_intended_use" not in chapter.measures
