"""Our numbers beside those of R (pROC, survival, ipred) and scikit-survival; `tests/reference` has both, with the scripts."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from medmm.evaluation.delong import aurocs, placements
from medmm.evaluation.horizons import brier_at, dynamic_auc, integrated_brier
from medmm.evaluation.metrics import auroc
from medmm.evaluation.paired import normal_limits, normal_p
from medmm.evaluation.survival import c_index, kaplan_meier, uncut
from medmm.types import Array

REFERENCE = Path(__file__).parent / "reference"
TABLE = pd.read_csv(REFERENCE / "discrimination.csv")
R = json.loads((REFERENCE / "discrimination.json").read_text(encoding="utf-8"))
SKSURV = json.loads((REFERENCE / "survival.json").read_text(encoding="utf-8"))
ONCE = np.ones((1, len(TABLE)), np.uint8)
WITHIN = 1e-6
TARGET, RISK = TABLE["target"].to_numpy(), TABLE["risk"].to_numpy()


def timed(column: str) -> Array:
    return TABLE[[column, "event"]].to_numpy(float)


def test_the_auroc_its_variance_and_the_paired_test_are_those_of_proc() -> None:
    said = TABLE[["a", "b"]].to_numpy().T  # (M, S)
    found = aurocs(placements(said, TARGET)[..., np.newaxis], TARGET[:, np.newaxis], np.arange(len(TARGET)))
    assert found.value == pytest.approx([R["auc"]["a"], R["auc"]["b"]], abs=WITHIN)
    assert auroc(said[0], TARGET, ONCE)[0] == pytest.approx(R["auc"]["a"], abs=WITHIN)
    covariance = [[R["variance"]["a"], R["covariance"]], [R["covariance"], R["variance"]["b"]]]
    np.testing.assert_allclose(found.covariance, covariance, rtol=WITHIN)
    error = float(np.sqrt(found.covariance[0, 0]))
    assert normal_limits(found.value[0], error, 0.95) == pytest.approx(R["interval_a"], abs=WITHIN)
    gain = found.value[0] - found.value[1]
    error = float(np.sqrt(np.array([1, -1]) @ found.covariance @ np.array([1, -1])))
    assert gain / error == pytest.approx(R["paired_z"], rel=WITHIN)
    assert normal_p(gain, error) == pytest.approx(R["paired_p"], rel=WITHIN)
    assert norm.sf(R["paired_z"]) * 2 == pytest.approx(R["paired_p"], rel=WITHIN)


@pytest.mark.parametrize("column", ["time", "days"])
def test_both_concordances_are_those_of_survival(column: str) -> None:
    target, expected = timed(column), R["concordance"][column]
    assert c_index(RISK, target, ONCE)[0] == pytest.approx(expected["c_index"], abs=WITHIN)
    assert c_index(RISK, target, ONCE, pair_weight=uncut(target))[0] == pytest.approx(expected["uno"], abs=WITHIN)


def test_the_kaplan_meier_curve_is_that_of_survival() -> None:
    expected = R["kaplan_meier"]
    np.testing.assert_allclose(kaplan_meier(timed("time"), expected["times"]), expected["survival"], rtol=WITHIN)


def test_the_auc_by_a_horizon_is_that_of_r_and_of_scikit_survival() -> None:
    found = [dynamic_auc(RISK, timed("time"), at, ONCE)[0] for at in R["horizons"]]
    assert found == pytest.approx(R["dynamic_auc"], abs=WITHIN)
    assert found == pytest.approx(SKSURV["dynamic_auc"], abs=WITHIN)
    tied = [dynamic_auc(RISK, timed("days"), at / 10, ONCE)[0] for at in R["horizons"]]
    assert tied == pytest.approx(R["dynamic_auc_ties"], abs=WITHIN)


def test_the_brier_score_by_a_horizon_is_that_of_ipred_and_of_scikit_survival() -> None:
    assert [brier_at(RISK, timed("time"), at, ONCE)[0] for at in R["horizons"]] == pytest.approx(R["brier"], abs=WITHIN)
    pairs = zip(SKSURV["horizons"], SKSURV["shares"], strict=True)
    brier = np.stack([brier_at(RISK * share, timed("time"), at, ONCE) for at, share in pairs], axis=1)
    assert brier[0] == pytest.approx(SKSURV["brier"], abs=WITHIN)
    assert integrated_brier(brier, SKSURV["horizons"])[0] == pytest.approx(SKSURV["integrated_brier"], abs=WITHIN)
