"""What inputs add, in the rows of scores: Shapley values worked out a second way, and those of an explanation."""

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import Hospital

from medmm.cohort.target import TargetSettings
from medmm.dataset.batches import stack
from medmm.dataset.decode import prepare_study
from medmm.evaluation.recalibration import Recalibration
from medmm.evaluation.settings import EvaluationSettings
from medmm.explanation.study import weigh_inputs
from medmm.losses import make_loss
from medmm.model import DiagnosisModel
from medmm.package import Package
from medmm.predict import predict
from medmm.references import fit_references
from medmm.scoring.engine import Options, score_stream
from medmm.scoring.results import scored
from medmm.scoring.run import score
from medmm.types import Batch, Scores, Study

Row = dict[str, Any]

TARGETS: dict[str, dict[str, object]] = {
    "binary": {"column": "diagnosis", "positive": "pneumonia"},
    "multiclass": {"column": "diagnosis", "task": "multiclass", "classes": ["a", "b", "c"]},
    "multilabel": {"column": "diagnosis", "task": "multilabel", "classes": ["a", "b", "c"]},
    "ordinal": {"column": "diagnosis", "task": "ordinal", "classes": ["none", "mild", "severe"]},
    "regression": {"column": "diagnosis", "task": "regression", "unit": "mL"},
}


def of(package: Package, target: dict[str, object]) -> Package:
    """Give the package with another target, and weights that have learned nothing of it."""
    settings = TargetSettings.model_validate(target)
    loss = make_loss(None, settings, None)
    if settings.task == "regression":
        loss.fit(np.array([[1.0], [3.0], [8.0]]))
    torch.manual_seed(1)
    model_settings = package.model_settings.model_copy(update={"loss": None})
    model = DiagnosisModel(model_settings, package.inputs, loss).eval()
    names = settings.names
    thresholds = tuple(0.2 + 0.1 * i for i in range(len(names))) if settings.task in {"binary", "multilabel", "ordinal"} else ()
    return replace(package, target=settings, model=model, thresholds=thresholds, digest="d")


def rows(package: Package, studies: list[Study], **options: Any) -> list[Row]:
    stream = score_stream(package, studies, Options(workers=0, **options))
    found = {one.study.study_id: dict(one.row) for ones in stream for one in ones}
    return [found[study.study_id] for study in studies]


@pytest.fixture(scope="module")
def some(hospital: Hospital) -> list[Study]:
    studies = [study for study in hospital.studies if study.evidence][:12]
    assert len({frozenset(study.evidence) for study in studies}) > 2
    return studies


def said_with(package: Package, study: Study, names: frozenset[str]) -> np.ndarray:
    """Give the answers (C,) of a study that has only some inputs from the start, in log odds or in the unit."""
    prepared = prepare_study(study, package.inputs)
    assert isinstance(prepared, dict)
    batch = {name: [prepared.get(name) if name in names else None] for name in sorted(package.inputs)}

    there = Batch(
        {name: stack(one) for name, one in batch.items()},
        {name: torch.tensor([one[0] is not None]) for name, one in batch.items()},
        None,
        torch.arange(1),
    )
    with torch.no_grad():
        logits = package.model.evidence(package.model(there).logits).double() / package.temperature
        answers = package.model.criterion.answer(logits)[0].numpy()
    return answers if package.target.task == "regression" else np.log(answers / (1 - answers))


@pytest.mark.parametrize("task", TARGETS)
def test_shares_are_what_inputs_add_over_every_order(package: Package, some: list[Study], task: str) -> None:
    mine = of(package, TARGETS[task])
    for study, row in zip(some[:5], rows(mine, some[:5]), strict=True):
        have = sorted(study.evidence)
        column = 0 if len(mine.target.names) == 1 else mine.target.names.index(row["contribution_for"])
        orders = list(permutations(have))
        expected = dict.fromkeys(have, 0.0)
        for order in orders:
            for i, name in enumerate(order):
                before, after = frozenset(order[:i]), frozenset(order[: i + 1])
                expected[name] += (said_with(mine, study, after) - said_with(mine, study, before))[column] / len(orders)
        for name in mine.inputs:
            if name in study.evidence:
                assert row[f"contribution_{name}"] == pytest.approx(expected[name], abs=2e-5), name
            else:
                assert row[f"contribution_{name}"] is None
        added = sum(row[f"contribution_{name}"] for name in have)
        whole, nothing = (said_with(mine, study, names)[column] for names in (frozenset(have), frozenset[str]()))
        assert added == pytest.approx(whole - nothing, abs=2e-5)
        assert max(abs(row[f"contribution_{name}"]) for name in have) > 1e-4


@pytest.mark.parametrize("task", TARGETS)
def test_an_explanation_gives_the_same_numbers(package: Package, some: list[Study], task: str) -> None:
    mine = of(package, TARGETS[task])
    for study, row in zip(some[:4], rows(mine, some[:4]), strict=True):
        prepared = prepare_study(study, mine.inputs)
        assert isinstance(prepared, dict)
        _, answer, _, shares, _ = weigh_inputs(mine, study, prepared)
        if len(mine.target.names) > 1:
            assert row["contribution_for"] == answer.explained.name
        for share in shares:
            expected = None if share.adds is None else pytest.approx(share.adds, abs=2e-5)
            assert row[f"contribution_{share.name}"] == expected


def test_an_explanation_says_the_probability_of_the_scores_after_a_curve_of_the_calibration(
    package: Package, some: list[Study]
) -> None:
    mine = replace(package, calibration=Recalibration(kind="platt", platt=((0.7, 2.0),)), digest="d")
    (row,) = rows(mine, some[:1])
    prepared = prepare_study(some[0], mine.inputs)
    assert isinstance(prepared, dict)
    _, answer, _, shares, _ = weigh_inputs(mine, some[0], prepared)
    assert answer.explained.value == pytest.approx(row["probability_pneumonia"], abs=1e-6)
    plain = rows(replace(package, digest="d"), some[:1])[0]
    assert row["probability_pneumonia"] != pytest.approx(plain["probability_pneumonia"], abs=1e-3)
    for share in shares:  # evidence adds up before the curve
        assert row[f"contribution_{share.name}"] == plain[f"contribution_{share.name}"]


def test_rows_without_contributions_say_the_same_of_everything_else(package: Package, some: list[Study]) -> None:
    columns = [f"contribution_{name}" for name in package.inputs]
    with_them, without = rows(package, some), rows(package, some, contributions=False)
    for one, other in zip(with_them, without, strict=True):
        assert any(one[name] is not None for name in columns)
        assert all(other.get(name) is None for name in columns)
        kept = set(one) - set(columns) - {"scored_at"}
        assert {name: one[name] for name in kept} == {name: other[name] for name in kept}


def test_the_results_have_a_column_an_input(package: Package, some: list[Study], tmp_path: Path) -> None:
    score(package, some, tmp_path, Options(workers=0))
    table = pq.read_table(tmp_path / "scores.parquet")
    expected = {str(row["study_id"]): row for row in rows(package, some)}
    for row in table.to_pylist():
        assert {name: row[name] for name in row if name.startswith("contribution")} == {
            f"contribution_{name}": expected[row["study_id"]][f"contribution_{name}"] for name in package.inputs
        }
    several = scored(of(package, TARGETS["multilabel"])).names
    assert [name for name in several if name.startswith("contribution")] == [
        "contribution_for",
        *(f"contribution_{name}" for name in sorted(package.inputs)),
    ]


def test_an_interval_without_an_end_is_null(package: Package, hospital: Hospital, some: list[Study]) -> None:
    mine = of(package, TARGETS["regression"])
    everything = frozenset(mine.inputs)
    found = predict(mine.model, [hospital.batch(some)], [everything])
    label, patient = np.arange(len(some), dtype=float)[:, None], np.arange(len(some))
    chosen = Scores(mine.target.names, mine.answer(found.logits[everything]), label, patient)
    settings = EvaluationSettings(conformal_level=0.99)  # more than so few patients can vouch for
    numbers = [study.row for study in some]
    references = fit_references(settings, "regression", found, found, chosen, numbers, label)
    assert references.conformal is not None
    assert np.isinf(references.conformal.limits).all()
    (row, *_) = rows(replace(mine, references=references), some)
    assert (row["set_low"], row["set_high"]) == (None, None)
    json.dumps(row, allow_nan=False)
