"""Coverage counts each patient alike, is given of every class and group with enough patients, and adds up."""

import numpy as np
import pytest
from test_references import TARGETS, drawn

from medmm.evaluation.conformal import Conformal, fit_conformal
from medmm.evaluation.coverage import OUTCOMES, by_patient, coverage, coverage_plot, coverage_table
from medmm.types import Scores, Task


def test_a_patient_with_many_studies_counts_once() -> None:
    # Patient 1 has three studies, one held; patients 2 and 3 one each, both held: (1/3 + 1 + 1) / 3.
    estimate = by_patient(np.array([1, 0, 0, 1, 1]), np.array([1, 1, 1, 2, 3]), resamples=200)
    assert estimate.value == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert (estimate.studies, estimate.patients) == (5, 3)
    assert estimate.low >= 1 / 3


def test_intervals_by_patient_hold_the_truth_as_often_as_they_say() -> None:
    held = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        count = rng.integers(1, 6, size=60)
        rate = rng.beta(8, 2, size=60)
        patient = np.repeat(np.arange(60), count)
        one = by_patient(rng.random(len(patient)) < rate[patient], patient, resamples=300, seed=seed)
        held.append(one.low <= 0.8 <= one.high)
    assert 0.92 < np.mean(held) < 0.98


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "ordinal", "regression"])
def test_rows_add_up_and_are_drawn(task: Task) -> None:
    known, new = drawn(task, 200, 0), drawn(task, 300, 1)
    groups = {"site": np.array(["A"] * 290 + ["B"] * 10)}
    new = Scores(new.classes, new.predicted, new.target, new.patient, groups)
    fitted = fit_conformal(known, task, 0.8)
    assert fitted is not None
    rows = coverage(fitted, TARGETS[task], new, resamples=100)
    whole = rows[0]
    assert whole.coverage.value == pytest.approx(fitted.covered(new).mean())  # two studies of each patient
    names = {(one.kind, one.name) for one in rows[1:]}
    assert {("site", "A"), ("site", "B")} <= names
    small = next(one for one in rows if one.name == "B")
    assert np.isnan(small.coverage.value)
    assert small.note == "not enough data: 5 patients, 10 are needed"
    parts = [one for one in rows if one.kind in ("class", "label")]
    assert len(parts) == {"binary": 2, "multiclass": 3, "multilabel": 2, "ordinal": 3, "regression": 0}[task]
    if task != "regression":
        right, wrong, several, none = whole.outcomes
        assert right + wrong + several + none == pytest.approx(1)
        sets = fitted.sets(new.predicted).sum(axis=2)
        assert several == pytest.approx((sets > 1).mean())
        assert none == pytest.approx((sets == 0).mean())
    if task in ("binary", "multiclass", "ordinal"):
        assert sum(one.coverage.studies for one in parts) == 300
    table = coverage_table(rows)
    assert table["studies"].iloc[0] == 300
    figure = coverage_plot(rows, 0.8, new)
    assert len(figure.axes) == (1 if task == "regression" else 2)
    assert "300 studies of 150 patients" in " ".join(text.get_text() for text in figure.axes[0].texts)


def test_the_outcomes_are_those_worked_out_by_hand() -> None:
    fitted = Conformal("binary", 0.9, np.array([[0.3, 0.3]]), by_class=False, studies=9, patients=9)
    scores = Scores(("sick",), np.array([[0.9], [0.9], [0.5], [0.1]]), np.array([[1.0], [0.0], [1.0], [0.0]]), np.arange(4))
    scores = Scores(
        *(np.repeat(v, 5, axis=0) if i else v for i, v in enumerate((scores.classes, scores.predicted, scores.target))),
        np.arange(20),
    )
    whole = coverage(fitted, TARGETS["binary"], scores, resamples=100)[0]
    assert dict(zip(OUTCOMES, whole.outcomes, strict=True)) == {
        "one, the true one": 0.5,
        "one, a wrong one": 0.25,
        "several": 0.0,
        "none": 0.25,
    }
    assert whole.coverage.value == 0.5


@pytest.mark.parametrize(("patients", "level"), [(19, 0.9), (60, 0.9), (31, 0.8)])
def test_the_range_of_coverage_is_that_of_drawing_the_validation_patients(patients: int, level: float) -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(4000):
        # Of distances uniform in 0 to 1 the coverage of a limit is the limit itself.
        values = rng.random(patients)
        held.append(np.sort(values)[int(np.ceil(level * (patients + 1) - 1e-9)) - 1])
    fitted = Conformal("binary", level, np.array([[0.3, 0.3]]), by_class=False, studies=patients, patients=patients)
    np.testing.assert_allclose(fitted.expected, np.quantile(held, (0.025, 0.975)), atol=0.012)


def test_too_few_patients_hold_everything() -> None:
    assert Conformal("binary", 0.9, np.array([[np.inf, np.inf]]), by_class=False, studies=5, patients=5).expected == (1, 1)
