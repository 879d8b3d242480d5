"""Dates of a header, moved by days; what is no whole date is not kept, for nobody could say what it tells.

Source: DICOM PS3.5, section 6.2 (DA, DT).
"""

import re
from datetime import datetime, timedelta

DAY = re.compile(r"[0-9]{8}")
OLD_DAY = re.compile(r"([0-9]{4})\.([0-9]{2})\.([0-9]{2})")
"""As the standard's predecessor wrote it, which readers are to understand."""

MOMENT = re.compile(r"([0-9]{8})((?:[0-9]{2}){0,3}(?:\.[0-9]{1,6})?(?:[+-][0-9]{4})?)")


def shifted_date(text: str, days: int) -> str:
    """Give a date (DA) moved by days; "" where it is incomplete, impossible or absent."""
    stated = text.strip()
    if old := OLD_DAY.fullmatch(stated):
        stated = "".join(old.groups())
    if DAY.fullmatch(stated) is None:
        return ""
    try:
        return f"{datetime.strptime(stated, '%Y%m%d') + timedelta(days):%Y%m%d}".rjust(8, "0")
    except (ValueError, OverflowError):
        return ""


def shifted_moment(text: str, days: int) -> str:
    """Give a date with a time (DT) moved by days, its time and time zone as they are; "" where no whole day is stated."""
    stated = MOMENT.fullmatch(text.strip())
    day = shifted_date(stated[1], days) if stated else ""
    return day + stated[2] if stated and day else ""
