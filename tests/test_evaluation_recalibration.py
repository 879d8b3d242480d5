"""What stands on top of the temperature is what the validation studies ask for, and no more."""

from typing import Literal

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import expit, logit, softmax

from medmm.evaluation.calibration import fit_temperature
from medmm.evaluation.metrics import auroc
from medmm.evaluation.recalibration import (
    PATIENTS,
    Recalibration,
    choose_recalibration,
    fit_recalibration,
    log_loss,
    standard_error,
)
from medmm.types import Array, Task

Planted = Literal["temperature", "platt", "isotonic"]


def sigmoid(logits: Array, temperature: float) -> Array:
    return np.asarray(expit(logits / temperature))


def plant(kind: Planted, studies: int, seed: int, offset: float = 1.2) -> tuple[Array, Array, Array]:
    """Give logits that are as wrong as is asked, (S, 1) targets and two studies a patient."""
    rng = np.random.default_rng(seed)
    chance = expit(rng.normal(0, 1.8, (studies, 1)))
    target = (rng.random(chance.shape) < chance).astype(float)
    wrong = {
        "temperature": 2.5 * logit(chance),  # too sure
        "platt": 2 * (logit(chance) + offset),  # too sure, and all too high
        "isotonic": logit(chance) ** 3 / 2,  # no line undoes a cube
    }[kind]
    return wrong, target, np.repeat(np.arange(studies // 2), 2)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
def test_each_kind_is_chosen_where_the_miscalibration_asks_for_it(kind: Planted, seed: int) -> None:
    logits, target, patient = plant(kind, 3000, seed)
    temperature, chosen = choose_recalibration(logits, target, patient, "binary", sigmoid)
    assert chosen.kind == kind
    # On studies that it has not seen, what it says is nearer to the truth than what the temperature says.
    fresh, truth, _ = plant(kind, 20_000, seed + 100)
    after = log_loss(chosen.apply(sigmoid(fresh, temperature), "binary"), truth, "binary").mean()
    before = log_loss(sigmoid(fresh, temperature), truth, "binary").mean()
    assert after == before if kind == "temperature" else after < before - 0.002


def test_a_shift_is_found_exactly() -> None:
    logits, target, _ = plant("platt", 40_000, 0)
    temperature = fit_temperature(logits, target, "binary")
    fitted = fit_recalibration("platt", sigmoid(logits, temperature), target)
    assert fitted is not None
    ((intercept, slope),) = fitted.platt
    # By hand: the true logit is logits / 2 - 1.2, and the temperature gives logits / T.
    assert slope == pytest.approx(temperature / 2, rel=0.03)
    assert intercept == pytest.approx(-1.2, abs=0.05)


def test_few_validation_patients_get_the_temperature_alone() -> None:
    logits, target, patient = plant("isotonic", 40, 0)
    temperature, chosen = choose_recalibration(logits, target, patient, "binary", sigmoid)
    assert chosen.kind == "temperature"
    assert temperature == fit_temperature(logits, target, "binary")
    assert "20 are needed" in chosen.said


def test_steps_need_more_patients_than_a_curve() -> None:
    logits, target, patient = plant("isotonic", 150, 0)
    _, chosen = choose_recalibration(logits, target, patient, "binary", sigmoid)
    assert chosen.kind != "isotonic"
    assert "isotonic needs 100 patients of the rarer outcome, found" in chosen.said


def test_without_need_the_simpler_is_taken_nearly_always() -> None:
    kinds = [choose_recalibration(*plant("temperature", 300, seed), "binary", sigmoid)[1].kind for seed in range(40)]
    assert kinds.count("temperature") >= 32


def test_a_curve_is_judged_by_patients_that_it_has_not_seen() -> None:
    # Each patient has eight equal studies: steps that have seen seven of them foretell the eighth.
    logits, target, _ = plant("temperature", 260, 2)
    copies = np.repeat(np.arange(260), 8)
    _, chosen = choose_recalibration(logits[copies], target[copies], copies, "binary", sigmoid)
    assert chosen.kind == "temperature"
    assert "2080 validation studies of 260 patients" in chosen.said


def test_many_studies_of_a_patient_do_not_count_as_evidence_of_their_own() -> None:
    values = np.random.default_rng(0).normal(size=50)
    repeated = standard_error(np.repeat(values, 9), np.repeat(np.arange(50), 9))
    assert repeated == pytest.approx(standard_error(values, np.arange(50)))
    assert standard_error(values, np.arange(50)) == pytest.approx(values.std() / np.sqrt(50))


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_a_model_that_is_turned_around_is_not_turned_back(kind: Planted) -> None:
    logits, target, _ = plant("temperature", 400, 0)
    assert fit_recalibration(kind, sigmoid(-logits, 1), target) is None


def test_probabilities_of_classes_sum_to_one_and_those_of_grades_fall() -> None:
    rng = np.random.default_rng(0)
    three = softmax(rng.normal(0, 2, (50, 3)), axis=1)
    bent = Recalibration(kind="platt", platt=((0.5, 1.3), (-1.0, 0.7), (0.0, 1.0)))
    said = bent.apply(three, "multiclass")
    np.testing.assert_allclose(said.sum(axis=1), 1)
    own = expit(np.array([0.5, -1, 0]) + np.array([1.3, 0.7, 1]) * logit(three))
    np.testing.assert_allclose(said, own / own.sum(axis=1, keepdims=True))
    grades = np.sort(rng.random((50, 2)), axis=1)[:, ::-1]
    lifted = Recalibration(kind="platt", platt=((-2.0, 1.0), (2.0, 1.0))).apply(grades, "ordinal")
    assert (np.diff(lifted, axis=1) <= 0).all()
    assert (lifted[:, 0] < grades[:, 0]).all()


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "ordinal"])
def test_several_classes_are_bent_each_by_its_own_curve(task: Task) -> None:
    rng = np.random.default_rng(1)
    truth = np.sort(rng.normal(0, 1.5, (4000, 3)), axis=1)[:, ::-1] if task == "ordinal" else rng.normal(0, 1.5, (4000, 3))
    shift = np.array([1.5, 0.0, -1.5])
    if task == "multiclass":
        drawn = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
        target = (np.arange(3) == drawn[:, np.newaxis]).astype(float)
    else:
        target = (rng.random((4000, 1) if task == "ordinal" else truth.shape) < expit(truth)).astype(float)

    def answer(logits: Array, temperature: float) -> Array:
        if task == "multiclass":
            return np.asarray(softmax(logits / temperature, axis=1))
        said = sigmoid(logits, temperature)
        return np.minimum.accumulate(said, axis=1) if task == "ordinal" else said

    logits = truth + (shift if task != "ordinal" else 1.0)
    temperature, chosen = choose_recalibration(logits, target, np.arange(4000), task, answer)
    assert chosen.kind == "platt" or task == "multiclass"
    assert chosen.kind != "temperature"
    after = chosen.apply(answer(logits, temperature), task)
    # As many as it says are of each class; nearly, where the classes are made to sum to one.
    np.testing.assert_allclose(after.mean(axis=0), target.mean(axis=0), atol=0.03)
    assert np.abs(answer(logits, temperature).mean(axis=0) - target.mean(axis=0)).max() > 0.05


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
def test_what_is_written_as_json_is_read_back_the_same(kind: Planted) -> None:
    logits, target, _ = plant(kind, 600, 0)
    fitted = fit_recalibration(kind, sigmoid(logits, 1), target)
    assert fitted is not None
    again = Recalibration.model_validate_json(fitted.model_dump_json())
    assert again == fitted
    np.testing.assert_array_equal(again.apply(sigmoid(logits, 1), "binary"), fitted.apply(sigmoid(logits, 1), "binary"))


def test_nothing_is_ever_certain_and_order_is_kept() -> None:
    logits, target, _ = plant("isotonic", 600, 0)
    fitted = fit_recalibration("isotonic", sigmoid(logits, 1), target)
    assert fitted is not None
    said = fitted.apply(sigmoid(np.linspace(-60, 60, 999)[:, np.newaxis], 1), "binary")[:, 0]
    assert said.min() > 0
    assert said.max() < 1
    assert (np.diff(said) >= 0).all()
    one = np.ones((1, len(target)))
    bent = auroc(fitted.apply(sigmoid(logits, 1), "binary")[:, 0], target[:, 0], one)
    assert bent == pytest.approx(auroc(logits[:, 0], target[:, 0], one), abs=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "platt"},
        {"kind": "temperature", "platt": [[0, 1]]},
        {"kind": "platt", "platt": [[0, -1]]},
        {"kind": "isotonic", "isotonic": [[[0.2, 0.1], [0.1, 0.2]]]},
        {"kind": "isotonic", "isotonic": [[[0.1, 0.2], [0.2, 0.1]]]},
        {"kind": "isotonic", "isotonic": [[[0.1, 0.2], [0.2, 1.1]]]},
        {"kind": "isotonic", "isotonic": [[]]},
    ],
)
def test_curves_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="calibration"):
        Recalibration.model_validate(wrong)


def test_the_order_of_the_kinds_is_from_the_simplest() -> None:
    assert list(PATIENTS) == ["temperature", "platt", "isotonic"]
    assert sorted(PATIENTS.values()) == list(PATIENTS.values())
