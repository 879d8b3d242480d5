"""Table 1: numbers by hand, differences against another implementation, rare levels together, what is missing counted."""

import warnings

import numpy as np
import pandas as pd
import pytest
from tableone import TableOne

from medmm.cohort.table_one import FEW, RARE, Contrast, Row, Variable, difference_of_means, difference_of_shares, make_table_one

AGES = ("40", "50", "60", "70", "", "1000")
ALL = np.ones(6, bool)
FIRST = np.array([True, True, True, True, False, False])


def rows(*variables: Variable, patient: tuple[int, ...] = (1, 1, 2, 3, 4, 5)) -> tuple[Row, ...]:
    contrast = Contrast("first", FIRST, ~FIRST)
    return make_table_one(variables, {"all": ALL, "first": FIRST}, [contrast], np.array(patient)).rows


def test_numbers_are_counted_by_hand() -> None:
    studies, patients, age = rows(Variable("age", AGES, "number"))
    assert (studies.name, dict(studies.cells)) == ("studies", {"all": "6", "first": "4"})
    assert (patients.name, dict(patients.cells)) == ("patients", {"all": "5", "first": "3"})
    assert dict(age.cells) == {"all": FEW, "first": FEW}  # five ages are known, of four patients
    assert dict(age.missing) == {"all": 1, "first": 0}
    assert np.isnan(age.differences["first"])  # one study is no sample
    strangers = rows(Variable("age", AGES, "number"), patient=(1, 2, 3, 4, 5, 6))[2]
    # Of 40, 50, 60, 70 and 1000 the quartiles are 50, 60, 70.
    assert dict(strangers.cells) == {"all": "60 [50, 70]", "first": FEW}


def test_categories_are_counted_by_hand_and_rare_levels_stand_together() -> None:
    cells = ["F"] * 6 + ["M"] * 5 + ["John Smith"] * 4 + ["x", "", ""]
    first = np.arange(18) < 9
    table = make_table_one(
        [Variable("sex", cells, "category")],
        {"all": np.ones(18, bool), "first": first},
        [Contrast("c", first, ~first)],
        np.arange(18),
    )
    female, male, rare = table.rows[2:]
    assert (female.name, female.level, dict(female.cells)) == ("sex", "F", {"all": "6 (38%)", "first": "6 (67%)"})
    assert (male.name, male.level, dict(male.cells)) == ("", "M", {"all": "5 (31%)", "first": "3 (33%)"})
    assert (rare.level, dict(rare.cells)) == (RARE, {"all": "5 (31%)", "first": "0 (0%)"})
    assert dict(female.missing) == {"all": 2, "first": 0}
    assert list(table.table().columns) == [
        *("characteristic", "level", "all", "first", "missing, all", "missing, first", "difference, c")
    ]
    assert "Smith" not in table.table().to_csv()


def test_a_level_of_one_patient_with_many_studies_is_rare() -> None:
    (row,) = rows(Variable("sex", ["F"] * 6, "category"), patient=(1, 1, 1, 1, 1, 2))[2:]
    assert row.level == RARE


def test_many_levels_are_cut_at_the_most_frequent() -> None:
    cells = [f"site {number}" for number in range(12) for _ in range(5 + number)]
    everyone = np.ones(len(cells), bool)
    table = make_table_one([Variable("site", cells, "category")], {"all": everyone}, [], np.arange(len(cells)))
    assert [row.level for row in table.rows[2:]] == [*(f"site {number}" for number in range(11, 1, -1)), RARE]


def test_presence_is_a_share_of_all() -> None:
    (row,) = rows(Variable("with notes", ["x", "", "x", "", "", "x"], "presence"))[2:]
    assert dict(row.cells) == {"all": "3 (50%)", "first": "2 (50%)"}
    assert row.differences["first"] == 0


def test_what_nobody_has_is_missing_everywhere() -> None:
    number, category = rows(Variable("age", [""] * 6, "number"), Variable("sex", [""] * 6, "category"))[2:]
    for row in (number, category):
        assert (set(row.cells.values()), dict(row.missing)) == ({""}, {"all": 6, "first": 4})
        assert np.isnan(row.differences["first"])


@pytest.mark.parametrize("seed", range(5))
def test_the_differences_are_those_of_another_implementation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    group = rng.random(150) < 0.4
    table = pd.DataFrame(
        {
            "group": np.where(group, "one", "other"),
            "age": rng.normal(60, 12, 150) + 5 * group,
            "site": rng.choice(list("ABCD"), 150, p=[0.4, 0.3, 0.2, 0.1]),
            "sex": rng.choice(list("FM"), 150),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses what pandas will leave
        theirs = TableOne(
            table, columns=["age", "site", "sex"], categorical=["site", "sex"], groupby="group", smd=True, overall=False
        )
    known = theirs.smd_table["SMD (one,other)"].astype(float)
    ages = table["age"].to_numpy()
    # theirs: the second minus the first, rounded to three digits
    assert difference_of_means(ages[~group], ages[group]) == pytest.approx(known["age"], abs=6e-4)
    for name in ("site", "sex"):
        levels = sorted(table[name].unique())
        counts = [np.array([(table[name][some] == level).sum() for level in levels]) for some in (group, ~group)]
        assert difference_of_shares(*counts) == pytest.approx(known[name], abs=6e-4)


def test_differences_at_the_edges() -> None:
    same = np.array([2.0, 2.0])
    assert difference_of_means(same, same) == 0
    assert np.isnan(difference_of_means(same, same + 1))  # no spread to measure by
    assert difference_of_shares(np.array([3, 3, 0]), np.array([5, 5, 0])) == 0
    assert np.isnan(difference_of_shares(np.array([0, 0]), np.array([1, 1])))
    assert difference_of_shares(np.array([4, 0]), np.array([0, 4])) == np.inf
    assert difference_of_shares(np.array([4, 2, 0]), np.array([0, 0, 4])) == np.inf
    # By hand: of shares 0.5 and 0.25 the mean variance is (0.25 + 0.1875) / 2, so 0.25 / 0.46771.
    assert difference_of_shares(np.array([4, 4]), np.array([6, 2])) == pytest.approx(0.25 / 0.46771, abs=1e-5)


def test_a_cohort_of_nobody_has_a_table_all_the_same() -> None:
    nobody = np.zeros(0, bool)
    kinds = [Variable(kind, [], kind) for kind in ("number", "category", "presence")]
    table = make_table_one(kinds, {"all": nobody}, [Contrast("c", nobody, nobody)], np.zeros(0, int))
    assert [row.cells["all"] for row in table.rows] == ["0", "0", "", "", ""]
