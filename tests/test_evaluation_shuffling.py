"""Inputs exchanged between patients: each lends once, none to itself or its own patient."""

import numpy as np
import pytest

from medmm.evaluation.shuffling import exchange


@pytest.mark.parametrize("seed", range(30))
def test_every_study_gets_another_patients_and_lends_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patient = rng.integers(12, size=40)
    lender = exchange(patient, seed)
    assert lender is not None
    assert sorted(lender.tolist()) == list(range(40))
    assert (patient[lender] != patient).all()


def test_the_seed_fixes_it_and_another_gives_another() -> None:
    patient = np.repeat(np.arange(10), 3)
    first, again, other = (exchange(patient, seed) for seed in (4, 4, 5))
    assert first is not None
    assert other is not None
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_every_other_patient_may_lend() -> None:
    patient = np.arange(5)
    lenders = {int(lender[0]) for seed in range(60) if (lender := exchange(patient, seed)) is not None}
    assert lenders == {1, 2, 3, 4}


@pytest.mark.parametrize("patient", [[], [3], [1, 1, 2], [7, 7, 7, 7, 1, 2, 3]])
def test_where_one_patient_has_most_studies_nothing_can_be_exchanged(patient: list[int]) -> None:
    assert exchange(np.array(patient, np.int64), 0) is None


def test_half_of_the_studies_of_one_patient_are_still_exchanged() -> None:
    lender = exchange(np.array([1, 1, 2, 3]), 0)
    assert lender is not None
    assert set(lender[:2].tolist()) == {2, 3}
