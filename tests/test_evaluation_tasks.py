"""Metrics of grades, values and times to an event, each against a second way; thresholds, groups, gains and figures of each."""

from collections.abc import Callable
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import cohen_kappa_score, mean_absolute_error, r2_score, root_mean_squared_error
from statsmodels.duration.survfunc import SurvfuncRight

from medmm.cohort.target import TargetSettings
from medmm.errors import Code, DataError, Rejected
from medmm.evaluation.answers import answer_cells, answer_columns
from medmm.evaluation.decision import DecisionSettings, choose_thresholds, decide
from medmm.evaluation.evaluate import compare, evaluate
from medmm.evaluation.event_curves import curve, thirds
from medmm.evaluation.grades import grade_of
from medmm.evaluation.intervals import patient_weights, tails
from medmm.evaluation.paired import Rated, contrasts, headline_of
from medmm.evaluation.plots import plots_of
from medmm.evaluation.prior import prior
from medmm.evaluation.subgroups import subgroups
from medmm.evaluation.survival import WHENEVER, c_index, kaplan_meier, uncut
from medmm.evaluation.verdict import judge
from medmm.evaluation.yardstick import C_INDEX, R_SQUARED, YARDSTICKS, Yardstick
from medmm.types import Array, Scores, Task
from medmm.workflows.report import metrics

SURVIVAL = TargetSettings(task="survival", time="days", event="died", unit="days", horizons=(3, 8))
ORDINAL = TargetSettings(column="grade", task="ordinal", classes=("none", "mild", "severe"))


def grades(studies: int = 200, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=studies)
    grade = np.digitize(latent + rng.normal(scale=0.7, size=studies), [0, 1])
    said = 1 / (1 + np.exp(-3 * (latent[:, None] - [0.0, 1.0])))
    sex = {"sex": rng.choice(["F", "M"], studies)}
    return Scores(ORDINAL.names, said, (grade[:, None] > np.arange(2)).astype(float), rng.integers(80, size=studies), sex)


def values(studies: int = 200, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    true = rng.normal(55, 12, studies)
    said = 40 + 0.3 * true + rng.normal(scale=6, size=studies)
    sex = {"sex": np.where(np.arange(studies) < 6, "F", "M")}
    return Scores(("fraction",), said[:, None], true[:, None], np.arange(studies) // 2, sex)


def times(studies: int = 150, seed: int = 0) -> Scores:
    """Draw times with ties, of events and of ends, and risks with ties."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=studies).round(1)
    time, end = np.ceil(rng.exponential(6 * np.exp(-latent))), rng.integers(1, 20, studies)
    target = np.stack([np.minimum(time, end), time <= end], axis=1).astype(float)
    risk = 1 / (1 + np.exp(-(latent + rng.normal(scale=0.8, size=studies)).round(1)))
    return Scores(
        SURVIVAL.names, np.stack([risk / 2, risk], 1), target, np.arange(studies) // 2, {"sex": rng.choice(["F", "M"], studies)}
    )


MADE: dict[Task, Callable[[int, int], Scores]] = {"ordinal": grades, "regression": values, "survival": times}


def by_pairs(risk: Array, target: Array, weight: Array | None = None, fold: Array | None = None) -> float:
    """Count pair by pair, as the definition says."""
    right = pairs = 0.0
    for i in range(len(risk)):
        for j in range(len(risk)):
            (first, happened), (later, other) = target[i], target[j]
            known = happened == 1 and (first < later or (first == later and other == 0))
            if known and (fold is None or fold[i] == fold[j]):
                counts = 1.0 if weight is None else weight[i]
                pairs += counts
                right += counts * (1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
    return right / pairs


def test_kappa_and_error_of_grades_are_those_of_scikit_learn() -> None:
    scores = grades()
    thresholds = choose_thresholds(scores, "ordinal", DecisionSettings())
    evaluation = evaluate(scores, "ordinal", thresholds, resamples=40, seed=2)
    said = decide(scores.predicted, thresholds, "ordinal").sum(1)
    true = scores.target.sum(1)
    assert evaluation.pick("kappa").value == pytest.approx(cohen_kappa_score(true, said, weights="quadratic"))
    assert evaluation.pick("grade_error").value == pytest.approx(mean_absolute_error(true, said))
    drawn = [
        cohen_kappa_score(np.repeat(true, counted), np.repeat(said, counted), weights="quadratic")
        for counted in patient_weights(scores.patient, 40, seed=2)
    ]
    limits = evaluation.pick("kappa")
    assert (limits.low, limits.high) == pytest.approx(tuple(np.quantile(drawn, tails(0.95, len(set(scores.patient.tolist()))))))
    assert evaluation.metric == "auroc"
    assert evaluation.headline.value == pytest.approx(np.mean([evaluation.pick("auroc", name).value for name in ORDINAL.names]))


def test_a_grade_is_reached_only_where_all_lower_ones_are() -> None:
    said = np.array([[0.9, 0.8], [0.4, 0.3], [0.2, 0.1], [0.8, 0.2]])
    decided = decide(said, [0.5, 0.25], "ordinal")
    assert decided.tolist() == [[True, True], [False, False], [False, False], [True, False]]
    assert grade_of(decided).tolist() == [2, 0, 0, 1]
    cells = answer_cells(ORDINAL, said, [0.5, 0.25])
    assert cells["grade"] == ["severe", "none", "none", "mild"]
    assert list(cells) == list(answer_columns(ORDINAL))


def test_errors_of_values_are_those_of_scikit_learn() -> None:
    scores = values()
    said, true = scores.predicted[:, 0], scores.target[:, 0]
    evaluation = evaluate(scores, "regression", (), resamples=40, seed=3)
    shift = said.mean() - true.mean()
    by_hand = 2 * pearsonr(said, true)[0] * said.std() * true.std() / (said.var() + true.var() + shift**2)
    expected = {
        "mae": mean_absolute_error(true, said),
        "rmse": root_mean_squared_error(true, said),
        "r2": r2_score(true, said),
        "concordance": by_hand,
    }
    assert {metric: evaluation.pick(metric).value for metric in expected} == pytest.approx(expected)
    drawn = [r2_score(np.repeat(true, w), np.repeat(said, w)) for w in patient_weights(scores.patient, 40, seed=3)]
    assert (evaluation.headline.low, evaluation.headline.high) == pytest.approx(
        tuple(np.quantile(drawn, tails(0.95, len(set(scores.patient.tolist())))))
    )
    same = replace(scores, target=np.full_like(scores.target, 0.1))
    assert np.isnan(evaluate(same, "regression", (), resamples=5).headline.value)


def test_the_c_index_counts_pairs_as_its_definition_says() -> None:
    scores = times()
    risk = scores.predicted[:, 1]
    ones = np.ones((1, len(risk)), np.uint8)
    assert c_index(risk, scores.target, ones)[0] == pytest.approx(by_pairs(risk, scores.target))
    fold = np.arange(len(risk)) % 3
    assert c_index(risk, scores.target, ones, fold)[0] == pytest.approx(by_pairs(risk, scores.target, fold=fold))
    weights = patient_weights(scores.patient, 5, seed=1)
    for value, counted in zip(c_index(risk, scores.target, weights), weights, strict=True):
        repeated = by_pairs(np.repeat(risk, counted), np.repeat(scores.target, counted, axis=0))
        assert value == pytest.approx(repeated)
    evaluation = evaluate(scores, "survival", (), resamples=30)
    assert evaluation.pick("event_rate", WHENEVER).value == pytest.approx(scores.target[:, 1].mean())
    named = metrics(evaluation)
    assert named["test/event_rate"] == pytest.approx(scores.target[:, 1].mean())
    assert {name for name in named if name.startswith("test/c_index") and name.endswith("days")} == {
        f"test/c_index_{name}" for name in SURVIVAL.names
    }
    assert evaluation.headline.value == pytest.approx(by_pairs(risk, scores.target))
    assert evaluation.pick("uno_c_index").value == pytest.approx(by_pairs(risk, scores.target, uncut(scores.target)), rel=1e-6)
    assert np.isnan(c_index(risk, np.stack([scores.target[:, 0], 0 * risk], 1), ones)[0])


def test_the_weights_of_uno_by_hand() -> None:
    # Ends at 2 (of 5 still observed, the event at 2 has come first) and at 4 (of 2): G is 1, then 3/4, then 3/8.
    target = np.array([[1.0, 1], [2.0, 1], [2.0, 0], [3.0, 1], [4.0, 0], [5.0, 1]])
    np.testing.assert_allclose(uncut(target)[[0, 1, 3, 5]], [1, 1, (4 / 3) ** 2, (8 / 3) ** 2])


def test_the_kaplan_meier_curve_and_its_limits_are_those_of_statsmodels() -> None:
    target = times().target
    expected = SurvfuncRight(target[:, 0], target[:, 1])
    np.testing.assert_allclose(kaplan_meier(target, expected.surv_times), expected.surv_prob)
    assert kaplan_meier(target, [0.5])[0] == 1
    moments, left, low, high = curve(target)
    np.testing.assert_allclose(left[1:-1], expected.surv_prob)
    middle = len(moments) // 2
    lower, upper = expected.simultaneous_cb()[0], left  # at least inside what holds for all times at once
    assert low[middle] >= lower[middle - 1] - 1e-9
    error = expected.surv_prob_se[middle - 1] / abs(left[middle] * np.log(left[middle]))
    assert low[middle] == pytest.approx(left[middle] ** np.exp(1.959964 * error), rel=1e-4)
    assert high[middle] == pytest.approx(upper[middle] ** np.exp(-1.959964 * error), rel=1e-4)
    assert sum(int(one.sum()) for one in thirds(times().predicted[:, 1])) == 150


@pytest.mark.parametrize("task", MADE)
def test_a_better_model_gains_and_the_gain_is_judged_by_the_right_number(task: Task) -> None:
    good = MADE[task](200, 0)
    noise = np.random.default_rng(1).permutation(len(good.patient))
    poor = replace(good, predicted=0.55 * good.predicted + 0.45 * good.predicted[noise])
    yardstick: Yardstick = YARDSTICKS[task]
    everyone = np.ones(len(good.patient), bool)
    a, b = (Rated(name, (one,), everyone, (), yardstick) for name, one in (("good", good), ("poor", poor)))
    (found,) = contrasts([a], b, everyone, 200)
    gain = compare(good, poor, task, 200)
    assert found.gain.value == pytest.approx(gain.value) == pytest.approx(headline_of(a, everyone, 2).value - found.rival_value)
    assert found.gain.value > 0.02
    assert np.isnan(found.delong_p) == (task != "ordinal")
    verdict = judge([found])
    assert verdict.kind == "worth it"
    assert f" {yardstick.label} [" in verdict.text
    if task != "ordinal":
        drawn = yardstick.of(good, w := patient_weights(good.patient, 200, 0)) - yardstick.of(poor, w)
        assert found.error == pytest.approx(drawn.std(ddof=1), rel=0.02)


def test_too_few_events_cannot_tell_and_the_verdict_says_of_what() -> None:
    scores = times()
    scores.target[np.cumsum(scores.target[:, 1]) > 5, 1] = 0
    everyone = np.ones(len(scores.patient), bool)
    a = Rated("a", (scores,), everyone, (), C_INDEX)
    verdict = judge(contrasts([a], replace(a, name="b"), everyone, 50))
    assert verdict.kind == "cannot be told"
    assert "patients have the event, and an interval needs 10" in verdict.text
    assert R_SQUARED.rests_on(values()) == 100


@pytest.mark.parametrize("task", MADE)
def test_groups_get_the_numbers_of_the_task_or_the_reason_why_not(task: Task) -> None:
    scores = MADE[task](200, 0)
    thresholds = [0.5, 0.5] if task == "ordinal" else []
    rows = subgroups(scores, task, thresholds, resamples=20)
    metrics = {row.result.metric for row in rows}
    assert metrics == set(YARDSTICKS[task].reported)
    women = [row.result for row in rows if row.value == "F"]
    if task == "regression":
        assert all(np.isnan(one.estimate.value) for one in women)
        assert {one.note for one in women} == {"not enough data: 3 patients have a value, 10 are needed"}
    else:
        assert all(np.isfinite(one.estimate.value) for one in women)


@pytest.mark.parametrize("task", MADE)
def test_every_figure_of_a_task_is_drawn_with_its_n(task: Task) -> None:
    scores = MADE[task](150, 0)
    thresholds = [0.5, 0.5] if task == "ordinal" else []
    figures = {name: plot(scores, task, thresholds) for name, plot in plots_of(task).items()}
    assert set(figures) == {"regression": {"agreement"}, "survival": {"events"}}.get(
        task, {"roc", "pr", "reliability", "confusion"}
    )
    for figure in figures.values():
        words = "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))
        assert "150 studies of" in words


def test_what_is_said_of_a_study_of_which_nothing_is_known() -> None:
    target = times().target
    np.testing.assert_allclose(prior(SURVIVAL, target), 1 - kaplan_meier(target, [3, 8]))
    fraction = TargetSettings(column="fraction", task="regression")
    assert prior(fraction, values().target)[0] == pytest.approx(values().target.mean())


BAD: list[tuple[Task, dict[str, object], str]] = [
    ("ordinal", {"target": np.array([[0, 1], [1, 0]])}, "a target of a higher grade is above"),
    ("ordinal", {"predicted": np.array([[0.2, 0.4], [0.5, 0.1]])}, "a prediction of a higher grade is above"),
    ("survival", {"target": np.array([[-1, 1], [1, 0]])}, "a time is missing or below 0"),
    ("survival", {"target": np.array([[1, 2], [1, 0]])}, "an event is neither 0 nor 1"),
    ("survival", {"predicted": np.array([[0.4, 0.2], [0.1, 0.5]])}, "a risk is lower by a later horizon"),
    (
        "regression",
        {"target": np.array([[np.nan], [1]]), "predicted": np.ones((2, 1)), "classes": ("a",)},
        "a value is missing",
    ),
]


@pytest.mark.parametrize(("task", "change", "message"), BAD)
def test_scores_that_cannot_be_of_a_task_are_refused(task: Task, change: dict[str, object], message: str) -> None:
    sound = np.array([[0.2, 0.4], [0.1, 0.5]]) if task == "survival" else np.array([[0.4, 0.2], [0.5, 0.1]])
    scores = Scores(("a", "b"), sound, np.array([[1, 0], [1, 1]]), np.array([1, 2]))
    with pytest.raises(DataError, match=message):
        evaluate(replace(scores, **change), task, [0.5, 0.5], resamples=2)  # type: ignore[arg-type]


CELLS: list[tuple[TargetSettings, tuple[str, ...], tuple[float, ...] | Code | None]] = [
    (ORDINAL, ("none",), (0, 0)),
    (ORDINAL, ("mild",), (1, 0)),
    (ORDINAL, ("severe",), (1, 1)),
    (ORDINAL, ("",), None),
    (ORDINAL, ("worse",), Code.CATEGORY),
    (SURVIVAL, ("12.5", "1"), (12.5, 1)),
    (SURVIVAL, ("0", "0.0"), (0, 0)),
    (SURVIVAL, ("", ""), None),
    (SURVIVAL, ("-1", "1"), Code.RANGE),
    (SURVIVAL, ("12", "2"), Code.CATEGORY),
    (SURVIVAL, ("12", "yes"), Code.CATEGORY),
    (SURVIVAL, ("12", ""), Code.EMPTY),
    (SURVIVAL, ("", "1"), Code.EMPTY),
    (SURVIVAL, ("inf", "1"), Code.TYPE),
    (SURVIVAL, ("soon", "1"), Code.TYPE),
    (TargetSettings(column="x", task="regression", range=(0, 100)), ("55.5",), (55.5,)),
    (TargetSettings(column="x", task="regression", range=(0, 100)), ("101",), Code.RANGE),
    (TargetSettings(column="x", task="regression"), ("1_000",), Code.TYPE),
    (TargetSettings(column="x", task="regression"), ("nan",), Code.TYPE),
]


@pytest.mark.parametrize(("target", "cells", "expected"), CELLS)
def test_cells_become_labels_or_are_refused_by_code(
    target: TargetSettings, cells: tuple[str, ...], expected: tuple[float, ...] | Code | None
) -> None:
    if isinstance(expected, Code):
        with pytest.raises(Rejected) as reason:
            target.encode(*cells)
        assert reason.value.code == expected
        assert not any(cell in str(reason.value) for cell in cells if len(cell) > 2)
    else:
        assert target.encode(*cells) == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"task": "ordinal", "column": "x", "classes": ["a", "b"]},
        {"task": "ordinal", "column": "x", "classes": ["a", "b", "c"], "unit": "%"},
        {"task": "regression"},
        {"task": "regression", "column": "x", "positive": "a"},
        {"task": "regression", "column": "x", "range": [1, 0]},
        {"task": "survival", "time": "t", "event": "e", "unit": "days"},
        {"task": "survival", "time": "t", "event": "t", "unit": "days", "horizons": [1]},
        {"task": "survival", "time": "t", "event": "e", "unit": "days", "horizons": [3, 1]},
        {"task": "survival", "time": "t", "event": "e", "unit": "days", "horizons": [0, 1]},
        {"task": "survival", "time": "t", "event": "e", "horizons": [1]},
        {"task": "survival", "time": "t", "event": "e", "unit": "days", "horizons": [1], "column": "x"},
        {"task": "binary", "positive": "a"},
    ],
    ids=str,
)
def test_a_target_of_another_shape_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"target (needs|takes)|range goes|two columns|above 0"):
        TargetSettings.model_validate(settings)


def test_studies_are_told_apart_by_marks_of_0_and_1() -> None:
    fraction = TargetSettings(column="x", task="regression")
    np.testing.assert_array_equal(fraction.marks(np.array([[1.0], [3.0], [np.nan], [9.0]]))[[0, 1, 3], 0], [0, 0, 1])
    assert np.isnan(fraction.marks(np.array([[1.0], [np.nan]]))[1, 0])
    target = np.array([[1.0, 1], [5.0, 0], [9.0, 1]])
    assert SURVIVAL.marks(target)[:, 0].tolist() == SURVIVAL.strata(target)[:, 0].tolist() == [1, 0, 1]
    assert SURVIVAL.strata(target[[0, 2]])[:, 0].tolist() == [1, 0]  # all have the event: the early one is told apart
