import numpy as np
import pytest
from pydantic import ValidationError

from medmm.cohort.split import PARTS, Fractions, SplitSettings, prove, split_studies
from medmm.errors import DataError
from medmm.types import Study


def cohort(patients: int, prevalence: float = 0.3, seed: int = 0) -> list[Study]:
    """Make patients with 1 to 3 studies each."""
    rng = np.random.default_rng(seed)
    owners = [f"{p:05}" for p in range(patients) for _ in range(rng.integers(1, 4))]
    labels = rng.random(len(owners)) < prevalence
    return [
        Study(row=i + 1, patient_id=owner, study_id=f"s{i}", label=(float(label),))
        for i, (owner, label) in enumerate(zip(owners, labels, strict=True))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_no_patient_stands_on_two_sides_and_every_study_on_one(seed: int) -> None:
    studies = cohort(100, seed=seed)
    split = split_studies(studies, SplitSettings(seed=seed))
    owners = [{studies[i].patient_id for i in split[part]} for part in PARTS]
    assert not owners[0] & owners[1]
    assert not owners[0] & owners[2]
    assert not owners[1] & owners[2]
    assert sorted(i for part in PARTS for i in split[part]) == list(range(len(studies)))
    assert split.shared_patients == 0


def test_classes_are_shared_out_evenly() -> None:
    studies = cohort(400)
    split = split_studies(studies, SplitSettings())
    shares = [np.mean([studies[i].label[0] for i in split[part]]) for part in PARTS]  # type: ignore[index]
    assert max(shares) - min(shares) < 0.08
    assert split.patients["train"] == pytest.approx(0.7 * 400, abs=3)


def test_the_same_seed_gives_the_same_split_whatever_the_order_of_the_table() -> None:
    studies = cohort(80)
    first = split_studies(studies, SplitSettings())
    backwards = split_studies(studies[::-1], SplitSettings())
    assert {studies[i].study_id for i in first["test"]} == {studies[::-1][i].study_id for i in backwards["test"]}


def test_another_seed_gives_another_split() -> None:
    studies = cohort(80)
    assert split_studies(studies, SplitSettings(seed=1)).parts != split_studies(studies, SplitSettings()).parts


def test_the_proof_refuses_a_patient_on_two_sides() -> None:
    studies = [Study(1, "0007", "a", label=(1.0,)), Study(2, "0007", "b", label=(0.0,))]
    with pytest.raises(DataError, match="1 patients stand in more than one part"):
        prove(studies, {"train": (0,), "test": (1,)})


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(DataError, match="lacks a class: add patients"):
        split_studies(cohort(5), SplitSettings())


def test_fractions_that_are_not_a_whole_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"add up to 0\.9"):
        Fractions(train=0.6, validation=0.15, test=0.15)
