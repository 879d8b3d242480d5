"""What is unlike the training studies is found, what is like them passes, and an absent input says nothing."""

from dataclasses import replace

import numpy as np
import pytest

from medmm.evaluation.metrics import auroc
from medmm.evaluation.novelty import ACCEPTED, LEAST_STUDIES, Novelty, energy, fit_novelty, neighbour_distance, whole
from medmm.predict import Predicted
from medmm.types import Array

WIDTH = 12


def said(studies: int, rng: np.random.Generator, shift: float = 0.0, absent: float = 0.2) -> Predicted:
    """Draw embeddings of two inputs that fill half of the directions; a shift leaves them."""
    mix = np.random.default_rng(99).normal(size=(2, WIDTH // 2, WIDTH))
    present = rng.random((studies, 2)) >= absent
    present[:, 0] |= ~present.any(axis=1)
    pooled = {}
    for place, name in enumerate(("chest", "labs")):
        values = rng.normal(size=(studies, WIDTH // 2)) @ mix[place] + 0.1 * rng.normal(size=(studies, WIDTH))
        values[:, 0] += shift if name == "labs" else 0.0
        pooled[name] = np.where(present[:, [place]], values, 0).astype(np.float32)
    joint = (pooled["chest"] + pooled["labs"]).astype(np.float32)
    return Predicted({}, present, None, joint, pooled)


@pytest.fixture(scope="module")
def fitted() -> Novelty:
    rng = np.random.default_rng(0)
    return fit_novelty(said(400, rng), said(300, rng), np.arange(300) // 2)


def test_a_shift_of_one_input_is_found_there_and_not_in_the_other(fitted: Novelty) -> None:
    rng = np.random.default_rng(1)
    known, foreign = fitted.of(said(300, rng)), fitted.of(said(300, rng, shift=3.0))
    label = np.repeat([0, 1], 300)
    for part, least, most in (("labs", 0.95, 1.0), ("chest", 0.4, 0.6)):
        column = np.concatenate([known, foreign])[:, fitted.parts.index(part)]
        has = np.isfinite(column)
        area = auroc(column[has], label[has], np.ones((1, has.sum()), np.uint8))[0]
        assert least < area <= most
    assert auroc(whole(np.concatenate([known, foreign])), label, np.ones((1, 600), np.uint8))[0] > 0.85


def test_known_studies_pass_as_often_as_promised() -> None:
    rates = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        fitted = fit_novelty(said(120, rng), said(100, rng), np.arange(100) // 2)
        rates.append(fitted.beyond(fitted.of(said(200, rng))).any(axis=1).mean())
    alarms = np.mean(rates)
    assert 1 - ACCEPTED - 2 / 51 - 0.005 < alarms < 1 - ACCEPTED + 0.005


def test_the_distance_is_that_of_mahalanobis_with_the_shrunk_covariance(fitted: Novelty) -> None:
    from sklearn.covariance import LedoitWolf

    train = said(400, np.random.default_rng(0))
    new = said(50, np.random.default_rng(5))
    reference = LedoitWolf().fit(train.joint)
    expected = np.sqrt(reference.mahalanobis(new.joint)) / fitted.limit[0]
    np.testing.assert_allclose(fitted.of(new)[:, 0], expected, rtol=1e-3)


def test_an_absent_input_has_no_distance_and_moves_nothing(fitted: Novelty) -> None:
    one = said(50, np.random.default_rng(2), absent=0.5)
    filled = replace_absent(one, 1e3)
    assert np.isnan(fitted.of(one)[:, 1:][~one.present]).all()
    np.testing.assert_array_equal(fitted.of(one), fitted.of(filled))


def replace_absent(one: Predicted, filler: float) -> Predicted:
    pooled = {
        name: np.where(one.present[:, [i]], values, np.float32(filler)) for i, (name, values) in enumerate(one.pooled.items())
    }
    return one._replace(pooled=pooled)


def test_an_input_of_few_training_studies_has_no_distance() -> None:
    rng = np.random.default_rng(0)
    train = said(60, rng)
    train.present[LEAST_STUDIES - 1 :, 1] = False
    train.present[:, 0] = True
    fitted = fit_novelty(train, said(60, rng), np.arange(60))
    distance = fitted.of(said(40, rng))
    assert np.isnan(distance[:, 2]).all()
    assert np.isfinite(whole(distance)).all()


def test_too_few_validation_patients_raise_no_alarm() -> None:
    rng = np.random.default_rng(0)
    fitted = fit_novelty(said(60, rng), said(30, rng), np.arange(30) // 3)
    assert np.isinf(fitted.threshold)
    assert not fitted.beyond(fitted.of(said(40, rng, shift=50.0))).any()


def test_embeddings_that_do_not_vary_raise_no_alarm_and_no_warning() -> None:
    rng = np.random.default_rng(0)
    flat = [one._replace(joint=np.zeros_like(one.joint)) for one in (said(60, rng), said(60, rng))]
    fitted = fit_novelty(flat[0], flat[1], np.arange(60))
    assert np.isfinite(whole(fitted.of(flat[1]))).all()
    assert replace(fitted).of(flat[1])[:, 0].max() == 0


def test_neighbours_are_those_found_one_by_one() -> None:
    rng = np.random.default_rng(0)
    train, new = rng.normal(size=(40, 3)), rng.normal(size=(5, 3))

    def unit(values: Array) -> Array:
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    expected = [np.sort(np.linalg.norm(unit(train) - unit(new)[i], axis=1))[9] for i in range(5)]
    np.testing.assert_allclose(neighbour_distance(train, new), expected)
    assert neighbour_distance(train[:3], new).shape == (5,)


def test_energy_is_greatest_where_the_model_is_least_sure() -> None:
    logits = np.array([[-8.0], [0.0], [8.0]])
    low, middle, high = energy(logits, "binary")  # type: ignore[misc]
    assert low == pytest.approx(high)
    assert middle > high
    assert middle == pytest.approx(-np.log(2))
    np.testing.assert_allclose(energy(np.zeros((1, 3)), "multiclass"), [-np.log(3)])  # type: ignore[arg-type]
    assert energy(logits, "survival") is None


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_an_embedding_that_overflowed_is_novel_and_not_at_home(fitted: Novelty) -> None:
    one = said(20, np.random.default_rng(2), absent=0.0)
    one.pooled["labs"][3, :2] = np.inf, -np.inf
    one.pooled["labs"][4] = np.nan
    beyond = fitted.beyond(fitted.of(one))[:, fitted.parts.index("labs")]
    assert beyond[[3, 4]].all()
