import numpy as np
import pytest
import torch
from scipy.optimize import brute
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from medmm.errors import DataError
from medmm.evaluation.calibration import TEMPERATURES, fit_temperature
from medmm.losses.cross_entropy import CrossEntropy
from medmm.types import Array, Task

TASKS: list[Task] = ["binary", "multiclass", "multilabel"]


def calibrated(task: Task, seed: int, studies: int = 4000) -> tuple[Array, Array]:
    """Draw logits, and targets from just these logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (studies, 1 if task == "binary" else 3))
    if task == "multiclass":
        return logits, np.eye(3)[(logits + rng.gumbel(size=logits.shape)).argmax(axis=1)]
    return logits, (rng.random(logits.shape) < expit(logits)).astype(float)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_the_data_is_found(task: Task, temperature: float) -> None:
    logits, target = calibrated(task, seed=0)
    assert fit_temperature(temperature * logits, target, task) == pytest.approx(temperature, rel=0.06)


@pytest.mark.parametrize("task", TASKS)
def test_the_minimum_is_that_of_a_grid_of_scikit_learns_log_loss(task: Task) -> None:
    logits, target = calibrated(task, seed=1, studies=200)
    logits = 2.5 * logits

    def loss(temperature: Array) -> float:
        if task == "multiclass":
            return float(log_loss(target.argmax(axis=1), softmax(logits / temperature, axis=1)))
        return float(log_loss(target.ravel(), expit(logits / temperature).ravel()))

    grid = brute(loss, (slice(1.5, 4, 0.005),), finish=None)
    assert fit_temperature(logits, target, task) == pytest.approx(float(grid), abs=0.006)


@pytest.mark.parametrize("task", TASKS)
def test_a_weight_is_a_study_repeated(task: Task) -> None:
    logits, target = calibrated(task, seed=2, studies=100)
    weights = np.random.default_rng(0).integers(0, 4, 100)
    repeated = fit_temperature(np.repeat(logits, weights, axis=0), np.repeat(target, weights, axis=0), task)
    assert fit_temperature(logits, target, task, weights) == pytest.approx(repeated, rel=1e-4)
    assert fit_temperature(logits, target, task) != pytest.approx(repeated, rel=1e-4)


def test_probabilities_by_hand() -> None:
    logits = np.array([[2.0, 0.0]])
    np.testing.assert_allclose(
        CrossEntropy("multilabel", [1.0] * 2).answer(torch.from_numpy(logits / 2)), [[1 / (1 + np.exp(-1)), 0.5]]
    )
    np.testing.assert_allclose(
        CrossEntropy("multiclass", [1.0] * 2).answer(torch.from_numpy(logits / 2)), [[np.e / (np.e + 1), 1 / (np.e + 1)]]
    )


def test_the_temperature_stays_inside_its_limits() -> None:
    separated, target = np.array([[-1.0], [1.0]] * 10), np.array([[0], [1]] * 10)
    assert fit_temperature(separated, target, "binary") == pytest.approx(TEMPERATURES[0], rel=1e-3)
    assert fit_temperature(-separated, target, "binary") == pytest.approx(TEMPERATURES[1], rel=1e-3)


def test_extreme_logits_do_not_overflow() -> None:
    logits, target = calibrated("binary", seed=3, studies=500)
    assert fit_temperature((1e3 * logits).astype(np.float32), target, "binary") == pytest.approx(TEMPERATURES[1], rel=1e-3)
    np.testing.assert_array_equal(CrossEntropy("binary", [1.0]).answer(torch.tensor([[-1e4], [1e4]])), [[0], [1]])


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(DataError, match="missing or infinite: the model diverged"):
        fit_temperature(np.array([[np.nan], [1.0]]), np.array([[0], [1]]), "binary")
    with pytest.raises(DataError, match=r"the 2 validation studies hold one class only.* enlarge the validation split"):
        fit_temperature(np.array([[0.0], [1.0]]), np.array([[1], [1]]), "binary")
