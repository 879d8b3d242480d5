from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from medmm.cohort.sharing import share_patients
from medmm.cohort.split import PARTS, Fractions, SplitSettings, prove, split_studies, without_label
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


def dated(studies: list[Study], seed: int = 0) -> list[Study]:
    """Give each study a day within three years and one of four sites, some of the patients' studies at another site."""
    rng = np.random.default_rng(seed)
    sites = {study.patient_id: str(rng.choice(list("ABCD"))) for study in studies}
    return [
        replace(
            study,
            time=datetime(2020, 1, 1) + timedelta(days=int(rng.integers(1000))),
            cells={"site": sites[study.patient_id], "part": "", "fold": ""},
        )
        for study in studies
    ]


def in_parts(studies: list[Study], settings: SplitSettings) -> dict[str, list[Study]]:
    split = split_studies(studies, settings)
    together = sorted([*split.left_out, *(i for part in PARTS for i in split[part])])
    assert together == list(range(len(studies)))  # nobody is lost
    return {part: [studies[i] for i in split[part]] for part in PARTS}


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_each_patient_is_judged_in_one_fold_and_chosen_by_in_one_inner_fold(folds: int) -> None:
    studies = cohort(120, prevalence=0.2)
    judged: list[str] = []
    for fold in range(folds):
        chosen: list[str] = []
        for inner in range(4):
            parts = in_parts(studies, SplitSettings(folds=folds, fold=fold, inner_folds=4, inner_fold=inner))
            chosen += {study.patient_id for study in parts["validation"]}
            test = {study.patient_id for study in parts["test"]}
        assert len(chosen) == len(set(chosen)) == 120 - len(test)
        assert len(test) == pytest.approx(120 / folds, abs=2)
        judged += test
    assert sorted(judged) == sorted({study.patient_id for study in studies})


def test_folds_without_inner_ones_keep_the_ratio_of_the_fractions() -> None:
    split = split_studies(cohort(400), SplitSettings(folds=4, fold=1))
    # Of the 300 patients that the test fold leaves, 15 / 85 are 53.
    assert split.patients["test"] == pytest.approx(100, abs=2)
    assert split.patients["validation"] == pytest.approx(53, abs=2)


@pytest.mark.parametrize("seed", range(5))
def test_no_group_stands_on_two_sides(seed: int) -> None:
    parts = in_parts(dated(cohort(150, seed=seed), seed), SplitSettings(by="group", column="site", seed=seed))
    sites = [{study.cells["site"] for study in parts[part]} for part in PARTS]
    assert all(sites)
    assert sum(map(len, sites)) == len(set().union(*sites)) == 4


def test_each_site_is_the_test_part_of_one_fold() -> None:
    studies = dated(cohort(150))
    settings = [SplitSettings(by="group", column="site", folds=4, fold=fold) for fold in range(4)]
    tested = [{study.cells["site"] for study in in_parts(studies, one)["test"]} for one in settings]
    assert sorted(site for sites in tested for site in sites) == list("ABCD")


def test_sites_that_share_a_patient_stay_together() -> None:
    studies = dated(cohort(150))
    guest = next(study for study in studies if study.cells["site"] == "A")
    studies.append(replace(guest, row=999, study_id="moved", cells={**guest.cells, "site": "B"}))
    parts = in_parts(studies, SplitSettings(by="group", column="site"))
    assert [part for part in PARTS if "A" in {s.cells["site"] for s in parts[part]}] == [
        part for part in PARTS if "B" in {s.cells["site"] for s in parts[part]}
    ]


def test_patients_at_every_site_leave_nothing_to_share_out() -> None:
    studies = [
        replace(study, patient_id=str(i // 2), cells={"site": "ABCD"[(i + i // 2) % 4]})
        for i, study in enumerate(dated(cohort(60)))
    ]
    with pytest.raises(DataError, match="gives 1 groups of which no two share a patient"):
        split_studies(studies, SplitSettings(by="group", column="site"))


@pytest.mark.parametrize("dates", [None, (date(2021, 6, 1), date(2022, 1, 1))])
def test_what_learns_was_before_what_judges_and_later_studies_of_its_patients_are_left_out(
    dates: tuple[date, date] | None,
) -> None:
    studies = dated(cohort(200))
    settings = SplitSettings(by="time", dates=dates)
    parts = in_parts(studies, settings)
    times = {part: [study.time for study in parts[part] if study.time] for part in PARTS}
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < min(times["test"])
    split = split_studies(studies, settings)
    assert set(split.left_out.values()) == {"other period"}
    used = {study.patient_id for part in PARTS for study in parts[part]}
    assert {studies[i].patient_id for i in split.left_out} <= used
    if dates is None:
        assert split.patients["train"] == pytest.approx(140, abs=2)
    else:
        assert min(times["validation"]).date() >= dates[0]
        assert min(times["test"]).date() >= dates[1]


def test_a_column_says_the_part_and_what_it_does_not_name_is_left_out() -> None:
    studies = cohort(60)
    owners = sorted({study.patient_id for study in studies})
    said = {owner: ["train", "validation", "test", "Test"][number % 4] for number, owner in enumerate(owners)}
    studies = [replace(study, cells={"part": said[study.patient_id]}) for study in studies]
    settings = SplitSettings(by="column", column="part")
    for part, members in in_parts(studies, settings).items():
        assert {said[study.patient_id] for study in members} == {part}
    assert set(split_studies(studies, settings).left_out.values()) == {"no part"}
    twice = [*studies, replace(studies[0], row=999, cells={"part": "test"})]
    with pytest.raises(DataError, match="1 patients stand in more than one part"):
        split_studies(twice, settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "group"}, "group needs a column"),
        ({"column": "site"}, "patient takes no column"),
        ({"by": "time", "folds": 3}, "time has no folds"),
        ({"inner_folds": 3}, "set folds too"),
        ({"folds": 3, "fold": 3}, "go from 0 to 2"),
        ({"dates": ["2020-01-01", "2021-01-01"]}, "dates belong to a split by time"),
        ({"by": "time", "dates": ["2021-01-01", "2020-01-01"]}, "the earlier one first"),
    ],
)
def test_keys_that_could_never_act_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SplitSettings.model_validate(settings)


def test_a_split_by_time_needs_times_and_one_by_column_its_column() -> None:
    with pytest.raises(DataError, match=r"cohort\.time"):
        split_studies(cohort(30), SplitSettings(by="time"))
    with pytest.raises(DataError, match=r"has no column 'sites'.*site"):
        split_studies(dated(cohort(30)), SplitSettings(by="group", column="sites"))


@pytest.mark.parametrize("folds", [3, 5])
def test_small_classes_do_not_make_parts_unequal(folds: int) -> None:
    rng = np.random.default_rng(0)
    strata = {f"p{i}": stratum for i, stratum in enumerate([*np.repeat(np.arange(14), 3), *[14] * 40])}
    for seed in range(5):
        part = share_patients(strata, [1 / folds] * folds, seed)
        counts = np.bincount(list(part.values()), minlength=folds)
        assert counts.max() - counts.min() <= 1
        unequal = share_patients(strata, [0.7, 0.15, 0.15], seed)
        counts = np.bincount(list(unequal.values()), minlength=3)
        assert np.abs(counts - len(strata) * np.array([0.7, 0.15, 0.15])).max() <= 1
    large = {f"p{i}": int(rng.random() < 0.3) for i in range(400)}
    for stratum in (0, 1):
        mine = [part for patient, part in share_patients(large, [1 / folds] * folds, 0).items() if large[patient] == stratum]
        counts = np.bincount(mine)
        assert counts.max() - counts.min() <= 1


def test_a_patient_on_two_sides_is_told_by_its_rows() -> None:
    studies = [Study(7, "0007", "a", label=(1.0,)), Study(8, "x", "b", label=(0.0,)), Study(9, "0007", "c", label=(0.0,))]
    with pytest.raises(DataError, match=r"such as the one in rows 7 and 9: .*same_person=report"):
        prove(studies, {"train": (0, 1), "test": (2,)})


def of_patients(rows: list[tuple[str, str, int]]) -> list[Study]:
    """Give studies of a patient, a cell of the column that the split goes by, and a day."""
    start = datetime(2020, 1, 1)
    return [
        Study(i + 1, patient, f"s{i}", time=start + timedelta(days=day) if day >= 0 else None, cells={"by": cell})
        for i, (patient, cell, day) in enumerate(rows)
    ]


KNOWN = [("p0", "A", 0), ("p1", "B", 50), ("p2", "C", 80)]
"""A patient of train, of validation and of test."""


@pytest.mark.parametrize(
    ("settings", "others", "expected"),
    [
        # Of any patient but those who judge.
        ({}, [("p0", "", 90), ("p1", "", 0), ("p2", "", 0), ("p3", "", 0), ("p3", "C", 200)], [3, 6, 7]),
        # Of no group that judges, nor of an unknown one.
        (
            {"by": "group", "column": "by"},
            [("p0", "A", 0), ("p3", "B", 0), ("p4", "C", 0), ("p5", "D", 0), ("p6", "", 0), ("p1", "A", 0)],
            [3, 6],
        ),
        # Of before the first study that judges; one of an unknown time may be later.
        (
            {"by": "time"},
            [("p0", "", 49), ("p3", "", 50), ("p4", "", 60), ("p5", "", -1), ("p1", "", 0), ("p6", "", 0)],
            [3, 8],
        ),
        # Of whom the column says so.
        (
            {"by": "column", "column": "by"},
            [("p3", "train", 0), ("p4", "test", 0), ("p5", "", 0), ("p6", "Train", 0), ("p2", "train", 0)],
            [3],
        ),
    ],
)
def test_without_a_label_learns_who_tells_nothing_of_those_who_judge(
    settings: dict[str, object], others: list[tuple[str, str, int]], expected: list[int]
) -> None:
    studies = of_patients([*KNOWN, *others])
    split = prove(studies, {"train": (0,), "validation": (1,), "test": (2,)})
    found = without_label(studies, split, range(3, len(studies)), SplitSettings.model_validate(settings))
    assert list(found) == expected
    assert without_label(studies, split, expected[:1], SplitSettings.model_validate(settings)) == tuple(expected[:1])


@pytest.mark.parametrize("later", [1, 2])
def test_the_first_that_judges_is_of_validation_or_of_test(later: int) -> None:
    rows = [("p0", "", 0), ("p1", "", 50), ("p2", "", 50)]
    rows[later] = (rows[later][0], "", 90)
    studies = of_patients([*rows, ("p3", "", 70), ("p4", "", 20)])
    split = prove(studies, {"train": (0,), "validation": (1,), "test": (2,)})
    assert without_label(studies, split, (3, 4), SplitSettings(by="time")) == (4,)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("by", [{}, {"by": "group", "column": "site"}, {"by": "time"}])
def test_no_study_without_a_label_is_of_a_patient_who_judges(seed: int, by: dict[str, object]) -> None:
    studies = dated(cohort(150, seed=seed), seed)
    settings = SplitSettings.model_validate({"seed": seed, **by})
    used = [i for i in range(len(studies)) if i % 4]
    inner = split_studies([studies[i] for i in used], settings)
    split = prove(studies, {part: tuple(used[i] for i in inner[part]) for part in PARTS})
    found = without_label(studies, split, range(0, len(studies), 4), settings)
    judging = {studies[i].patient_id for part in PARTS[1:] for i in split[part]}
    assert found
    assert not judging & {studies[i].patient_id for i in found}


@pytest.mark.parametrize("by", ["column", "group"])
def test_a_split_by_a_column_that_is_not_there_is_refused_where_nobody_has_a_label(by: str) -> None:
    studies = [Study(1, "p1", "s1", cells={"site": "A"})]
    nobody = prove(studies, dict.fromkeys(PARTS, ()))
    with pytest.raises(DataError, match=r"no column 'sight'.*did you mean 'site'"):
        without_label(studies, nobody, [0], SplitSettings.model_validate({"by": by, "column": "sight"}))
