"""MEDS data sets: a folder with data/**/*.parquet, an event a row, read into the same tables as other exports of records.

The value of a fact is `numeric_value`, written so that it reads back as the same float32, else `text_value`, else "true": the
event happened. A code stays whole (`LAB//1988-5//mg/L`), its part before the first `//` is the system; MEDS states no unit.
A row without a time is static: it was known at any time, so it stands before everything. `MEDS_BIRTH` and `GENDER//...` fill
the table of patients. MEDS holds neither reports nor links to images.

Source: MEDS 0.4, DataSchema: subject_id, time, code, numeric_value, text_value.
"""

from pathlib import Path

from medmm.errors import Code, Rejected
from medmm.readers.facts import PRESENT, Records, Rows, malformed, token
from medmm.readers.formats import files_in
from medmm.readers.table import read_table

BEFORE_EVERYTHING = "1700-01-01T00:00:00"
"""Time of what is static: early, and within the range of 64 bits of nanoseconds."""

BIRTH, SEX = "MEDS_BIRTH", "GENDER//"
REQUIRED = ("subject_id", "time", "code")
OPTIONAL = ("numeric_value", "text_value")


def is_meds(folder: Path) -> bool:
    """Tell whether a folder is a MEDS data set, by its layout."""
    return (folder / "data").is_dir() and any(file.suffix == ".parquet" for file in files_in(folder / "data"))


def read_meds(folder: Path) -> Records:
    """Read every shard.

    Raises:
        Rejected: A shard is no parquet file of MEDS: MALFORMED, EMPTY, TOO_LARGE.
    """
    rows = Rows()
    born: dict[str, str] = {}
    sexes: dict[str, str] = {}
    files = [file for file in files_in(folder / "data") if file.suffix == ".parquet"]
    for number, file in enumerate(files, start=1):
        where = f"file {number} of {len(files)}"
        try:
            table = read_table(file)
        except Rejected as reason:
            raise reason.at(where) from None
        missing = [name for name in REQUIRED if name not in table.columns]
        if missing:
            raise malformed(where, f"no column {', '.join(missing)}", "the columns of MEDS")
        columns = [table[name] if name in table.columns else [""] * len(table) for name in (*REQUIRED, *OPTIONAL)]
        for row, (patient, time, code, number_, text) in enumerate(zip(*columns, strict=True), start=1):
            if not patient or not code:
                raise Rejected(Code.EMPTY, f"{where}, row {row}", "no subject or no code", "both", "write the data set again")
            born.setdefault(patient, "")
            if code == BIRTH:
                born[patient] = time[:10]
            elif code.startswith(SEX):
                sexes[patient] = code.removeprefix(SEX)
            system = code.partition("//")[0] if "//" in code else ""
            value = number_ or text or PRESENT
            rows.facts.append((patient, "", time or BEFORE_EVERYTHING, code, value, "", system, "MEDS", token(system, code)))
    rows.patients.extend((patient, date, sexes.get(patient, "")) for patient, date in born.items())
    return rows.records()
