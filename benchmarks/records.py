"""Ten million laboratory values to features of every study, beside a plain pandas group-by of the same table in memory."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute

from benchmarks.measure import OURS, Result, Timed, interleaved, peak_mib
from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.inputs.base import Found
from medmm.inputs.tabular import TabularSettings

ROWS, PATIENTS, CODES = 10_000_000, 100_000, 20
UNIT = "mg/L"
KINDS = ("last", "min", "max", "mean")
RIVAL = "pandas: read, merge, sort, group-by"
LIMIT = "pandas: the group-by alone"
REPEATS = 1
GIB = 4
DAY_S = 86_400

MEMORY = "from benchmarks import records\nrecords.{}(*records.make_export({}, {}))"


def run() -> list[Result]:
    """Measure times and memory."""
    studies, labs = make_export(ROWS, PATIENTS)
    joined = join(studies, labs)
    ways: Mapping[str, Callable[[], object]] = {
        OURS: partial(features, studies, labs),
        RIVAL: partial(plain, studies, labs),
        LIMIT: partial(grouped, joined),
    }
    check(features(studies, labs), plain(studies, labs))
    seconds = interleaved(ways, REPEATS)
    del joined
    peaks = {OURS: "features", RIVAL: "plain"}
    memory = {name: peak_mib(MEMORY.format(call, ROWS, PATIENTS), []) for name, call in peaks.items()}
    rows = {name: Timed(seconds[name], memory.get(name)) for name in ways}
    verdict = (
        f"{seconds[OURS] / seconds[RIVAL]:.2f} of the time of plain pandas, {seconds[OURS] / seconds[LIMIT]:.1f} times that of "
        f"its group-by alone; {memory[OURS] / 1024:.1f} GiB of memory, {'below' if memory[OURS] < GIB * 1024 else 'above'} "
        f"the goal of {GIB}."
    )
    title = f"Long table to features: {ROWS:,} values of {PATIENTS:,} patients, {CODES} codes, {', '.join(KINDS)}"
    return [Result(title, rows, ROWS, "rows", verdict)]


def make_export(rows: int, patients: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make a studies table and a table of values over one year, all cells text; a part is later than its study."""
    rng = np.random.default_rng(0)
    ids = pa.array([f"P{number:07d}" for number in range(patients)])
    codes = pa.array([f"code{number:02d}" for number in range(CODES)])
    start = np.datetime64("2023-01-01", "s")
    labs = {
        "patient_id": ids.take(pa.array(rng.integers(0, patients, rows))),
        "time": _times(start + rng.integers(0, 365 * DAY_S, rows)),
        "code": codes.take(pa.array(rng.integers(0, CODES, rows))),
        "value": pa.array(rng.integers(1, 3000, rows) / 10).cast(pa.string()),
        "unit": pa.array([UNIT]).take(pa.array(np.zeros(rows, np.int8))),
    }
    studies = {
        "patient_id": ids,
        "study_id": pa.array([str(number) for number in range(patients)]),
        "time": _times(start + rng.integers(100 * DAY_S, 365 * DAY_S, patients)),
    }
    return _frame(studies), _frame(labs)


def features(studies: pd.DataFrame, labs: pd.DataFrame) -> list[Found]:
    """Give the features of every study, as training and scoring do."""
    column = {"unit": UNIT, "range": [0, 1000], "statistics": KINDS}
    numeric = {f"code{number:02d}": column for number in range(CODES)}
    settings = TabularSettings.model_validate({"table": "labs.csv", "layout": "long", "numeric": numeric})
    cohort = CohortSettings(root=Path(), time="time")
    sources = Sources(cohort, None, {"studies.csv": studies, "labs.csv": labs}, {})
    return settings.open("labs").gather(sources, read_studies(sources, None))


def join(studies: pd.DataFrame, labs: pd.DataFrame) -> pd.DataFrame:
    """Read times and numbers, and keep what is not later than the study."""
    at = studies.rename(columns={"time": "at"})[["patient_id", "at"]]
    read = labs.assign(time=pd.to_datetime(labs["time"]), value=pd.to_numeric(labs["value"]))
    joined = read.merge(at.assign(at=pd.to_datetime(at["at"])), on="patient_id", validate="many_to_one")
    return joined[joined["time"] <= joined["at"]].sort_values("time")


def grouped(joined: pd.DataFrame) -> pd.DataFrame:
    """Give the statistics of each patient and code."""
    return joined.groupby(["patient_id", "code"])["value"].agg(list(KINDS))


def plain(studies: pd.DataFrame, labs: pd.DataFrame) -> pd.DataFrame:
    """Do the same in the fewest lines of pandas: no unit, no range, no tie is looked at."""
    return grouped(join(studies, labs)).unstack("code")


def check(ours: list[Found], theirs: pd.DataFrame) -> None:
    """Hold that both ways give the same minima, maxima and means; the last one may differ where two stand at one time."""
    for patient, found in enumerate(ours[:1000]):
        for number in range(CODES):
            for kind in ("min", "max", "mean"):
                cell = found.cells[f"code{number:02d}.{kind}"]  # type: ignore[union-attr, index]
                value = theirs.loc[f"P{patient:07d}", (kind, f"code{number:02d}")]
                assert (not cell and np.isnan(value)) or np.isclose(float(cell), value), "the ways differ"


def _times(times: np.ndarray) -> pa.Array:
    return compute.strftime(pa.array(times), "%Y-%m-%dT%H:%M:%S")


def _frame(columns: Mapping[str, pa.Array]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(texts.cast(pa.large_string()), dtype="str") for name, texts in columns.items()})
