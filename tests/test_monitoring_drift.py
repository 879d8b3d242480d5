"""A batch against the reference: distances by a second method, draws that keep each side's make-up, false alarms and power."""

import numpy as np
import pytest
from scipy.stats import binomtest, ks_2samp

from benchmarks.drift import INPUTS, NOTHING, Change, Studies, has_alarm, simulate
from medmm.evaluation.drift import fit_drift
from medmm.monitoring.differences import discrepancy, kolmogorov_smirnov, mean_shift, rate_difference, standardised
from medmm.monitoring.drift_tests import Batch, Finding, _adjusted, drift_findings, has_enough
from medmm.monitoring.null import DONORS, Counted, null_counts
from medmm.types import Array

KNOWN, NEW = 40, 25


def counted(draws: int = 20) -> Counted:
    return null_counts(np.arange(KNOWN) // 2, np.arange(NEW), draws)


def test_the_first_row_is_what_was_seen_and_every_draw_has_as_many_studies() -> None:
    known, new = counted()
    assert known[0].tolist() == [1] * KNOWN + [0] * NEW
    assert new[0].tolist() == [0] * KNOWN + [1] * NEW
    assert (known.sum(axis=1) == KNOWN).all()
    assert (new.sum(axis=1) == NEW).all()
    assert len(np.unique(new[1:], axis=0)) == 20


def test_a_patient_of_several_studies_is_replaced_by_several_of_one_patient() -> None:
    reference, batch = np.repeat(np.arange(30), 3), np.arange(50)
    known, new = null_counts(reference, batch, 200)
    of_patients = known[1:, :90].reshape(200, 30, 3)
    assert known[1:, 90:].sum() == 0  # no patient of one study stands in for one of three
    assert (of_patients == of_patients[:, :, :1]).all()  # and all three come together
    drawn_from_both = new[1:, :90].sum() / new[1:].sum()
    assert drawn_from_both == pytest.approx(90 / 140, abs=0.02)  # a patient comes in by his studies


def test_a_patient_of_more_studies_than_any_other_is_replaced_by_those_with_the_most() -> None:
    sizes = [*range(1, 41)]
    batch = np.concatenate([np.zeros(60, int), np.arange(1, 30)])
    _, new = null_counts(np.repeat(np.arange(40), sizes), batch, 500)
    reference = sum(sizes)
    assert (new.sum(axis=1) == len(batch)).all()
    whole = new[1:, reference : reference + 60].min(axis=1) > 0
    assert 0 < whole.mean() < 0.5  # one of DONORS patients, in proportion to their studies
    assert DONORS == 20


def test_distances_are_those_of_a_second_method() -> None:
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=KNOWN + NEW), 1)  # with ties
    values[KNOWN:] += 0.5
    sides = counted()
    ours = kolmogorov_smirnov(values, sides)[0]
    assert ours == pytest.approx(ks_2samp(values[:KNOWN], values[KNOWN:]).statistic, abs=1e-6)
    has = rng.random(KNOWN + NEW) < 0.7
    assert rate_difference(has, sides)[0] == pytest.approx(abs(has[:KNOWN].mean() - has[KNOWN:].mean()), abs=1e-6)
    embedding = rng.normal(size=(KNOWN + NEW, 4)) * [5, 1, 1, 0]
    expected = 0.0
    for one in (embedding, standardised(embedding)):
        apart = ((one[:, None] - one) ** 2).sum(axis=2)
        kernel = np.exp(-apart / np.median(apart[apart > 0]))
        known, new, both = kernel[:KNOWN, :KNOWN], kernel[KNOWN:, KNOWN:], kernel[:KNOWN, KNOWN:]
        expected += (known.mean() + new.mean() - 2 * both.mean()) / 2
    assert discrepancy(embedding, sides)[0] == pytest.approx(expected, abs=1e-5)


def test_what_was_seen_does_not_stay_in_the_draws() -> None:
    """Patients of three studies stand on one side alone: uncentred, each draw would keep a part of the difference."""
    values = np.concatenate([np.zeros(90, bool), np.ones(50, bool)])
    found = rate_difference(values, null_counts(np.repeat(np.arange(30), 3), np.arange(50), 400))
    assert found[0] == pytest.approx(1)
    assert np.median(found[1:]) < 0.1


def test_a_direction_that_does_not_vary_does_not_count() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 3)) * [1, 1e-5, 0]
    assert standardised(values).shape == (50, 1)


def test_the_shift_of_the_mean_is_what_was_planted() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1500, 6))
    values[500:, 2] += 1.0
    sides = null_counts(np.arange(500), np.arange(1000), 100)
    deviation = values[:, 2].std()
    assert mean_shift(values, sides) == pytest.approx(1 / deviation, abs=0.15)
    values[500:, 2] -= 1.0
    assert mean_shift(values, sides) < 0.3


def test_a_side_without_a_study_that_counts_shows_no_difference() -> None:
    sides = Counted(np.array([[1, 1, 0, 0], [1, 0, 0, 0]], np.uint16), np.array([[0, 0, 0, 0], [0, 1, 1, 1]], np.uint16))
    assert rate_difference(np.array([True, False, True, False]), sides)[0] == 0


def test_the_smallest_p_of_all_tests_has_a_null_of_its_own() -> None:
    found = Finding("answer", "x", 0, 0, 0, 1, 1, 1, 1, 1)
    # By hand, what was seen and nine draws: 9 is the largest of ten, so p is 0.1, which the second test reaches in one draw.
    first = np.array([9, 1, 2, 3, 4, 5, 6, 7, 8, 0], float)
    second = np.array([4, 9, 0, 1, 2, 3, 5, 6, 7, 8], float)
    one, other = _adjusted([(found, first), (found, second)])
    assert (one.p, other.p) == (0.1, 0.6)
    assert one.adjusted == pytest.approx(0.2)  # the first draw by the first test, the second by the second
    assert other.adjusted == pytest.approx(0.8)  # all but the draws whose smaller p is 0.7 or 0.8


def test_enough_is_thirty_studies_of_twenty_patients() -> None:
    assert has_enough(np.arange(30))
    assert not has_enough(np.arange(29))
    assert not has_enough(np.arange(40) // 3)


def batch_of(known_seed: int, change: Change, studies: int = 200) -> tuple[Finding, ...]:
    rng = np.random.default_rng(known_seed)
    training, validation = simulate(rng, 300), simulate(rng, 400)
    known = fit_drift(training, validation, validation.answers, validation.patient)
    new = simulate(rng, studies, change, one_each=True)
    embedding = np.array(known.cells(new), np.float16).reshape(studies, len(INPUTS) + 1, -1)
    return drift_findings(known, ("ill",), Batch(new.patient, new.answers, new.present, embedding), 199)


@pytest.mark.parametrize(
    ("change", "what", "name"),
    [
        (Change(scanner=1.0), "representation", "image"),
        (Change(absent=0.8), "presence", "labs"),
        (Change(prevalence=0.8), "answer", "ill"),
        (Change(logit=2.5), "answer", "ill"),
    ],
)
def test_a_planted_drift_is_found_where_it_was_planted(change: Change, what: str, name: str) -> None:
    found = {(one.what, one.name): one for one in batch_of(1, change)}
    assert found[what, name].adjusted <= 0.05
    if change.logit:
        assert [key for key, one in found.items() if one.adjusted <= 0.05] == [(what, name)]
    assert found["presence", "notes"].adjusted > 0.05


def test_the_same_batch_has_the_same_answer() -> None:
    assert batch_of(2, NOTHING) == batch_of(2, NOTHING)


def rejects_by_studies(seed: int, studies: int) -> bool:
    """Tell whether a test that takes every study for a patient of its own finds answers changed."""
    rng = np.random.default_rng([5, seed])
    known, new = simulate(rng, 500), simulate(rng, studies)
    values = np.concatenate([known.answers, new.answers])[:, 0]

    def p(sides: Counted) -> float:
        found: Array = np.round(kolmogorov_smirnov(values, sides), 9)
        return float((found >= found[0]).mean())

    by_patient = p(null_counts(known.patient, new.patient, 199))
    by_study = p(null_counts(np.arange(500), np.arange(studies), 199))
    assert isinstance(known, Studies)
    return by_study <= 0.05 < by_patient


def test_a_test_that_forgets_the_patients_raises_false_alarms() -> None:
    wrong = sum(rejects_by_studies(seed, 200) for seed in range(100))
    assert binomtest(wrong, 100, 0.05, alternative="greater").pvalue < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("one_each", [True, False])
def test_an_unchanged_hospital_raises_few_alarms(one_each: bool) -> None:
    sizes = np.geomspace(30, 300, 100).astype(int)
    found = [has_alarm((77, i), int(n), NOTHING, one_each=one_each, draws=199) for i, n in enumerate(sizes)]
    wrong, judged = found.count(True), len(found) - found.count(None)
    assert judged > 60
    assert binomtest(wrong, judged, 0.05, alternative="greater").pvalue > 0.01, wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [Change(scanner=1.0), Change(absent=1.0), Change(prevalence=0.8), Change(logit=2.5)], ids=repr
)
def test_a_large_drift_is_found_in_small_batches(change: Change) -> None:
    found = sum(has_alarm((78, i), 60, change, one_each=True, draws=199) is True for i in range(40))
    assert binomtest(found, 40, 0.95, alternative="less").pvalue > 0.01, found
