import numpy as np
import pandas as pd

from medmm.evaluation.evaluate import evaluate
from medmm.evaluation.subgroups import MINIMUM, subgroup_table, subgroups
from medmm.types import Scores


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
