from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, norm

from medmm.errors import DataError
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.paired import Contrast, Rated, contrasts, headline_of
from medmm.evaluation.verdict import MINIMUM, Verdict, judge, patients_needed, rounded_up
from medmm.types import Scores


def contrast(name: str, gain: float, low: float, high: float, p: float = 0.2, error: float = 0.02) -> Contrast:
    """Make a contrast with `chest` in 219 studies of 140 patients, 60 of the rarer outcome; limits are the corrected ones."""
    estimate = Estimate(gain, low, high, 219, 140, 2000)
    return Contrast(name, "chest", 0.741, estimate, error, p, p, low, high, p, low, high, rarer=60)


def test_a_gain_that_stands_is_worth_it() -> None:
    found = judge(
        [
            contrast("concat", 0.08, -0.01, 0.17),
            contrast("transformer", 0.062, 0.021, 0.104, p=0.002),
            contrast("gated", 0.05, 0.01, 0.09, p=0.01),
        ]
    )
    text = (
        "Worth it: `transformer` gains 0.062 AUROC [0.021, 0.104] over the best single input (`chest`, 0.741), "
        "corrected for 3 comparisons; 219 studies of 140 patients."
    )
    assert found == Verdict("worth it", text, None)


@pytest.mark.parametrize(("low", "p"), [(0.001, 0.06), (-0.001, 0.04)])
def test_a_gain_needs_both_its_p_value_and_its_limit(low: float, p: float) -> None:
    assert judge([contrast("concat", 0.05, low, 0.1, p)]).kind == "cannot be told"
    assert judge([contrast("concat", 0.05, 0.001, 0.1, 0.04)]).kind == "worth it"


def test_gains_that_are_ruled_out_are_not_worth_it() -> None:
    narrow = [contrast("concat", 0.003, -0.009, 0.014), contrast("gated", -0.004, -0.02, 0.012)]
    text = (
        "Not worth it: `concat` gains 0.003 AUROC [-0.009, 0.014] over the best single input (`chest`, 0.741), "
        "corrected for 2 comparisons; 219 studies of 140 patients. "
        "No fusion's upper limit is above 0.014; 0.02 is the smallest gain that counts."
    )
    assert judge(narrow) == Verdict("not worth it", text, None)
    assert judge(narrow, margin=0.013).kind == "cannot be told"
    assert judge([*narrow, contrast("late", -0.01, -0.05, 0.03)]).kind == "cannot be told"


def test_a_sure_gain_that_is_surely_too_small_is_not_worth_it() -> None:
    small = [contrast("concat", 0.010, 0.004, 0.016, p=0.001)]
    assert judge(small).kind == "not worth it"
    between = judge(small, margin=0.012)
    assert between.kind == "worth it"
    assert between.text.endswith("The gain found is less than 0.012, the smallest that counts.")


def test_an_open_question_comes_with_the_patients_who_would_tell() -> None:
    # One comparison, 80 %: (1.960 + 0.842)^2 = 7.849. Gain 0.03, error 0.02: 140 * 7.849 * (0.02 / 0.03)^2 = 488.4.
    found = judge([contrast("gated", 0.03, -0.012, 0.075)])
    text = (
        "Cannot be told: `gated` gains 0.030 AUROC [-0.012, 0.075] over the best single input (`chest`, 0.741), "
        "corrected for 1 comparison; 219 studies of 140 patients. "
        "About 490 patients like these would show it in 80% of such cohorts, if the gain is truly 0.030."
    )
    assert found == Verdict("cannot be told", text, 490)
    # No gain: the margin 0.02 is as large as the error, 140 * 7.849 = 1098.8.
    nothing = judge([contrast("gated", 0.0, -0.04, 0.04)])
    assert nothing.needed == 1100
    assert nothing.text.endswith(
        "About 1,100 patients like these would rule out a gain of 0.02 in 80% of such cohorts, if nothing is gained."
    )


def test_more_comparisons_need_more_patients() -> None:
    gain, none = (contrast("gated", value, -0.04, 0.08) for value in (0.03, 0.0))
    # Four comparisons: (2.4977 + 0.8416)^2 = 11.151; twelve: (2.8653 + 0.8416)^2 = 13.741.
    assert patients_needed(gain, 4, 0.02) == 700  # 693.8
    assert patients_needed(none, 4, 0.02) == 1600  # 1561.2
    picked = [replace(one, picked_from=3) for one in (gain, none)]
    assert patients_needed(picked[0], 4, 0.02) == 700
    assert patients_needed(picked[1], 4, 0.02) == 2000  # 1923.7
    assert "corrected for 1 comparison with the best of 3; 219 studies" in judge(picked[:1]).text


@pytest.mark.parametrize("error", [0.0, np.nan, 0.005])
def test_without_an_error_or_with_enough_patients_there_is_no_plan(error: float) -> None:
    found = judge([contrast("gated", 0.03, -0.01, 0.07, error=error)])
    assert found.needed is None
    assert found.text.endswith("How many patients would tell cannot be computed from these.")


def test_with_few_patients_of_an_outcome_nothing_can_be_told() -> None:
    strong = contrast("concat", 0.3, 0.2, 0.4, p=0.001)
    few = judge([replace(strong, rarer=MINIMUM - 1)])
    text = (
        "Cannot be told: only 9 patients have a study of the rarer outcome, and an interval needs 10 to be believed; "
        "219 studies of 140 patients."
    )
    assert few == Verdict("cannot be told", text, None)
    assert judge([replace(strong, rarer=MINIMUM)]).kind == "worth it"
    unknown = replace(strong, gain=Estimate(np.nan, np.nan, np.nan, 3, 3, 0), rarer=1)
    assert judge([unknown]).text.startswith("Cannot be told: only 1 patient has a study of the rarer outcome")


def test_what_cannot_be_judged_is_refused() -> None:
    one = contrast("concat", 0.03, 0.0, 0.06)
    with pytest.raises(DataError, match="no fusion was compared"):
        judge([])
    with pytest.raises(DataError, match="the contrasts have several rivals"):
        judge([one, replace(one, rival="labs")])
    for margin in (0, np.nan):
        with pytest.raises(DataError, match="the smallest gain that counts must be above 0"):
            judge([one], margin)


def test_numbers_are_rounded_up_to_two_digits() -> None:
    assert [rounded_up(number) for number in (3.2, 10, 99.1, 100.0, 104.2, 1234.0)] == [4, 10, 100, 100, 110, 1300]


def cohort(rng: np.random.Generator, patients: int, lifts: tuple[float, ...], shared: float = 0.5) -> list[Rated]:
    """Draw methods, two studies a patient; their scores share this part of the variance, AUROC is Phi(lift / sqrt(2))."""
    patient = np.repeat(np.arange(patients), 2)
    sick = rng.random(patients) < 0.4
    common = np.sqrt(shared) * rng.normal(size=patients)[patient]
    methods = []
    for index, lift in enumerate(lifts):
        own = rng.normal(size=patients)[patient] + rng.normal(size=len(patient))
        score = norm.cdf(common + np.sqrt((1 - shared) / 2) * own + lift * sick[patient])
        one = Scores(("sick",), score[:, np.newaxis], sick[patient].astype(int)[:, np.newaxis], patient)
        methods.append(Rated(f"m{index}", (one,), np.ones(len(patient), bool)))
    return methods


def verdict_of(methods: list[Rated], singles: int, seed: int, resamples: int = 400) -> Verdict:
    """Judge the later methods against the best of the first ones."""
    keep = methods[0].covers
    rival = max(methods[:singles], key=lambda one: headline_of(one, keep, 0).value)
    return judge(contrasts(methods[singles:], rival, keep, resamples, seed, picked_from=singles))


@pytest.mark.parametrize(
    ("lifts", "shared", "patients", "kind"),
    [
        ((0.7, 0.7, 1.8), 0.5, 150, "worth it"),
        ((1.0, 0.7, 1.0), 0.995, 150, "not worth it"),
        ((0.9, 0.7, 1.2), 0.5, 30, "cannot be told"),
    ],
)
def test_planted_truths_are_found(lifts: tuple[float, ...], shared: float, patients: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    kinds = [verdict_of(cohort(rng, patients, lifts, shared), 2, seed).kind for seed in range(10)]
    assert kinds.count(kind) >= 9


def test_fusions_that_gain_nothing_are_rarely_worth_it() -> None:
    rng = np.random.default_rng(0)
    known = [judge(contrasts(methods[1:], methods[0], methods[0].covers, 300, seed)).kind
             for seed in range(200) for methods in [cohort(rng, 60, (1.0,) * 5)]]  # fmt: skip
    picked = [verdict_of(cohort(rng, 60, (1.0,) * 7), 3, seed, 300).kind for seed in range(100)]
    assert known.count("worth it") <= binom.ppf(0.999, 200, 0.025)  # of two sides one
    assert picked.count("worth it") <= 2  # the best of three is harder to beat than its true AUROC says


def test_a_fusion_that_gains_the_margin_is_rarely_ruled_out() -> None:
    rng = np.random.default_rng(0)
    lifts = tuple(np.sqrt(2) * norm.ppf([0.75, 0.75, 0.75, 0.77]))
    kinds = [verdict_of(cohort(rng, 150, lifts, 0.6), 3, seed).kind for seed in range(200)]
    assert kinds.count("not worth it") <= binom.ppf(0.999, 200, 0.025)
