"""Rows of the records that belong to a study and were known at its time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from medmm.cohort.studies import Sources
from medmm.types import Study

if TYPE_CHECKING:
    import pandas as pd

By: TypeAlias = Literal["study", "patient"]

Rows: TypeAlias = "Mapping[int, pd.DataFrame]"
"""Row of the study -> its rows of a table, oldest first; the column `ROW` holds the row of the study."""

CARDINALITY: Mapping[By, Literal["many_to_one", "many_to_many"]] = {"study": "many_to_one", "patient": "many_to_many"}
"""Rows of a table to rows of the studies table: a row is of one study, or of every study of its patient."""

ROW = "\x00row"  # cannot be the name of a column: tables with a NUL byte are refused
INDEX = "\x00index"
TIME = "\x00time"
UNREADABLE = "\x00unreadable"


def known_rows(
    sources: Sources, studies: Sequence[Study], name: str, columns: Sequence[str], by: By, time: str
) -> "pd.DataFrame":
    """Give the rows of a table that belong to the studies and were recorded at or before their time, oldest first.

    A study that stands in two rows of the studies table, and is rejected for that, has none by its own identifier.

    Args:
        sources: The opened export.
        studies: Whose rows.
        name: Table of the export.
        columns: Columns that it must have.
        by: Which identifier joins the two.
        time: Its column with the time of recording; a table without that column was known at any time.

    Returns:
        The table's columns, `ROW` (row of the study), `TIME`, and `UNREADABLE`: true where the time cannot be read.

    Raises:
        DataError: The table or a column is missing.
    """
    import pandas as pd

    key = sources.settings.study if by == "study" else sources.settings.patient
    table = sources.table(name, [key, *columns])
    ids = [study.study_id if by == "study" else study.patient_id for study in studies]
    index = pd.to_datetime(pd.Series([study.time for study in studies], dtype="datetime64[us]"))
    mine = pd.DataFrame({key: ids, ROW: [study.row for study in studies], INDEX: index})
    if by == "study":
        mine = mine.drop_duplicates(key, keep=False)
    rows = table[table[key].isin(set(ids))].merge(mine, on=key, how="inner", validate=CARDINALITY[by])
    if time in table.columns and sources.settings.time is not None:
        rows[TIME] = pd.to_datetime(rows[time], format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
        rows[UNREADABLE] = rows[TIME].isna()
        rows = rows[rows[UNREADABLE] | (rows[TIME] <= rows[INDEX])]
    else:
        rows[TIME] = pd.NaT
        rows[UNREADABLE] = False
    return rows.sort_values(TIME, kind="stable")
