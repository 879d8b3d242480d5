"""Conformal sets hold their level over patients, whatever the model is worth, and say where an answer stays open."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from medmm.cohort.target import TargetSettings
from medmm.errors import DataError
from medmm.evaluation.calibration import fit_temperature
from medmm.evaluation.conformal import CLASS_PATIENTS, Conformal, distances, fit_conformal, patient_quantile, questions, truth
from medmm.types import Array, Scores, Task

COHORTS = 400
PATIENTS = 60


def scores(predicted: Array, target: Array, patient: Array) -> Scores:
    names = tuple(f"c{i}" for i in range(predicted.shape[1]))
    return Scores(names, predicted, np.asarray(target, float), np.asarray(patient))


def draw(task: Task, patients: int, rng: np.random.Generator, *, one_each: bool = False) -> Scores:
    """Draw a cohort: 1 to 8 studies a patient, more of those whom the model understands less; probabilities far too sure."""
    hard = rng.random(patients) < 0.3
    count = np.ones(patients, int) if one_each else np.where(hard, rng.integers(5, 9, patients), rng.integers(1, 3, patients))
    patient = np.repeat(np.arange(patients), count)
    signal = np.where(hard, 0.2, 1.5)[patient] * rng.normal(size=patients)[patient] + 0.5 * rng.normal(size=len(patient))
    noise = rng.normal(size=len(patient)) * np.where(hard, 2.0, 0.7)[patient]
    if task == "regression":
        return scores(signal[:, None], (signal + noise)[:, None], patient)
    if task in ("ordinal", "multiclass"):
        cuts = np.array([-0.7, 0.7])
        reached = (signal + noise)[:, None] > cuts
        probability = np.minimum.accumulate(expit(3 * (signal[:, None] - cuts)), axis=1)
        if task == "ordinal":
            return scores(probability, reached, patient)
        edge = np.ones((len(patient), 1))
        share = -np.diff(np.concatenate([edge, probability, 0 * edge], axis=1), axis=1)
        return scores(share, np.eye(3)[reached.sum(axis=1)], patient)
    labels = 2 if task == "multilabel" else 1
    positive = np.stack([signal + noise > k for k in range(labels)], axis=1)
    return scores(expit(3 * (signal[:, None] - np.arange(labels))), positive, patient)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "ordinal", "regression"])
def test_sets_hold_their_level_for_a_study_of_a_new_patient(task: Task) -> None:
    rng = np.random.default_rng(7)
    held = []
    for _ in range(COHORTS):
        fitted = fit_conformal(draw(task, PATIENTS, rng), task, 0.9)
        assert fitted is not None
        held.append(fitted.covered(draw(task, 200, rng, one_each=True)).mean(axis=0))
    share = np.mean(held, axis=0)
    error = np.std(held, axis=0) / np.sqrt(COHORTS)
    # At least the level, and above it by no more than the weight of two patients; each of several labels on its own.
    assert (share > 0.9 - 3 * error).all()
    assert (share < 0.9 + 2 / (PATIENTS + 1) + 3 * error).all()


def test_a_quantile_over_studies_would_not_hold_it() -> None:
    """The planted fault: patients whose studies are many and easy would set the limit for all others."""
    rng = np.random.default_rng(0)
    easy, hard = np.repeat(np.arange(30), 20), np.arange(30, 60)
    naive, fair = [], []
    for _ in range(200):
        patient = np.concatenate([easy, hard])
        values = np.concatenate([rng.random(len(easy)), 2 + rng.random(len(hard))])
        new = np.where(rng.random(500) < 0.5, rng.random(500), 2 + rng.random(500))
        naive.append((new <= np.quantile(values, 0.9)).mean())
        fair.append((new <= patient_quantile(values, patient, 0.9)).mean())
    assert np.mean(naive) < 0.6
    assert 0.9 <= np.mean(fair) < 0.95


def test_the_limit_is_the_one_worked_out_by_hand() -> None:
    # Three patients and infinity weigh 1/4 each; the first one's two studies 1/8 each.
    values, patient = np.array([0.1, 0.5, 0.2, 0.3]), np.array([1, 1, 2, 3])
    # Sums in rising order: 0.1 -> 1/8, 0.2 -> 3/8, 0.3 -> 5/8, 0.5 -> 6/8.
    assert patient_quantile(values, patient, 0.125) == 0.1
    assert patient_quantile(values, patient, 0.5) == 0.3
    assert patient_quantile(values, patient, 0.75) == 0.5
    assert patient_quantile(values, patient, 0.76) == np.inf
    assert patient_quantile(np.empty(0), np.empty(0, int), 0.5) == np.inf


def test_nine_patients_are_the_fewest_for_nine_in_ten() -> None:
    assert patient_quantile(np.arange(9.0), np.arange(9), 0.9) == 8
    assert patient_quantile(np.arange(8.0), np.arange(8), 0.9) == np.inf


def test_too_few_patients_rule_nothing_out() -> None:
    few = scores(np.full((4, 1), 0.99), np.ones((4, 1)), np.arange(4))
    fitted = fit_conformal(few, "binary", 0.9)
    assert fitted is not None
    assert fitted.sets(few.predicted).all()
    assert fitted.open_questions(few.predicted).all()


def test_sets_of_grades_are_runs_of_neighbours() -> None:
    rng = np.random.default_rng(0)
    predicted = np.sort(rng.random((500, 4)), axis=1)[:, ::-1]
    for limit in (0.2, 0.5, 0.8):
        sets = (distances(predicted, "ordinal") <= limit)[:, 0]
        assert (np.abs(np.diff(np.pad(sets, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1) <= 2).all()


def test_distances_are_those_worked_out_by_hand() -> None:
    # Grades 0, 1, 2 with probabilities 0.2, 0.5, 0.3: below and above them lie 0 | 0.8, 0.2 | 0.3, 0.7 | 0.
    np.testing.assert_allclose(distances(np.array([[0.8, 0.3]]), "ordinal"), [[[0.8, 0.3, 0.7]]])
    np.testing.assert_allclose(distances(np.array([[0.8]]), "binary"), [[[0.2, 0.8]]])
    np.testing.assert_allclose(distances(np.array([[0.8, 0.3]]), "multilabel"), [[[0.2, 0.8], [0.7, 0.3]]])
    np.testing.assert_allclose(distances(np.array([[0.2, 0.5, 0.3]]), "multiclass"), [[[0.8, 0.5, 0.7]]])
    assert truth(np.array([[1, 0]]), "ordinal").tolist() == [[[False, True, False]]]
    assert truth(np.array([[1, 0]]), "multilabel").tolist() == [[[True, False], [False, True]]]


def test_the_questions_are_named_in_the_order_of_the_distances() -> None:
    grade = TargetSettings(column="grade", task="ordinal", classes=("none", "mild", "severe"))
    assert questions(grade) == [("grade", ("none", "mild", "severe"))]
    sick = TargetSettings(column="diagnosis", positive="sick")
    assert questions(sick) == [("sick", ("has_sick", "not_sick"))]


def rare(patients: int, rng: np.random.Generator) -> Scores:
    positive = rng.random(patients) < 0.15
    predicted = expit(np.where(positive, 0.0, -2.0) + rng.normal(size=patients))
    return scores(predicted[:, None], positive[:, None], np.arange(patients))


def test_by_class_the_level_holds_among_the_studies_of_a_rare_class() -> None:
    rng = np.random.default_rng(3)
    among = {False: [], True: []}
    for _ in range(100):
        known, new = rare(800, rng), rare(2000, rng)
        for by_class, found in among.items():
            fitted = fit_conformal(known, "binary", 0.9, by_class=by_class)
            assert fitted is not None
            assert fitted.by_class == by_class
            found.append(fitted.covered(new)[new.target[:, 0] == 1].mean())
    assert np.mean(among[False]) < 0.8
    assert 0.89 < np.mean(among[True]) < 0.92


def test_by_class_needs_patients_of_every_class() -> None:
    fitted = fit_conformal(rare(CLASS_PATIENTS * 2, np.random.default_rng(0)), "binary", 0.9, by_class=True)
    assert fitted is not None
    assert not fitted.by_class


def test_a_temperature_changes_no_set_of_a_yes_no_question() -> None:
    rng = np.random.default_rng(0)
    logits, new = rng.normal(size=(200, 1)), rng.normal(size=(50, 1))
    target, patient = rng.random((200, 1)) < expit(logits), np.arange(200) // 2
    sets = []
    for temperature in (0.5, 1.0, 3.0):
        fitted = fit_conformal(scores(expit(logits / temperature), target, patient), "binary", 0.8)
        assert fitted is not None
        sets.append(fitted.sets(expit(new / temperature)))
    assert np.array_equal(sets[0], sets[1])
    assert np.array_equal(sets[0], sets[2])


def test_an_interval_of_a_value_has_the_width_of_its_limit() -> None:
    fitted = Conformal("regression", 0.9, np.array([[2.0]]), by_class=False, studies=20, patients=20)
    assert fitted.interval(np.array([[5.0], [1.0]])).tolist() == [[3, 7], [-1, 3]]
    covered = fitted.covered(scores(np.array([[5.0], [1.0]]), np.array([[7.0], [3.1]]), np.arange(2)))
    assert covered.tolist() == [[True], [False]]
    assert not fitted.open_questions(np.array([[5.0]])).any()


def test_a_survival_task_has_no_sets() -> None:
    one = Scores(("a",), np.array([[0.2], [0.3]]), np.array([[3.0, 1.0], [4.0, 0.0]]), np.arange(2))
    assert fit_conformal(one, "survival", 0.9) is None


def test_a_level_outside_0_to_1_is_refused() -> None:
    with pytest.raises(DataError, match="conformal level of 1"):
        fit_conformal(rare(20, np.random.default_rng(0)), "binary", 1.0)


def test_a_temperature_of_the_same_patients_costs_no_coverage() -> None:
    """Of three classes a temperature can move the sets; fitted on the calibration patients themselves it does no harm."""
    rng = np.random.default_rng(0)

    def cohort(patients: int, studies: int) -> tuple[Array, Array, Array]:
        signal = np.repeat(rng.normal(size=(patients, 3)), studies, axis=0) + rng.normal(size=(patients * studies, 3))
        drawn = (rng.random(len(signal))[:, None] > softmax(1.2 * signal, axis=1).cumsum(axis=1)).sum(axis=1).clip(0, 2)
        return 2.4 * signal, np.eye(3)[drawn], np.repeat(np.arange(patients), studies)

    held: dict[str, list[float]] = {"same": [], "other": []}
    for _ in range(300):
        (logits, target, patient), other, new = cohort(60, 2), cohort(60, 2), cohort(300, 1)
        for name, known in (("same", (logits, target)), ("other", other[:2])):
            temperature = fit_temperature(*known, "multiclass")
            fitted = fit_conformal(scores(softmax(logits / temperature, axis=1), target, patient), "multiclass", 0.9)
            assert fitted is not None
            held[name].append(fitted.covered(scores(softmax(new[0] / temperature, axis=1), *new[1:])).mean())
    assert np.mean(held["same"]) > 0.9 - 3 * np.std(held["same"]) / np.sqrt(300)
    assert abs(np.mean(held["same"]) - np.mean(held["other"])) < 0.005
