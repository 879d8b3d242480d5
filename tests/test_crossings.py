"""What stands on two sides of a split is found, whatever the order, and nothing else is."""

import pytest

from medmm.cohort.crossings import crossings
from medmm.cohort.leakage import Finding, LeakageSettings, refuse_leaks, waived
from medmm.errors import DataError

SIDES = {0: "train", 1: "train", 2: "validation", 3: "test", 5: "test"}  # study 4 stands in no part
ROWS = [11, 12, 13, 14, 15, 16]


def found(*marks: tuple[int, str]) -> Finding:
    (one,) = crossings({"chest.series": marks}, {}, SIDES, ROWS)
    return one


def test_what_one_side_shares_is_no_leak() -> None:
    one = found((0, "a"), (1, "a"), (2, "b"), (3, "c"), (5, "c"))
    assert (one.leaks, one.found) == (False, "none")


@pytest.mark.parametrize("order", [(0, 3), (3, 0)])
def test_what_two_sides_share_is_told_by_its_rows(order: tuple[int, int]) -> None:
    one = found(*((i, "a") for i in order), (1, "b"))
    assert (one.leaks, one.name, one.check) == (True, "chest.series", "two sides")
    assert one.found == f"1 pairs of studies, in rows {ROWS[order[0]]} and {ROWS[order[1]]}"


def test_every_study_that_shares_with_another_side_counts() -> None:
    assert found((0, "a"), (1, "a"), (3, "a"), (2, "a"), (5, "a")).found.startswith("3 pairs of studies, in rows 11 and 14")
    many = found(*((i, mark) for mark in "abcd" for i in (0, 3)))
    assert many.found.startswith("4 pairs of studies, such as those in rows 11 and 14, 11 and 14")


def test_a_study_of_no_part_is_not_looked_at() -> None:
    assert not found((0, "a"), (4, "a")).leaks


def test_pairs_that_are_nearly_the_same_count_across_sides_only() -> None:
    near = {"chest.images": [(0, 1), (0, 4)], "history.notes": [(2, 5), (0, 1)]}
    assert {one.name: one.leaks for one in crossings({}, near, SIDES, ROWS)} == {"chest.images": False, "history.notes": True}


def test_a_waiver_lets_pass_what_it_names_and_is_recorded_only_where_it_acts() -> None:
    settings = LeakageSettings(waive={"chest.series": "one phantom", "labs.crp": "never leaked"})
    one = found((0, "a"), (3, "a"))
    refuse_leaks([one], settings)
    assert waived([one], settings) == {"chest.series": "one phantom"}
    assert (one.verdict(settings), one.verdict(LeakageSettings())) == ("waived", "LEAK")
    with pytest.raises(DataError, match=r"chest\.series \(two sides: 1 pairs.*leakage\.waive, as \{chest\.series: why\}"):
        refuse_leaks([one], LeakageSettings())
