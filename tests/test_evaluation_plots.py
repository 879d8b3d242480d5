import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.integrate import trapezoid
from sklearn.metrics import average_precision_score, roc_auc_score

from medmm.errors import DataError
from medmm.evaluation.confusion import confusion_matrix
from medmm.evaluation.curves import POINTS, Curve, precision_at, sensitivity_at
from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.intervals import Estimate, patient_weights
from medmm.evaluation.plots import OF_CLASSES, PLOTS, inputs_plot
from medmm.evaluation.reliability import BINS, reliability_bins
from medmm.types import Array, Scores, Task

TASKS: list[Task] = ["binary", "multiclass", "multilabel"]


def thresholds_of(task: Task) -> list[float]:
    return {"binary": [0.4], "multiclass": [], "multilabel": [0.4, 0.5, 0.6]}[task]


def scores_of(task: Task, studies: int = 150) -> Scores:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(studies, 1 if task == "binary" else 3)).round(1)
    probability = 1 / (1 + np.exp(-logits))
    target = (rng.random(logits.shape) < probability).astype(int)
    if task == "multiclass":
        probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        target = np.eye(3, dtype=int)[(logits + rng.gumbel(size=logits.shape)).argmax(axis=1)]
    return Scores(("a", "b", "c")[: logits.shape[1]], probability, target, rng.integers(60, size=studies))


def drawn(name: str, task: Task, scores: Scores | None = None) -> Figure:
    return PLOTS.pick(name)(scores or scores_of(task), task, thresholds_of(task))


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def line(axes: Axes, label: str) -> Array:
    (found,) = [line for line in axes.lines if str(line.get_label()).startswith(label)]
    return np.asarray(found.get_xydata())


def band(axes: Axes) -> tuple[Array, Array]:
    corners = axes.collections[0].get_paths()[0].vertices
    at = [corners[np.isclose(corners[:, 0], x), 1] for x in POINTS]
    return np.array([y.min() for y in at]), np.array([y.max() for y in at])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", OF_CLASSES)
def test_every_figure_names_its_n_labels_its_axes_and_can_be_written(name: str, task: Task, tmp_path: Path) -> None:
    figure = drawn(name, task)
    patients = len(np.unique(scores_of(task).patient))
    assert f"150 studies of {patients} patients" in words(figure)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert all(axes.get_ylabel() for axes in shown)
    assert shown[-1].get_xlabel()
    figure.savefig(tmp_path / "figure.png")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("name", "metric"), [("roc", "auroc"), ("pr", "auprc"), ("reliability", "brier")])
def test_the_numbers_are_those_of_the_evaluation(name: str, metric: str, task: Task) -> None:
    shown = words(drawn(name, task))
    evaluation = evaluate(scores_of(task), task, thresholds_of(task))
    for class_name in scores_of(task).classes:
        assert str(evaluation.pick(metric, class_name)) in shown


def test_the_area_under_the_drawn_curves_is_the_metric() -> None:
    scores = scores_of("binary")
    target, probability = scores.target[:, 0], scores.predicted[:, 0]
    roc = line(drawn("roc", "binary").axes[0], "AUROC")
    assert trapezoid(roc[:, 1], roc[:, 0]) == pytest.approx(roc_auc_score(target, probability))
    pr = line(drawn("pr", "binary").axes[0], "AUPRC")
    assert (np.diff(pr[:, 0]) * pr[1:, 1]).sum() == pytest.approx(average_precision_score(target, probability))


def test_curves_by_hand() -> None:
    # From the highest probability: positive, negative, then a tie of both.
    true, false = np.array([1.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])
    x, y, at = sensitivity_at(true, false)
    np.testing.assert_allclose(x, [0, 0, 0.5, 1])
    np.testing.assert_allclose(y, [0, 0.5, 0.5, 1])
    np.testing.assert_allclose(at[[0, 25, 50, 75, 100]], [0.5, 0.5, 0.5, 0.75, 1])
    x, y, at = precision_at(true, false)
    np.testing.assert_allclose(x, [0, 0.5, 0.5, 1])
    np.testing.assert_allclose(y, [1, 1, 0.5, 0.5])
    np.testing.assert_allclose(at[[0, 25, 50, 51, 100]], [1, 1, 1, 0.5, 0.5])


def test_a_resample_that_lost_the_highest_probabilities_still_has_a_precision() -> None:
    x, y, _ = precision_at(np.array([0.0, 0.0, 2.0]), np.array([0.0, 1.0, 1.0]))
    np.testing.assert_allclose(x, [0, 1])
    np.testing.assert_allclose(y, [2 / 3, 2 / 3])


@pytest.mark.parametrize(("name", "curve"), [("roc", sensitivity_at), ("pr", precision_at)])
def test_the_band_is_that_of_a_loop_over_resamples(name: str, curve: Curve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medmm.evaluation.curves.RESAMPLES", 40)
    scores = scores_of("binary", studies=40)
    low, high = band(drawn(name, "binary", scores).axes[0])
    heights = []
    for counted in patient_weights(scores.patient, 40, seed=0):
        probability, target = np.repeat(scores.predicted[:, 0], counted), np.repeat(scores.target[:, 0], counted)
        called = [probability >= cut for cut in np.unique(probability)[::-1]]
        true, false = np.array([[c[target == 1].sum(), c[target == 0].sum()] for c in called]).T
        heights.append(curve(true, false)[2])
    np.testing.assert_allclose([low, high], np.quantile(heights, (0.025, 0.975), axis=0), atol=1e-12)


def test_the_decision_and_the_prevalence_are_marked() -> None:
    scores = scores_of("binary")
    evaluation = evaluate(scores, "binary", [0.4], resamples=2)
    dots = [tuple(np.ravel(line.get_xydata())) for line in drawn("roc", "binary").axes[0].lines if line.get_marker() == "o"]
    assert (
        pytest.approx(1 - evaluation.pick("specificity").value),
        pytest.approx(evaluation.pick("sensitivity").value),
    ) in dots
    called, positive = scores.predicted[:, 0] >= 0.4, scores.target[:, 0] == 1
    axes = drawn("pr", "binary").axes[0]
    dots = [tuple(np.ravel(line.get_xydata())) for line in axes.lines if line.get_marker() == "o"]
    assert (pytest.approx(evaluation.pick("sensitivity").value), pytest.approx(positive[called].mean())) in dots
    assert line(axes, "Prevalence")[:, 1] == pytest.approx([positive.mean()] * 2)
    assert f"Prevalence {positive.mean():.3f}" in words(drawn("pr", "binary"))


@pytest.mark.parametrize("name", ["roc", "pr"])
def test_a_class_without_positives_is_named_but_not_drawn(name: str) -> None:
    scores = scores_of("multilabel")
    scores.target[:, 1] = 0
    axes = drawn(name, "multilabel", scores).axes[0]
    assert line(axes, "b: one class only, n = 150").size == 0
    assert line(axes, "c: ").size > 2
    assert len(axes.collections) == 2


@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_figure_of_few_studies_is_drawn_without_a_warning(name: str, tmp_path: Path) -> None:
    few = Scores(("a",), np.array([[0.2], [0.2], [0.7]]), np.array([[0], [1], [1]]), np.array([1, 2, 2]))
    drawn(name, "binary", few).savefig(tmp_path / "few.png")
    none = replace(few, target=np.zeros((3, 1), int))
    drawn(name, "binary", none).savefig(tmp_path / "none.png")
    PLOTS[name](few, "binary", [0.8]).savefig(tmp_path / "uncalled.png")
    assert all((tmp_path / f"{kind}.png").stat().st_size > 5000 for kind in ("few", "none", "uncalled"))


def test_reliability_bins_by_hand() -> None:
    probability = np.repeat([0.1, 0.2, 0.6], [20, 10, 10])
    target = np.array([1] * 5 + [0] * 15 + [1] * 3 + [0] * 7 + [1] * 10)
    # 40 studies make two bins of 20.
    rows = reliability_bins(probability, target)
    expected = [(0.1, 5 / 20), (0.4, 13 / 20)]
    np.testing.assert_allclose(rows[:, :2], expected)
    for (_, _, low, high), count in zip(rows, (5, 13), strict=True):
        # Wilson: (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)
        share, z, n = count / 20, 1.959964, 20
        half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        middle = share + z**2 / (2 * n)
        np.testing.assert_allclose([low, high], [(middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)], rtol=1e-6)


def test_reliability_bins_are_of_equal_size() -> None:
    probability = np.random.default_rng(0).permutation(500) / 500
    rows = reliability_bins(probability, np.zeros(500, int))
    np.testing.assert_allclose(rows[:, 0], np.sort(probability).reshape(BINS, 50).mean(axis=1))


@pytest.mark.parametrize("positives", [15, 250, 485])
def test_reliability_bins_part_predictions_of_two_values(positives: int) -> None:
    probability = np.arange(500) < positives
    np.testing.assert_array_equal(reliability_bins(probability.astype(float), probability.astype(int))[:, :2], [[0, 0], [1, 1]])


@pytest.mark.parametrize("levels", [1, 2, 5, 10**9])
def test_reliability_bins_hold_each_study_once_and_ties_together(levels: int) -> None:
    rng = np.random.default_rng(0)
    probability = rng.integers(0, levels + 1, 500) / levels
    rows = reliability_bins(probability, (rng.random(500) < 0.3).astype(int))
    assert 1 <= len(rows) <= min(BINS, len(np.unique(probability)))
    assert (np.diff(rows[:, 0]) > 0).all()
    assert ((rows[:, 2] - 1e-12 <= rows[:, 1]) & (rows[:, 1] <= rows[:, 3] + 1e-12)).all()


def test_the_reliability_diagram_shows_its_bins_and_all_predictions() -> None:
    scores = scores_of("binary")
    upper, lower = drawn("reliability", "binary").axes
    rows = reliability_bins(scores.predicted[:, 0], scores.target[:, 0])
    container = upper.containers[0]
    np.testing.assert_allclose(container.lines[0].get_xydata(), rows[:, :2])
    bars = np.array([segment[:, 1] for segment in container.lines[2][0].get_segments()])
    np.testing.assert_allclose(bars, rows[:, 2:], atol=1e-12)
    heights = np.asarray(lower.patches[0].get_xy())[:, 1]
    assert heights[1::2].sum() == pytest.approx(150)


def test_confusion_by_hand() -> None:
    matrix = confusion_matrix(np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 0, 2]), 3)
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [1, 0, 2]])


def test_the_confusion_figure_shows_counts_and_shares_of_the_row() -> None:
    few = Scores(("sick",), np.array([[0.9], [0.2], [0.6], [0.1], [0.1]]), np.array([[1], [1], [0], [0], [0]]), np.arange(5))
    figure = drawn("confusion", "binary", few)
    cells = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in figure.axes[0].texts}
    assert cells == {(0, 0): "2\n66.7%", (0, 1): "1\n33.3%", (1, 0): "1\n50.0%", (1, 1): "1\n50.0%"}
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["not sick", "sick"]
    without = drawn("confusion", "binary", replace(few, target=np.zeros((5, 1), int)))
    assert [text.get_text() for text in without.axes[0].texts] == ["3\n60.0%", "2\n40.0%", "no study", "no study"]
    assert figure.axes[0].get_title("left") == "Decided at probability ≥ 0.400"


def test_each_label_has_its_own_confusion_matrix_and_a_multiclass_task_one() -> None:
    assert [axes.get_title("left")[-5:] for axes in drawn("confusion", "multilabel").axes] == ["0.400", "0.500", "0.600"]
    (axes,) = drawn("confusion", "multiclass").axes
    counts = np.array([int(text.get_text().split("\n")[0]) for text in axes.texts]).reshape(3, 3)
    np.testing.assert_array_equal(counts.sum(axis=1), scores_of("multiclass").target.sum(axis=0))


def test_the_forest_puts_the_fusion_on_top_and_then_the_best() -> None:
    rows = [
        ("labs", Estimate(0.7, 0.6, 0.8, 90, 60, 100)),
        ("chest + labs", Estimate(0.75, 0.65, 0.85, 1100, 70, 100)),
        ("history", Estimate(np.nan, np.nan, np.nan, 5, 4, 0)),
        ("chest", Estimate(0.8, 0.7, 0.9, 100, 65, 100)),
    ]
    figure = inputs_plot(rows)
    (axes,) = figure.axes
    ordered = sorted(zip(axes.get_yticks(), (label.get_text() for label in axes.get_yticklabels()), strict=True), reverse=True)
    assert [name for _, name in ordered] == ["chest + labs", "chest", "labs", "history"]
    top = [np.asarray(line.get_xydata()) for line in axes.lines if np.all(np.asarray(line.get_ydata()) == 3)]
    np.testing.assert_allclose(top[0][:, 0], [0.65, 0.85])
    np.testing.assert_allclose(top[1][:, 0], [0.75])
    assert {"0.750 [0.650, 0.850]", "1,100", "70"} <= {text.get_text() for text in axes.texts}
    assert len({line.get_color() for line in axes.lines if line.get_marker() == "s"}) == 2


def test_a_forest_needs_a_row() -> None:
    with pytest.raises(DataError, match="nothing to draw: give at least one row"):
        inputs_plot([])


@pytest.mark.parametrize("name", OF_CLASSES)
def test_scores_of_another_task_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="a binary task has one column"):
        PLOTS[name](scores_of("multilabel"), "binary", [0.5])
    with pytest.raises(DataError, match="2 thresholds for a binary task of 1 classes"):
        PLOTS[name](scores_of("binary"), "binary", [0.5, 0.6])


def test_nothing_global_is_touched() -> None:
    before = dict(mpl.rcParams)
    for name in OF_CLASSES:
        drawn(name, "binary")
    assert dict(mpl.rcParams) == before
    code = (
        "import sys, medmm.evaluation.plots, medmm.evaluation.subgroups\n"
        "heavy = {'matplotlib.pyplot', 'torch', 'monai', 'lightning', 'mlflow'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
