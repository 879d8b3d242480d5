"""The age of a patient at a study, from a header or a cell.

Ages of 90 and above are one age, `OLDEST`, as the de-identification rules of the USA ask for: so few people are that old that
the number may tell who they are.

Source: DICOM PS3.5, section 6.2 (AS, DA); 45 CFR 164.514(b)(2)(i)(C).
"""

from __future__ import annotations

import math
import re
from datetime import date

OLDEST = 90.0
"""Stands for itself and all that is above, in years."""

IMPOSSIBLE = 130.0
"""No age, but a placeholder such as 999Y, or a date of birth that is none."""

COMPLETED = 2.0
"""From here on ages are told in completed years, as headers state them; below in parts of a year."""

PARTS_OF_A_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}


def age_of_header(age: str, born: str, studied: str) -> float | None:
    """Give the age in years: as it is stated or, where it is not, from two dates; None where neither tells.

    Args:
        age: Patient's Age, such as 045Y, 006M, 003W or 010D.
        born: Patient's Birth Date.
        studied: Study Date.
    """
    stated = re.fullmatch(r"([0-9]{1,3})([DWMY])", age.strip().upper())
    if stated is not None:
        return age_in_years(int(stated[1]) / PARTS_OF_A_YEAR[stated[2]])
    birth, day = _date(born), _date(studied)
    return None if birth is None or day is None else age_in_years(_between(birth, day))


def age_of_cell(cell: str) -> float | None:
    """Give the age in years that a cell states, as a number or as a header would; None where it states none."""
    try:
        return age_in_years(float(cell))
    except ValueError:
        return age_of_header(cell, "", "")


def age_in_years(age: float) -> float | None:
    """Give an age as all ages are told here; None where it is none."""
    if not 0 <= age < IMPOSSIBLE:
        return None
    return min(OLDEST, float(math.floor(age)) if age >= COMPLETED else round(age, 3))


def _between(birth: date, day: date) -> float:
    """Count completed years, and below `COMPLETED` parts of a year."""
    years = day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
    return years if years >= COMPLETED else (day - birth).days / PARTS_OF_A_YEAR["D"]


def _date(text: str) -> date | None:
    if re.fullmatch(r"[0-9]{8}", text.strip()) is None:
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return None
