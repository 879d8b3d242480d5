import numpy as np
import pytest

from medmm.evaluation.delong import aurocs, placements
from medmm.evaluation.intervals import Estimate
from medmm.evaluation.sample_size import HALF_WIDTH, clustered_variance, expected_from, expected_widths, hanley_mcneil
from medmm.types import Scores


def test_the_error_of_an_auroc_is_that_of_the_paper() -> None:
    # Hanley & McNeil 1982, the example of 58 normal and 51 abnormal images: area 0.893, standard error 0.032.
    assert hanley_mcneil(0.893, 51, 58) == pytest.approx(0.032, abs=6e-4)
    # By hand for area 0.5: Q1 = Q2 = 1 / 3, so (1/4 + 9/12 + 19/12) / 200.
    assert hanley_mcneil(0.5, 10, 20) == pytest.approx(np.sqrt((0.25 + 9 / 12 + 19 / 12) / 200))


def test_the_variance_of_a_share_by_hand() -> None:
    # Patient 1 has 2 of 2 right, patient 2 none of 1, patient 3 has 1 of 1; 3 of 4 are right.
    # Sums of the deviations: 0.5, -0.75, 0.25; squares 0.875, over 16, times 3 / 2.
    right, patient = np.array([True, True, False, True]), np.array([1, 1, 2, 3])
    assert clustered_variance(right, patient) == pytest.approx(0.875 / 16 * 1.5)
    assert np.isnan(clustered_variance(right, np.ones(4)))


def cohort(patients: int, each: int, seed: int = 0) -> Scores:
    """Draw patients whose studies are the same study, over and over."""
    rng = np.random.default_rng(seed)
    target = (rng.random(patients) < 0.3).astype(int)
    said = 1 / (1 + np.exp(-(target + rng.normal(size=patients))))
    patient = np.repeat(np.arange(patients), each)
    return Scores(("sick",), np.repeat(said, each)[:, None], np.repeat(target, each)[:, None], patient)


def test_studies_that_repeat_a_patient_make_nothing_surer() -> None:
    once = {one.metric: one for one in expected_widths(cohort(200, 1), "binary", [0.6])}
    often = {one.metric: one for one in expected_widths(cohort(200, 5), "binary", [0.6])}
    for metric in ("auroc", "sensitivity", "specificity"):
        assert often[metric].half_widths[0] == pytest.approx(once[metric].half_widths[0], rel=0.03)
        assert often[metric].needed == pytest.approx(once[metric].needed, rel=0.08)
        assert often[metric].patients == once[metric].patients


def test_today_the_width_is_that_of_the_patients_at_hand() -> None:
    scores = cohort(300, 1)
    probability, target = scores.predicted[:, 0], scores.target
    variance = aurocs(placements(probability, target[:, 0])[None, :, None], target, scores.patient).covariance[0, 0]
    auroc, sensitivity, specificity = expected_widths(scores, "binary", [0.6])
    assert auroc.half_widths[0] == pytest.approx(1.959964 * np.sqrt(variance))
    assert auroc.half_widths[2] == pytest.approx(auroc.half_widths[0] / 2, rel=0.01)
    sick = int(target.sum())
    right = int(((probability >= 0.6) & (target[:, 0] == 1)).sum())
    planned = (right + 2) / (sick + 4)
    ratio = sick / (sick - 1)  # what clustered_variance makes of patients with one study
    expected = 1.959964 * np.sqrt(ratio * planned * (1 - planned) / sick)
    assert sensitivity.half_widths == pytest.approx((expected, expected / np.sqrt(2), expected / 2))
    assert (sensitivity.patients, specificity.patients) == (sick, 300 - sick)
    assert sensitivity.needed == int(np.ceil(sick * (expected / HALF_WIDTH) ** 2))


def test_more_patients_of_the_same_kind_give_the_width_that_was_promised() -> None:
    scores = cohort(100, 2)
    promised = {one.metric: one for one in expected_widths(scores, "binary", [0.6])}
    for times in (2, 4):
        more = Scores(
            scores.classes,
            np.tile(scores.predicted, (times, 1)),
            np.tile(scores.target, (times, 1)),
            np.concatenate([scores.patient + 1000 * copy for copy in range(times)]),
        )
        for one in expected_widths(more, "binary", [0.6]):
            assert one.half_widths[0] == pytest.approx(promised[one.metric].half_widths[times // 2], rel=0.05)
            assert one.needed == pytest.approx(promised[one.metric].needed, rel=0.1)


def test_certainty_promises_nothing() -> None:
    target = np.array([[0]] * 20 + [[1]] * 20)
    auroc, sensitivity, _ = expected_widths(Scores(("sick",), 0.1 + 0.8 * target, target, np.arange(40)), "binary", [0.5])
    assert auroc.needed is None
    planned = 22 / 24
    assert sensitivity.half_widths[0] == pytest.approx(1.959964 * np.sqrt(planned * (1 - planned) / 20))
    one = Scores(("sick",), np.array([[0.2], [0.7]]), np.array([[0], [1]]), np.array([0, 1]))
    assert [found.metric for found in expected_widths(one, "binary", [0.5])] == ["auroc", "sensitivity", "specificity"]


def test_other_metrics_scale_the_interval_that_was_found() -> None:
    found = expected_from("c_index", "by_30", Estimate(0.7, 0.6, 0.8, 90, 80, 2000), 40, "with the event")
    assert found.half_widths == pytest.approx((0.1, 0.1 / np.sqrt(2), 0.05))
    assert found.needed == 160
    undefined = expected_from("c_index", "by_30", Estimate(np.nan, np.nan, np.nan, 0, 0, 0), 0, "with the event")
    assert undefined.needed is None
    assert found.row()["half_width_at_4x"] == pytest.approx(0.05)
