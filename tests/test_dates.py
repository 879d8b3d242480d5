"""Dates after a study are found, and nothing that is no date is taken for one."""

from datetime import datetime

import pandas as pd
import pytest

from medmm.cohort.dates import later_dates, later_rows

AT = datetime(2024, 5, 31, 14, 30)


@pytest.mark.parametrize(
    ("cell", "later"),
    [
        ("2024-05-31", False),
        ("2024-06-01", True),
        ("2024-05-31T14:30:00", False),
        ("2024-05-31T14:30:01", True),
        ("2024-05-31T16:29:00+02:00", False),
        ("2024-05-31T13:31:00-01:00", True),
    ],
)
def test_a_date_after_its_study_is_a_leak(cell: str, later: bool) -> None:
    (one,) = later_dates({"stay.discharge": ["2020-01-01", cell, ""]}, [AT, AT, AT])
    assert (one.check, one.name, one.leaks) == ("later", "stay.discharge", later)
    assert one.found == f"{int(later)} of 2 dates lie after their study"


@pytest.mark.parametrize("cell", ["", "20300101", "9999999999", "2030", "2030-13-01", "2030-X", "1.2e-3"])
def test_what_is_no_date_is_not_looked_at(cell: str) -> None:
    assert later_dates({"x": [cell]}, [AT]) == []


def test_a_study_without_a_time_has_nothing_later() -> None:
    assert later_dates({"x": ["2030-01-01"]}, [None]) == []


def test_rows_that_say_under_another_name_that_they_were_written_later_are_found() -> None:
    table = pd.DataFrame(
        {
            "study_id": ["a", "a", "b", "c", "d"],
            "recorded_at": ["2024-05-31", "2024-06-02T08:00", "", "x", "2099-01-01"],
            "born": ["1950-01-01"] * 5,
            "text": ["2024 was a good year"] * 5,
        }
    )
    (one,) = later_rows("history", table, "study_id", {"a": AT, "b": AT, "c": AT})
    assert (one.check, one.name, one.leaks) == ("later", "history.recorded_at", True)
    assert one.found == "1 of 2 rows that are read have a date after their study: name it as inputs.history.time"
