from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, recall_score, roc_auc_score

from medmm.errors import DataError
from medmm.evaluation.evaluate import compare, evaluate
from medmm.evaluation.intervals import patient_weights, tails
from medmm.types import Array, Scores, Task

METRICS = ["auroc", "auprc", "brier", "sensitivity", "specificity", "prevalence"]


def binary(studies: int = 200, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    probability = rng.random(studies)
    target = (rng.random(studies) < probability).astype(int)
    return Scores(("sick",), probability[:, np.newaxis], target[:, np.newaxis], rng.integers(studies // 3, size=studies))


def several(task: Task, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(300, 3))
    if task == "multiclass":
        probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        target = np.eye(3, dtype=int)[(logits + rng.gumbel(size=logits.shape)).argmax(axis=1)]
    else:
        probability = 1 / (1 + np.exp(-logits))
        target = (rng.random(logits.shape) < probability).astype(int)
    return Scores(("a", "b", "c"), probability, target, rng.integers(90, size=300))


def test_values_agree_with_scikit_learn() -> None:
    scores = binary()
    target, probability = scores.target[:, 0], scores.predicted[:, 0]
    expected = {
        "auroc": roc_auc_score(target, probability),
        "auprc": average_precision_score(target, probability),
        "brier": brier_score_loss(target, probability),
        "sensitivity": recall_score(target, probability >= 0.4),
        "specificity": recall_score(target, probability >= 0.4, pos_label=0),
        "prevalence": target.mean(),
    }
    evaluation = evaluate(scores, "binary", [0.4], resamples=20)
    assert {metric: evaluation.pick(metric).value for metric in METRICS} == pytest.approx(expected)


def test_limits_are_those_of_a_loop_over_resamples() -> None:
    scores = binary(studies=90)
    auroc, detected = [], []
    for counted in patient_weights(scores.patient, 100, seed=5):
        probability, target = np.repeat(scores.predicted[:, 0], counted), np.repeat(scores.target[:, 0], counted)
        auroc.append(roc_auc_score(target, probability))
        detected.append(recall_score(target, probability >= 0.4))
    evaluation = evaluate(scores, "binary", [0.4], resamples=100, seed=5)
    positives, negatives = (len(set(scores.patient[scores.target[:, 0] == outcome].tolist())) for outcome in (1, 0))
    assert positives != negatives
    for metric, resampled, rests_on in (("auroc", auroc, min(positives, negatives)), ("sensitivity", detected, positives)):
        estimate = evaluation.pick(metric)
        assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(resampled, tails(0.95, rests_on))))


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_mean_over_classes_is_taken_within_each_resample(task: Task) -> None:
    scores = several(task)
    evaluation = evaluate(scores, task, [] if task == "multiclass" else [0.5] * 3, resamples=60)
    means = []
    for counted in patient_weights(scores.patient, 60, seed=0):
        pairs = zip(scores.target.T, scores.predicted.T, strict=True)
        means.append(np.mean([roc_auc_score(t, p, sample_weight=counted) for t, p in pairs]))
    assert evaluation.headline.value == pytest.approx(np.mean([evaluation.pick("auroc", name).value for name in "abc"]))
    outcomes = [scores.patient[column == outcome] for column in scores.target.T for outcome in (0, 1)]
    shares = tails(0.95, min(len(set(patients.tolist())) for patients in outcomes))
    assert (evaluation.headline.low, evaluation.headline.high) == pytest.approx(tuple(np.quantile(means, shares)))
    assert [(result.metric, result.class_name) for result in evaluation.results] == [
        *((metric, name) for name in "abc" for metric in METRICS),
        *((metric, "macro") for metric in METRICS[:-1]),
    ]


def test_a_multiclass_decision_is_the_likeliest_class() -> None:
    scores = several("multiclass")
    evaluation = evaluate(scores, "multiclass", [], resamples=2)
    expected = recall_score(scores.target.argmax(axis=1), scores.predicted.argmax(axis=1), average=None)
    assert [evaluation.pick("sensitivity", name).value for name in "abc"] == pytest.approx(expected)


def test_a_rate_counts_its_own_studies_and_patients() -> None:
    scores = Scores(
        ("sick",), np.array([[0.9], [0.8], [0.1], [0.2], [0.7]]), np.array([[1], [1], [0], [0], [1]]), np.array([1, 1, 1, 2, 3])
    )
    evaluation = evaluate(scores, "binary", [0.5], resamples=50)
    counts = {metric: (evaluation.pick(metric).studies, evaluation.pick(metric).patients) for metric in METRICS}
    assert counts["sensitivity"] == (3, 2)
    assert counts["specificity"] == (2, 2)
    assert all(counts[metric] == (5, 3) for metric in ("auroc", "auprc", "brier", "prevalence"))


def test_the_table_says_what_the_results_say() -> None:
    evaluation = evaluate(binary(), "binary", [0.4], resamples=20)
    table = evaluation.table()
    assert list(table.columns) == ["metric", "class", "value", "low", "high", "studies", "patients", "note"]
    assert list(table["metric"]) == METRICS
    assert set(table["class"]) == {"sick"}
    auroc = evaluation.pick("auroc")
    assert tuple(table.loc[0, ["value", "low", "high"]]) == (auroc.value, auroc.low, auroc.high)
    positives = int(binary().target.sum())
    assert table.loc[5, "note"] == f"{positives} positive"
    assert (table["note"][:5] == "").all()


def test_a_class_without_positives_is_undefined_and_says_so() -> None:
    scores = several("multilabel")
    scores.target[:, 1] = 0
    evaluation = evaluate(scores, "multilabel", [0.5] * 3, resamples=20)
    of_b = {result.metric: result for result in evaluation.results if result.class_name == "b"}
    for metric in ("auroc", "auprc", "sensitivity"):
        assert np.isnan(of_b[metric].estimate.value)
        assert of_b[metric].note == "one class only, n = 300"
    assert np.isfinite(of_b["specificity"].estimate.value)
    assert of_b["prevalence"].note.startswith("0 positive")
    macro = next(result for result in evaluation.results if (result.metric, result.class_name) == ("auroc", "macro"))
    assert macro.note == "mean of 2 of 3 classes, the others have one class only"
    assert macro.estimate.value == pytest.approx(
        (evaluation.pick("auroc", "a").value + evaluation.pick("auroc", "c").value) / 2
    )


def test_an_interval_that_says_nothing_says_so() -> None:
    patient = np.arange(12)
    probability, target = np.linspace(0, 1, 12)[:, np.newaxis], np.array([[0]] * 11 + [[1]])
    auroc = evaluate(Scores(("sick",), probability, target, patient), "binary", [0.5], resamples=100).results[0]
    assert (auroc.estimate.low, auroc.estimate.high) == (1, 1)
    assert auroc.estimate.defined < 100
    assert auroc.note == (
        "every resample gives this value, so the interval understates the uncertainty; "
        f"defined in {auroc.estimate.defined} of 100 resamples"
    )


def test_an_unknown_result_is_refused() -> None:
    evaluation = evaluate(binary(), "binary", [0.4], resamples=2)
    with pytest.raises(DataError, match="no result 'auc' of class 'sick': metrics are auroc"):
        evaluation.pick("auc")
    with pytest.raises(DataError, match="no result 'auroc' of class 'well'"):
        evaluation.pick("auroc", "well")


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_models_are_compared_by_their_headlines(task: Task) -> None:
    a = binary() if task == "binary" else several(task)
    if task == "multilabel":
        a.target[:, 1] = 0
    swapped = np.roll(a.predicted, 1, axis=0)
    b = replace(a, predicted=(2 * a.predicted + swapped) / 3)
    thresholds = {"binary": [0.5], "multiclass": [], "multilabel": [0.5] * 3}[task]
    gain = compare(a, b, task, resamples=50)
    values = [evaluate(scores, task, thresholds, resamples=2).headline.value for scores in (a, b)]
    assert gain.value == pytest.approx(values[0] - values[1])
    assert gain.low < gain.value < gain.high


def test_without_a_class_to_rank_nothing_is_compared() -> None:
    scores = binary()
    scores.target[:] = 0
    assert np.isnan(compare(scores, scores, "binary", resamples=2).value)
    several_empty = several("multilabel")
    several_empty.target[:] = 0
    assert np.isnan(evaluate(several_empty, "multilabel", [0.5] * 3, resamples=2).headline.value)


GOOD = Scores(("a", "b"), np.array([[0.4, 0.6], [0.7, 0.3]]), np.array([[0, 1], [1, 0]]), np.array([1, 2]))
BAD: list[tuple[Task, dict[str, object], str]] = [
    ("multiclass", {"predicted": np.array([[0.4, np.nan], [0.7, 0.3]])}, "missing or outside 0 to 1"),
    ("multiclass", {"predicted": np.array([[-0.4, 1.4], [0.7, 0.3]])}, "missing or outside 0 to 1"),
    ("multilabel", {"predicted": np.array([[0.4, 1.4], [0.7, 0.3]])}, "missing or outside 0 to 1"),
    ("multiclass", {"predicted": np.array([[0.4, 0.4], [0.7, 0.3]])}, "do not sum to 1: apply the softmax"),
    ("multiclass", {"target": np.array([[1, 1], [1, 0]])}, "no class or several"),
    ("multilabel", {"target": np.array([[0, np.nan], [1, 0]])}, "neither 0 nor 1"),
    ("multilabel", {"target": np.array([[0, 1]])}, r"target has shape \(1, 2\), patients and classes ask for \(2, 2\)"),
    ("multilabel", {"patient": np.array([], int)}, "scores of 0 studies"),
    ("multilabel", {"groups": {"sex": np.array(["F"])}}, "subgroup column 'sex' has 1 values for 2 studies"),
    ("multilabel", {"classes": ("a", "a")}, "must differ"),
    ("multilabel", {"classes": ("a", "macro")}, "must differ"),
    ("binary", {}, "a binary task has one column, found 2"),
    (
        "multiclass",
        {"classes": ("a",), "predicted": np.ones((2, 1)), "target": np.ones((2, 1))},
        "at least two columns, found 1",
    ),
]


@pytest.mark.parametrize(("task", "change", "message"), BAD)
def test_scores_that_cannot_be_judged_are_refused(task: Task, change: dict[str, object], message: str) -> None:
    evaluate(GOOD, "multiclass", [], resamples=2)
    with pytest.raises(DataError, match=message):
        evaluate(replace(GOOD, **change), task, [0.5] * 2, resamples=2)


def test_half_precision_probabilities_are_accepted() -> None:
    scores = several("multiclass")
    half = evaluate(replace(scores, predicted=scores.predicted.astype(np.float16)), "multiclass", [], resamples=2)
    whole = evaluate(scores, "multiclass", [], resamples=2)
    assert half.headline.value == pytest.approx(whole.headline.value, abs=0.01)


def test_inputs_are_left_as_they_are() -> None:
    scores = binary()
    before: list[Array] = [scores.predicted.copy(), scores.target.copy(), scores.patient.copy()]
    evaluate(scores, "binary", [0.4], resamples=5)
    for now, then in zip((scores.predicted, scores.target, scores.patient), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_all_or_none_detected_has_the_interval_of_wilson_with_the_patient_as_unit() -> None:
    scores = binary(studies=90)
    sick = scores.target[:, 0] == 1
    evaluation = evaluate(scores, "binary", [0.0], resamples=20)
    detected, cleared = evaluation.pick("sensitivity"), evaluation.pick("specificity")
    patients = len(set(scores.patient[sick].tolist()))
    assert (detected.value, detected.patients, detected.studies) == (1, patients, sick.sum())
    # Wilson: n / (n + z^2) where all of n are right.
    assert (detected.low, detected.high) == (pytest.approx(patients / (patients + 1.959964**2)), pytest.approx(1))
    assert (cleared.value, cleared.low) == (0, 0)
    assert cleared.high == pytest.approx(1.959964**2 / (cleared.patients + 1.959964**2))
    (note,) = [one.note for one in evaluation.results if one.metric == "sensitivity"]
    assert note == "the same in every resample, so the interval is Wilson's, a patient counting once"
