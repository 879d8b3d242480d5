"""What is kept of known studies tells them from later ones that differ, and holds nothing of a patient."""

import numpy as np
from scipy.stats import ks_2samp
from test_evaluation_novelty import said

from medmm.evaluation.drift import DIRECTIONS, QUANTILES, SAMPLE, fit_drift


def test_the_sample_tells_a_shift_from_more_of_the_same() -> None:
    rng = np.random.default_rng(0)
    drift = fit_drift(said(400, rng), said(900, rng), rng.random((900, 1)), np.arange(900) // 3)
    same, other = drift.project(said(300, rng)), drift.project(said(300, rng, shift=4.0))

    def least_p(projected: np.ndarray) -> float:
        has = drift.present[:, 1]
        known = drift.embedding[has, 2].astype(float)
        new = projected[np.abs(projected[:, 2]).max(axis=1) > 0, 2]
        return min(ks_2samp(known[:, f], new[:, f]).pvalue for f in range(12)) * 12

    assert least_p(same) > 0.01
    assert least_p(other) < 1e-6


def test_whole_patients_are_kept_and_their_numbers_stand_for_nothing() -> None:
    rng = np.random.default_rng(0)
    patient = rng.permutation(np.repeat(np.arange(5000, 5300), 3))
    answers = np.stack([patient, np.arange(900)], axis=1).astype(float)
    drift = fit_drift(said(50, rng), said(900, rng), answers, patient)
    assert len(drift.patient) == SAMPLE
    assert set(drift.patient) == set(range(167))  # 166 whole patients and two studies of one more
    pairs = {(int(number), int(person)) for number, person in zip(drift.patient, drift.answers[:, 0], strict=True)}
    assert len(pairs) == 167  # a number is one patient
    assert (np.bincount(drift.patient) == 3).sum() == 166
    assert (np.diff(drift.answers[:, 1]) > 0).all()


def test_rates_and_quantiles_are_of_all_validation_studies() -> None:
    rng = np.random.default_rng(0)
    validation, answers = said(900, rng), rng.random((900, 2))
    drift = fit_drift(said(50, rng), validation, answers, np.arange(900))
    np.testing.assert_allclose(drift.present_rate, validation.present.mean(axis=0))
    np.testing.assert_allclose(drift.answer_quantiles[1], np.quantile(answers[:, 1], QUANTILES))
    assert drift.embedding.shape == (SAMPLE, 3, DIRECTIONS)
    assert (drift.embedding[~drift.present[:, 0], 1] == 0).all()


def test_fewer_studies_than_directions_are_padded() -> None:
    rng = np.random.default_rng(0)
    drift = fit_drift(said(3, rng), said(4, rng), np.zeros((4, 1)), np.arange(4))
    assert drift.direction.shape == (3, 12, DIRECTIONS)
    assert (drift.direction[:, :, 12:] == 0).all()


def test_the_cells_of_a_study_are_its_row_of_the_sample_in_whatever_company() -> None:
    rng = np.random.default_rng(0)
    known = said(64, rng)
    drift = fit_drift(known, known, rng.random((64, 1)), np.arange(64))
    cells = drift.cells(known)
    assert np.array_equal(np.array(cells, np.float16).reshape(64, 3, DIRECTIONS), drift.embedding)
    assert max(len(str(one)) for row in cells for one in row) <= 10
    for start in (0, 16, 33):
        some = slice(start, start + 16)
        pooled = {name: one[some] for name, one in known.pooled.items()}
        part = known._replace(joint=known.joint[some], pooled=pooled, present=known.present[some])
        assert drift.cells(part) == cells[some]


def test_an_embedding_that_overflowed_lies_at_the_edge() -> None:
    rng = np.random.default_rng(0)
    known = said(64, rng)
    drift = fit_drift(known, known, rng.random((64, 1)), np.arange(64))
    broken = known._replace(joint=np.full_like(known.joint, np.nan))
    cells = np.array(drift.cells(broken), np.float16)[:, :DIRECTIONS]
    assert (cells[:, :12] == np.finfo(np.float16).max).all()
