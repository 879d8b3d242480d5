"""The chapters of sets and of novelty say what was found, or why there is nothing, on any package and a handful of studies."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from mlflow.utils.validation import _validate_metric_name
from rich.console import Console
from test_references import INPUTS, TARGETS, drawn, fitted, said

from medmm.cohort.manifest import Manifest
from medmm.config import RunConfig
from medmm.doubts import doubt_cells
from medmm.evaluation.chapter import Chapter
from medmm.evaluation.settings import EvaluationSettings
from medmm.intended_use import IntendedUse
from medmm.package import Package
from medmm.references import References
from medmm.types import Scores, Study, Task
from medmm.workflows.chapters.conformal import conformal
from medmm.workflows.chapters.novelty import novelty
from medmm.workflows.screen import Screen
from medmm.workflows.subject import Said, Subject

SCREEN = Screen(Console(quiet=True))
THRESHOLDS = {"binary": (0.5,), "multilabel": (0.5, 0.5), "ordinal": (0.5, 0.5)}


def subject(
    task: Task, references: References | None, scores: Scores, *, own: bool = True, intended: IntendedUse | None = None
) -> Subject:
    """Give a subject of which no more is filled in than these chapters read while no outlier is planted."""
    seen = said(len(scores.patient), 7)
    package = SimpleNamespace(
        references=references,
        target=TARGETS[task],
        thresholds=THRESHOLDS.get(task, ()),
        doubts=partial(doubt_cells, references, intended, TARGETS[task]),
    )
    studies = tuple(Study(row, f"p{patient}", f"s{row}") for row, patient in enumerate(scores.patient, 1))
    test = Said(np.arange(len(scores.patient)), scores, {}, np.zeros((0, 1)), seen.joint, seen.pooled, seen.present)
    config = SimpleNamespace(evaluation=EvaluationSettings(resamples=100))
    nothing = cast(Manifest, None)
    return Subject(cast(RunConfig, config), cast(Package, package), studies, {}, {}, nothing, own, 0, {"test": test})


def told(chapter: Chapter) -> str:
    return "\n".join(chapter.says)


def test_a_package_without_references_is_said_to_have_none() -> None:
    for write in (conformal, novelty):
        chapter = write(subject("binary", None, drawn("binary", 30, 0)), SCREEN)
        assert "holds no reference" in told(chapter)
        assert not chapter.measures


def test_a_survival_task_has_no_sets_and_is_told_why() -> None:
    chapter = conformal(subject("survival", fitted("survival"), drawn("survival", 30, 0)), SCREEN)
    assert "Not applicable" in told(chapter)
    assert not chapter.measures


def test_a_study_outside_the_intended_use_is_among_those_from_which_the_model_abstains() -> None:
    scores = drawn("binary", 200, 3)
    everyone = IntendedUse.model_validate({"inputs": ["chest"], "may_lack": {"sets": [[]], "patients": 20}})
    before = conformal(subject("binary", fitted(), scores), SCREEN).measures
    after = conformal(subject("binary", fitted(), scores, intended=everyone), SCREEN).measures
    assert before["abstained"].value < 1 == after["abstained"].value  # for no study has the input
    assert before["undecided"] == after["undecided"]


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "ordinal", "regression"])
def test_sets_that_hold_are_said_to_hold_as_promised(task: Task) -> None:
    chapter = conformal(subject(task, fitted(task), drawn(task, 200, 3)), SCREEN)
    assert ": as promised." in told(chapter)
    assert "80 validation studies of 40 patients" in told(chapter)
    assert chapter.measures["coverage"].patients == 100
    level = chapter.measures["level"]
    assert level.low < level.value == 0.9 < level.high


def test_sets_that_do_not_hold_are_said_to_hold_less_than_promised() -> None:
    references = fitted()
    assert references.conformal is not None
    tight = replace(references, conformal=replace(references.conformal, limits=np.array([[0.4, 0.4]])))
    chapter = conformal(subject("binary", tight, drawn("binary", 200, 3)), SCREEN)
    assert "less than promised" in told(chapter)
    assert "class no sick" in told(chapter)
    elsewhere = conformal(subject("binary", tight, drawn("binary", 200, 3), own=False), SCREEN)
    assert "patients of another cohort" in told(elsewhere)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_few_validation_patients_and_few_test_patients_are_told(task: Task) -> None:
    chapter = conformal(subject(task, fitted(task, validation=4), drawn(task, 12, 3)), SCREEN)
    assert "Not enough data: 2 validation patients, 9 are needed" in told(chapter)
    assert "Coverage cannot be judged: not enough data: 6 patients, 10 are needed" in told(chapter)
    assert not chapter.figures
    other = novelty(subject(task, fitted(task, validation=4), drawn(task, 12, 3)), SCREEN)
    assert "fewer than 19 validation patients" in told(other)
    assert f"Not enough data to plant outliers of {', '.join(INPUTS)}: 10 test patients" in told(other)
    assert set(other.measures) == {"false_alarms"}


def test_false_alarms_are_counted_and_on_another_cohort_not_called_false() -> None:
    few = drawn("binary", 14, 3)
    known = novelty(subject("binary", fitted(), few), SCREEN)
    assert "falsely (n = 14 studies of 7 patients)" in told(known)
    assert "falsely" not in told(novelty(subject("binary", fitted(), few, own=False), SCREEN))
    assert known.measures["false_alarms"].studies == 14
    assert list(known.tables["false_alarms"]["of"]) == ["study as a whole"]


def test_hostile_names_of_groups_are_numbers_that_mlflow_takes() -> None:
    scores = drawn("binary", 200, 3)
    values = np.array(["<script>", "a/../b", "=cmd|' /C'!A0", "Größe\n"] * 50)
    scores = Scores(scores.classes, scores.predicted, scores.target, np.arange(200) % 40, {"s/te <b>": values})
    chapter = conformal(subject("binary", fitted(), scores), SCREEN)
    groups = [name for name in chapter.measures if name.startswith("group_coverage/")]
    assert len(groups) >= 3
    for name in groups:
        _validate_metric_name(f"conformal/{name}_patients")
        assert not set("<>='|") & set(name)
