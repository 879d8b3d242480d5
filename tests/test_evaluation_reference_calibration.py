"""Rates, calibration and net benefit beside those of R (rms, survival, base); `tests/reference` has both, with the script."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medmm.evaluation.calibration_error import brier_skill
from medmm.evaluation.calibration_slope import in_the_large, linear_recalibration, logistic_recalibration
from medmm.evaluation.decision_curve import THRESHOLDS, by_horizon, decision_curve
from medmm.evaluation.event_calibration import observed_risk
from medmm.evaluation.metrics import brier
from medmm.evaluation.operating import operating_points
from medmm.types import Array, Scores

REFERENCE = Path(__file__).parent / "reference"
CLOSE = 1e-6


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(REFERENCE / "evaluation.csv")


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    return dict(json.loads((REFERENCE / "evaluation.json").read_text()))


def ones(table: pd.DataFrame) -> Array:
    return np.ones((1, len(table)), np.uint8)


def test_rates_and_wilson_limits_are_those_of_r(table: pd.DataFrame, said: dict[str, Any]) -> None:
    columns = table[["probability"]].to_numpy(), table[["target"]].to_numpy()
    scores = Scores(("ill",), *columns, np.arange(len(table)))
    prevalences = [one["prevalence"] for one in said["bayes"]]
    points = {p.measure: p for p in operating_points(scores, "binary", (said["threshold"],), prevalences, resamples=10)}
    for measure, expected in said["wilson"].items():
        one = points[measure]
        found = (one.estimate.value, one.low, one.high)
        assert found == pytest.approx((expected["value"], expected["low"], expected["high"]), abs=CLOSE)
    for measure in ("lr_positive", "lr_negative"):
        assert points[measure].estimate.value == pytest.approx(said[measure], abs=CLOSE)
    for one in said["bayes"]:
        for measure in ("ppv", "npv"):
            assert points[f"{measure}_at_{one['prevalence']:g}"].estimate.value == pytest.approx(one[measure], abs=CLOSE)


def test_slope_and_intercept_are_those_of_r(table: pd.DataFrame, said: dict[str, Any]) -> None:
    probability, target = table["probability"].to_numpy(), table["target"].to_numpy()
    ((intercept, slope),) = logistic_recalibration(probability, target, ones(table))
    assert (intercept, slope) == pytest.approx((said["intercept"], said["slope"]), abs=CLOSE)
    of_rms = said["val_prob"]
    assert (intercept, slope) == pytest.approx((of_rms["Intercept"], of_rms["Slope"]), abs=CLOSE)
    assert in_the_large(probability, target, ones(table))[0] == pytest.approx(said["in_the_large"], abs=CLOSE)
    ((intercept, slope),) = linear_recalibration(table["predicted"].to_numpy(), table["value"].to_numpy(), ones(table))
    assert (intercept, slope) == pytest.approx((said["line_intercept"], said["line_slope"]), abs=CLOSE)


def test_brier_score_and_skill_are_those_of_r(table: pd.DataFrame, said: dict[str, Any]) -> None:
    probability, target = table["probability"].to_numpy(), table["target"].to_numpy()
    found = brier(probability, target, ones(table))[0]
    assert found == pytest.approx(said["brier"], abs=CLOSE)
    assert found == pytest.approx(said["val_prob"]["Brier"], abs=CLOSE)
    assert brier_skill(probability, target, ones(table))[0] == pytest.approx(said["brier_skill"], abs=CLOSE)


def test_net_benefit_is_that_of_r(table: pd.DataFrame, said: dict[str, Any]) -> None:
    probability, target = table["probability"].to_numpy(), table["target"].to_numpy()
    curve = decision_curve("ill", probability, target, np.arange(len(table)), ones(table))
    np.testing.assert_allclose(curve.model[0], said["net_benefit"], atol=CLOSE)
    np.testing.assert_allclose(curve.everyone[0], said["treat_all"], atol=CLOSE)
    assert len(THRESHOLDS) == len(said["net_benefit"])


def test_risks_and_net_benefit_under_censoring_are_those_of_r(table: pd.DataFrame, said: dict[str, Any]) -> None:
    target = table[["time", "event"]].to_numpy(np.float64)
    cuts = said["survival_thresholds"]
    for horizon, risk, benefit in zip(said["horizons"], said["observed_risk"], said["survival_benefit"], strict=True):
        assert observed_risk(target, horizon, ones(table))[0] == pytest.approx(risk, abs=CLOSE)
        ill, stands_for = by_horizon(target, horizon)
        probability, patient = table["probability"].to_numpy(), np.arange(len(table))
        curve = decision_curve("died", probability, ill, patient, ones(table), cuts, stands_for)
        np.testing.assert_allclose(curve.model[0], benefit, atol=CLOSE)
        # Those who stand for others amount to the share that Kaplan and Meier give.
        assert (ill * stands_for).sum() / len(table) == pytest.approx(risk, abs=CLOSE)
