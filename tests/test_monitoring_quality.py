"""What the truth says of a model in use, the spans of time, and shares with their intervals."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import hypergeom

from medmm.cohort.target import TargetSettings
from medmm.errors import ConfigError, DataError
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.standing import Standing
from medmm.monitoring.quality import Check, judge_quality, labels_of
from medmm.monitoring.rates import Rate, rate_of, with_limits
from medmm.monitoring.window import Span, moment
from medmm.package import Package
from medmm.types import Array

NOW = datetime(2026, 11, 27, 6, tzinfo=UTC)
BINARY = TargetSettings(column="diagnosis", positive="sick")
VALUE = TargetSettings(column="volume", task="regression")
DEATH = TargetSettings(task="survival", time="days", event="died", unit="days", horizons=(30, 90))
STUDIES = 400


def checks(
    target: TargetSettings, answers: Array, truth: Array, facts: object = None, standing: tuple[Standing, ...] | None = None
) -> dict[tuple[str, str], Check]:
    thresholds = (0.5,) if target.task == "binary" else ()
    references = None if standing is None else SimpleNamespace(standing=standing)
    package = cast(
        Package,
        SimpleNamespace(target=target, thresholds=thresholds, facts={"results": facts or []}, references=references),
    )
    study = np.array([f"s{i}" for i in range(len(answers))], object)
    labels = {f"s{i}": tuple(one) for i, one in enumerate(truth.tolist())}
    found = judge_quality(package, study, np.arange(len(answers)) // 2, answers, labels, 0.05)
    assert found is not None
    return {(one.metric, one.class_name): one for one in found.checks}


def binary(seed: int, *, shift: float = 0.0, slope: float = 1.0, prevalence: float = 0.0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    logit = 1.5 * rng.normal(size=STUDIES) + prevalence
    truth = (rng.random(STUDIES) < expit(logit)).astype(float)
    return expit(slope * logit + shift)[:, None], truth[:, None]


def alarms(found: dict[tuple[str, str], Check]) -> set[str]:
    return {metric for (metric, _), one in found.items() if one.alarm}


def test_true_probabilities_raise_no_alarm() -> None:
    found = checks(BINARY, *binary(0))
    assert alarms(found) == set()
    assert found["slope", "sick"].alarm is False
    assert found["slope", "sick"].estimate.patients == STUDIES // 2
    assert found["auroc", "sick"].alarm is None  # the package says nothing to compare with


def test_probabilities_that_are_too_high_or_too_extreme_are_told_apart() -> None:
    assert alarms(checks(BINARY, *binary(1, shift=1.0))) == {"in_the_large"}
    assert "slope" in alarms(checks(BINARY, *binary(1, slope=2.5)))


def test_a_model_that_no_longer_tells_studies_apart_falls_below_its_test_studies() -> None:
    known = [{"metric": "auroc", "class": "sick", "value": 0.84, "low": 0.8, "high": 0.88}]
    answers, truth = binary(2)
    assert checks(BINARY, answers, truth, known)["auroc", "sick"].alarm is False
    other = np.random.default_rng(0).permutation(truth)
    fallen = checks(BINARY, answers, other, known)["auroc", "sick"]
    assert fallen.alarm is True
    assert fallen.expected == 0.84
    damaged = [{"metric": "auroc", "class": "sick", "value": "0.84", "low": None, "high": 0.88}, 7]
    assert checks(BINARY, answers, truth, damaged)["auroc", "sick"].alarm is None


def test_calibration_is_held_against_that_of_the_validation_studies_with_both_errors() -> None:
    answers, truth = binary(1, slope=2.0)  # whose slope is a half
    found = checks(BINARY, answers, truth, standing=())["slope", "sick"]
    assert found.alarm is True
    assert "the package does not say" in found.why

    def against(value: float, error: float) -> Check:
        known = (Standing("slope", "sick", value, error, 412, 380), Standing("in_the_large", "sick", 0.0, 0.1, 412, 380))
        return checks(BINARY, answers, truth, standing=known)["slope", "sick"]

    assert found.estimate == against(0.5, 0.0).estimate
    assert against(0.5, 0.01).alarm is False  # as it was
    assert against(0.95, 0.01).alarm is True
    assert against(0.95, 0.6).alarm is False  # nobody knows what it was
    assert "0.950 [" in against(0.95, 0.01).why
    assert "at validation (412 studies of 380 patients)" in against(0.95, 0.01).why
    assert against(0.95, 0.01).expected == 0.95


def test_with_few_of_an_outcome_numbers_are_given_without_a_verdict() -> None:
    answers, truth = binary(3, prevalence=-5.0)
    assert 0 < truth.sum() < 15
    found = checks(BINARY, answers, truth)
    assert all(one.alarm is None for one in found.values())
    assert "not enough data" in found["slope", "sick"].why
    assert np.isfinite(found["in_the_large", "sick"].estimate.value)


def test_values_and_risks_are_judged_in_their_own_terms() -> None:
    rng = np.random.default_rng(0)
    said = rng.normal(50, 10, STUDIES)[:, None]
    true = said + rng.normal(0, 5, (STUDIES, 1))
    assert alarms(checks(VALUE, said, true)) == set()
    assert "in_the_large" in alarms(checks(VALUE, said, true + 5))
    hazard = np.exp(rng.normal(-4.5, 0.5, STUDIES))
    died, end = rng.exponential(1 / hazard), rng.uniform(100, 400, STUDIES)
    times = np.stack([np.minimum(died, end), died <= end], axis=1).astype(float)
    risks = 1 - np.exp(-hazard[:, None] * np.array([30.0, 90.0]))
    assert alarms(checks(DEATH, risks, times)) == set()
    found = checks(DEATH, risks * 0.4, times)
    assert found["excess", "died_by_90_days"].alarm is True


def test_no_label_is_no_quality() -> None:
    package = cast(Package, SimpleNamespace(target=BINARY, thresholds=(0.5,), facts={}, references=None))
    assert judge_quality(package, np.array(["a"], object), np.array([0]), np.array([[0.5]]), {}, 0.05) is None


def test_labels_are_read_as_in_the_cohort() -> None:
    table = {"study_id": ["a", "b", "c", "a"], "diagnosis": ["sick", "well", "", "sick"]}
    assert labels_of(table, BINARY, "study_id") == ({"a": (1.0,), "b": (0.0,)}, 0)
    values: dict[str, Any] = {"study_id": ["a", "b"], "volume": ["7.5", "much"]}
    assert labels_of(values, VALUE, "study_id") == ({"a": (7.5,)}, 1)
    with pytest.raises(DataError, match="two labels that differ"):
        labels_of({"study_id": ["a", "a"], "diagnosis": ["sick", "well"]}, BINARY, "study_id")
    with pytest.raises(DataError, match="lack the column diagnosis"):
        labels_of({"study_id": ["a"]}, BINARY, "study_id")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T07:30", datetime(2026, 11, 20, 7, 30, tzinfo=UTC)),
        ("2026-11-20T07:30:00+02:00", datetime(2026, 11, 20, 5, 30, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 20, 6, tzinfo=UTC)),
        ("24h", datetime(2026, 11, 26, 6, tzinfo=UTC)),
    ],
)
def test_times_are_read(text: str, expected: datetime) -> None:
    assert moment(text, NOW, "--since") == expected


@pytest.mark.parametrize("text", ["yesterday", "d", "-3d", "99999999999d", "2026-13-01", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--until is no time"):
        moment(text, NOW, "--until")


def test_a_span_holds_its_first_moment_and_not_its_last() -> None:
    times = np.array(["2026-11-19T23:59:59Z", "2026-11-20T00:00:00Z", "2026-11-26T23:59:59Z", "2026-11-27T00:00:00Z"], object)
    week = Span(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 27, tzinfo=UTC))
    assert week.holds(times).tolist() == [False, True, True, False]
    assert Span().holds(times).all()


def test_a_share_has_an_interval_by_patient() -> None:
    flags = np.repeat(np.arange(40) % 4 == 0, 5)
    wide, narrow = with_limits(flags, np.arange(200) // 5), with_limits(flags, np.arange(200))
    assert wide.value == narrow.value == 0.25
    assert wide.high - wide.low > 1.7 * (narrow.high - narrow.low)
    none = with_limits(np.zeros(30, bool), np.arange(30) // 3)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(0.278, abs=0.001)  # Wilson, 0 of 10: z² / (n + z²)
    assert np.isnan(with_limits(np.array([], bool), np.array([], int)).value)


def test_where_nobody_says_what_is_usual_more_than_the_limit_is_too_many_by_the_whole_interval() -> None:
    def is_alarm(estimate: Estimate, what: Literal["rejected", "abstain"] = "rejected") -> bool:
        return Rate(what, estimate, None, np.nan).too_many(0.01, 0.2)

    assert is_alarm(Estimate(0.5, 0.3, 0.7, 40, 40, 2000))
    assert not is_alarm(Estimate(0.5, 0.3, 0.7, 40, 40, 2000), "abstain")
    assert not is_alarm(Estimate(0.3, 0.15, 0.45, 40, 40, 2000))
    assert not is_alarm(Estimate(1.0, 0.6, 1.0, 6, 6, 0))
    assert not is_alarm(Estimate(np.nan, np.nan, np.nan, 0, 0, 0))


def test_a_share_is_held_against_that_of_the_package() -> None:
    known = Standing("rejected", "", 0.02, 0.01, 200, 200)
    risen = rate_of("rejected", np.arange(40) < 10, np.arange(40), known)
    assert risen.too_many(0.01, 1.0)
    # By hand: of 197 independent studies then 4 were rejected, for 0.02 * 0.98 / 0.01² * 200 / 199 = 197; of 40 now 10.
    assert risen.p == pytest.approx(hypergeom(237, 14, 40).sf(9))
    assert not rate_of("rejected", np.arange(40) < 1, np.arange(40), known).too_many(0.01, 1.0)
    assert not rate_of("rejected", np.zeros(40, bool), np.arange(40), known).too_many(0.99, 0.0)
    half = Standing("rejected", "", 0.5, 0.03, 300, 300)
    assert rate_of("rejected", np.zeros(40, bool), np.arange(40), half).p > 0.99  # it has fallen, which is no fault
    often = Standing("rejected", "", 0.25, 0.03, 208, 208)
    assert not rate_of("rejected", np.arange(40) < 10, np.arange(40), often).too_many(0.05, 0.2)  # as ever
    one_patient = rate_of("rejected", np.arange(40) < 10, np.minimum(np.arange(40), 10) // 10 + np.arange(40) // 10, known)
    assert one_patient.p > 10 * risen.p  # ten studies of one patient are one event
    few = rate_of("abstain", np.ones(9, bool), np.arange(9), known)
    assert np.isnan(few.p)
    assert not few.too_many(0.5, 0.0)
