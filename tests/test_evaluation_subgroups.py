from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import t as student
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score
from statsmodels.stats.multitest import multipletests

from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.intervals import patient_weights, tails
from medmm.evaluation.subgroups import MINIMUM, Gap, Subgroup, subgroup_table, subgroups
from medmm.types import Scores, Task


def two_sexes() -> Scores:
    rng = np.random.default_rng(0)
    probability = rng.random((300, 1))
    target = (rng.random((300, 1)) < probability).astype(int)
    return Scores(("sick",), probability, target, rng.integers(100, size=300), {"sex": rng.choice(["F", "M"], 300)})


def group(rows: pd.DataFrame, value: str, metric: str) -> pd.Series:
    (row,) = [row for _, row in rows.iterrows() if (row["group"], row["metric"]) == (value, metric)]
    return row


def test_a_subgroup_is_evaluated_as_if_alone_at_the_common_threshold() -> None:
    scores = two_sexes()
    rows = subgroup_table(subgroups(scores, "binary", [0.4], resamples=30, seed=2))
    chosen = scores.groups["sex"] == "F"
    alone = Scores(scores.classes, scores.predicted[chosen], scores.target[chosen], scores.patient[chosen])
    evaluation = evaluate(alone, "binary", [0.4], resamples=30, seed=2)
    assert len(rows) == 6
    assert set(rows["column"]) == {"sex"}
    for metric in ("auroc", "sensitivity", "specificity"):
        row, estimate = group(rows, "F", metric), evaluation.pick(metric)
        assert (row["value"], row["low"], row["high"]) == (estimate.value, estimate.low, estimate.high)
        assert (row["studies"], row["patients"], row["note"]) == (estimate.studies, estimate.patients, "")


def site_scores(sick_patients: int) -> Scores:
    """Make a site where so many patients have two positive studies each, and enough are healthy."""
    positives = 2 * sick_patients
    target = np.array([1] * positives + [0] * 40)
    patient = np.array([index // 2 for index in range(positives)] + list(range(100, 140)))
    probability = np.random.default_rng(0).random(len(target))
    sites = np.array(["A"] * len(target))
    return Scores(("sick",), probability[:, np.newaxis], target[:, np.newaxis], patient, {"site": sites})


def test_a_small_group_keeps_its_n_and_withholds_its_numbers() -> None:
    small = subgroup_table(subgroups(site_scores(MINIMUM - 1), "binary", [0.5], resamples=10))
    assert small[["value", "low", "high"]].isna().all().all()
    assert set(small["note"]) == {
        f"not enough data: {MINIMUM - 1} positive and 40 negative patients, {MINIMUM} each are needed"
    }
    assert group(small, "A", "sensitivity")["studies"] == 2 * (MINIMUM - 1)
    enough = subgroup_table(subgroups(site_scores(MINIMUM), "binary", [0.5], resamples=10))
    assert enough[["value", "low", "high"]].notna().all().all()


def test_a_groups_mean_needs_all_its_classes() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(2, size=(300, 3))
    target[5:, 1] = 0
    scores = Scores(("a", "b", "c"), rng.random((300, 3)), target, np.arange(300), {"site": np.array(["A"] * 300)})
    rows = subgroups(scores, "multilabel", [0.5] * 3, resamples=5)
    notes = {(row.result.metric, row.result.class_name): row.result.note for row in rows}
    assert notes["auroc", "macro"] == "not enough data of 1 of 3 classes"
    assert notes["auroc", "a"] == ""
    assert notes["auroc", "b"].startswith("not enough data: ")


def gaps(rows: tuple[Subgroup, ...], metric: str = "auroc") -> dict[tuple[str, str], Gap]:
    return {(row.column, row.value): row.gap for row in rows if row.result.metric == metric}


def four_sites(worse_by: float = 0.0, studies: int = 600) -> Scores:
    """Make sites whose studies are of common patients, and sexes; at site 3 the score is noisier."""
    rng = np.random.default_rng(1)
    site = rng.integers(4, size=studies)
    target = rng.integers(2, size=studies)
    score = target + rng.normal(scale=1 + worse_by * (site == 3), size=studies)
    probability = 1 / (1 + np.exp(-score))
    patient = rng.integers(studies // 2, size=studies)
    groups = {"site": site.astype(str), "sex": np.where(patient % 2 == 0, "F", "M")}
    return Scores(("sick",), probability[:, None], target[:, None], patient, groups)


def test_a_gap_is_that_of_a_loop_over_the_same_draws() -> None:
    scores = four_sites()
    inside = scores.groups["site"] == "2"
    drawn = []
    for counted in patient_weights(scores.patient, 60, seed=3):
        sides = [
            roc_auc_score(scores.target[side, 0], scores.predicted[side, 0], sample_weight=counted[side])
            for side in (inside, ~inside)
        ]
        drawn.append(sides[0] - sides[1])
    gap = gaps(subgroups(scores, "binary", [0.5], resamples=60, seed=3))["site", "2"]
    areas = [roc_auc_score(scores.target[side, 0], scores.predicted[side, 0]) for side in (inside, ~inside)]
    rarer = min(len(set(scores.patient[inside & (scores.target[:, 0] == outcome)].tolist())) for outcome in (0, 1))
    assert gap.estimate.value == pytest.approx(areas[0] - areas[1])
    assert (gap.estimate.low, gap.estimate.high) == pytest.approx(tuple(np.quantile(drawn, tails(0.95, rarer))))
    assert (gap.estimate.studies, gap.estimate.patients) == (600, len(set(scores.patient.tolist())))
    error = np.std(drawn, ddof=1) * np.sqrt(rarer / (rarer - 1))
    by_t = 2 * student.sf(abs(gap.estimate.value) / error, rarer - 1)
    by_draws = 2 * (1 + min((np.array(drawn) <= 0).sum(), (np.array(drawn) >= 0).sum())) / 61
    assert gap.p == pytest.approx(max(by_t, by_draws))


def test_gaps_of_all_columns_are_corrected_as_one_family() -> None:
    rows = subgroups(four_sites(worse_by=2.0), "binary", [0.5], resamples=200)
    for metric in ("auroc", "sensitivity"):
        found = gaps(rows, metric)
        own = [key for key in found if key != ("sex", "M")]  # the other side of F
        expected = multipletests([found[key].p for key in own], method="holm")[1]
        assert [found[key].corrected_p for key in own] == pytest.approx(list(expected))
        assert {gap.comparisons for gap in found.values()} == {5}
        women, men = found["sex", "F"], found["sex", "M"]
        assert (women.estimate.value, women.corrected_p) == pytest.approx((-men.estimate.value, men.corrected_p))
        assert (women.corrected_low, women.corrected_high) == pytest.approx((-men.corrected_high, -men.corrected_low))
        for gap in found.values():
            assert gap.corrected_p >= gap.p
            assert gap.corrected_low < gap.estimate.low <= gap.estimate.value <= gap.estimate.high < gap.corrected_high


def test_a_planted_gap_is_found_and_none_where_there_is_none() -> None:
    planted = gaps(subgroups(four_sites(worse_by=2.0, studies=1500), "binary", [0.5], resamples=300))
    assert planted["site", "3"].corrected_high < 0
    assert planted["site", "3"].corrected_p < 0.05
    assert planted["sex", "F"].corrected_p > 0.05
    clean = gaps(subgroups(four_sites(studies=1500), "binary", [0.5], resamples=300))
    assert min(gap.corrected_p for gap in clean.values()) > 0.05


def test_a_gap_needs_enough_patients_on_both_sides() -> None:
    scores = four_sites()
    few = np.flatnonzero(scores.target[:, 0] == 1)[: MINIMUM - 1]
    site = np.array(["A"] * 600)
    site[few] = "B"
    rows = subgroups(replace(scores, groups={"site": site, "one": np.array(["x"] * 600)}), "binary", [0.5], resamples=20)
    found = gaps(rows)
    for value, side in (("A", "others"), ("B", "group")):
        gap = found["site", value]
        assert gap.note.startswith(f"{side}: not enough data: {MINIMUM - 1} positive and 0 negative patients, {MINIMUM} each")
        assert np.isnan([gap.estimate.value, gap.p, gap.corrected_p, gap.corrected_low]).all()
    assert found["one", "x"].note == "every study is of this group"
    assert {gap.comparisons for gap in found.values()} == {0}


@pytest.mark.parametrize("task", ["regression", "survival", "multilabel"])
def test_gaps_of_every_task(task: Task) -> None:
    rng = np.random.default_rng(5)
    sex = {"sex": rng.choice(["F", "M"], 300)}
    patient, latent = np.arange(300) // 2, rng.normal(size=300)
    noisy = latent + rng.normal(size=300)
    if task == "regression":
        scores, thresholds = Scores(("value",), noisy[:, None], latent[:, None], patient, sex), []
        metrics = {"r2": r2_score, "mae": mean_absolute_error}
        inside = sex["sex"] == "F"
        rows = {row.result.metric: row.gap for row in subgroups(scores, task, thresholds, 50) if row.value == "F"}
        for metric, measure in metrics.items():
            expected = measure(latent[inside], noisy[inside]) - measure(latent[~inside], noisy[~inside])
            assert rows[metric].estimate.value == pytest.approx(expected)
        return
    if task == "survival":
        target = np.stack([rng.exponential(np.exp(-latent)), rng.integers(2, size=300)], axis=1)
        scores, thresholds = Scores(("by_1",), expit(noisy)[:, None], target, patient, sex), []
    else:
        target = np.stack([latent > 0, latent > 1], axis=1).astype(int)
        scores, thresholds = Scores(("a", "b"), expit(np.stack([noisy, noisy - 1], axis=1)), target, patient, sex), [0.5, 0.5]
    for row in subgroups(scores, task, thresholds, 50):
        assert row.gap.estimate.low < row.gap.estimate.value < row.gap.estimate.high
        (other,) = [
            one.result.estimate.value
            for one in subgroups(scores, task, thresholds, 2)
            if (one.result.metric, one.result.class_name) == (row.result.metric, row.result.class_name)
            and one.value != row.value
        ]
        assert row.gap.estimate.value == pytest.approx(row.result.estimate.value - other)
