"""What was scored in a stretch of time: the rows of `scores` and `rejected`, in the terms of the package's reference.

N studies, C answers, I inputs, P parts, F directions.
"""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medmm.doubts import ABSTAIN
from medmm.errors import ConfigError, DataError
from medmm.evaluation.answers import answer_columns
from medmm.evaluation.drift import DIRECTIONS, PROJECTION
from medmm.monitoring.drift_tests import Batch
from medmm.package import Package
from medmm.scoring.results import rejected, scored
from medmm.scoring.sinks.base import SCORED_AT
from medmm.scoring.sinks.csv import read_csv
from medmm.types import Array

REPAIR = "give the output folder of `medmm score` for this model"


@dataclass(frozen=True)
class Span:
    """From when to when studies were scored; None is open.

    Attributes:
        since: The first moment that counts.
        until: The first that does not.
    """

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, moments: Array) -> Array:
        """Tell which of the times (n,) of `scored_at` lie within."""
        found = [datetime.fromisoformat(one) for one in moments]
        low, high = self.since or datetime.min.replace(tzinfo=UTC), self.until or datetime.max.replace(tzinfo=UTC)
        return np.array([low <= one < high for one in found], bool)


@dataclass(frozen=True)
class Window:
    """Scored and rejected studies of a span.

    Attributes:
        study_id, patient_id: (N,) texts; they stand in no output.
        batch: What is compared.
        abstain: (N,) whether no answer should be relied on; None for a model that never says so.
        rejected: Code -> studies, of those that were rejected.
        refused: (M,) whose each of them is.
        first, last: When the first and the last study ended; "" where there is none.
    """

    study_id: Array
    patient_id: Array
    batch: Batch
    abstain: Array | None
    rejected: Mapping[str, int]
    refused: Array
    first: str
    last: str


def moment(text: str, now: datetime, option: str) -> datetime:
    """Read a time: a date or time in ISO 8601, UTC where it names no zone, or `7d` and `24h` for so long ago.

    Args:
        text: What was given.
        now: The present.
        option: Who asks.

    Raises:
        ConfigError: It is no time.
    """
    units = {"d": 24, "h": 1}
    try:
        if text[-1:] in units and text[:-1].isdecimal():
            return now - timedelta(hours=int(text[:-1]) * units[text[-1]])
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigError(f"{option} is no time: give one as 2026-11-27, 2026-11-27T06:00, 7d or 24h") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_window(folder: Path, package: Package, span: Span) -> Window:
    """Read what was scored by a package in a span.

    Args:
        folder: Output folder of `medmm score`.
        package: With references.
        span: Which studies count.

    Raises:
        DataError: There are no results, or those of another model.
    """
    assert package.references is not None
    table = _within(_read(folder, "scores", scored(package), package.digest), span, "scores")
    refused = _within(_read(folder, "rejected", rejected(package), package.digest), span, "rejected")
    names = tuple(sorted(package.inputs))
    said = list(answer_columns(package.target))[: len(package.target.names)]
    if any(table.column(name).null_count for name in (*said, "inputs")):
        raise DataError(f"the scores hold a study without an answer or without its inputs: {REPAIR}")
    has = table.column("inputs").to_pylist()
    patient = _texts(table, "patient_id")
    moments = sorted([*_texts(table, SCORED_AT), *_texts(refused, SCORED_AT)])
    batch = Batch(
        np.unique(patient, return_inverse=True)[1] if len(patient) else np.array([], np.int64),
        np.stack([table.column(name).to_numpy() for name in said], axis=1).astype(np.float64),
        np.array([[name in own for name in names] for own in has], bool).reshape(-1, len(names)),
        _embedding(table, len(names) + 1),
    )
    return Window(
        _texts(table, "study_id"),
        patient,
        batch,
        np.array(table.column(ABSTAIN).to_pylist(), bool) if ABSTAIN in table.column_names else None,
        dict(sorted(Counter(refused.column("code").to_pylist()).items())),
        _texts(refused, "patient_id"),
        moments[0] if moments else "",
        moments[-1] if moments else "",
    )


def _read(folder: Path, name: str, schema: pa.Schema, digest: str) -> pa.Table:
    parquet, text = folder / f"{name}.parquet", folder / f"{name}.csv"
    if not parquet.is_file() and not text.is_file():
        raise DataError(f"there are no {name} in the folder: {REPAIR}")
    try:
        table = pq.read_table(parquet) if parquet.is_file() else read_csv(text, _of_file(text, schema))
        _check(table, schema)
    except (pa.ArrowException, ValueError, KeyError) as reason:
        raise DataError(f"the {name} cannot be read ({type(reason).__name__}): {REPAIR}") from None
    others = {one for one in table.column("model_digest").unique().to_pylist() if one != digest}
    if others:
        raise DataError(f"the {name} hold rows of another model than this package: {REPAIR}")
    return table


def _of_file(path: Path, schema: pa.Schema) -> pa.Schema:
    """Give the columns of a CSV in its own order: an older one has fewer."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    return pa.schema([schema.field(name) for name in names])


def _check(table: pa.Table, schema: pa.Schema) -> None:
    """Make sure that every column is there, in its type; that of projections may be missing.

    Raises:
        ValueError: One is not.
    """
    for field in schema:
        if field.name == PROJECTION and field.name not in table.column_names:
            continue
        if table.schema.field(field.name).type != field.type:
            raise ValueError(field.name)


def _within(table: pa.Table, span: Span, name: str) -> pa.Table:
    try:
        return table.filter(pa.array(span.holds(_texts(table, SCORED_AT)), pa.bool_()))
    except (TypeError, ValueError):
        raise DataError(f"the {name} hold a {SCORED_AT} that is no time in UTC: {REPAIR}") from None


def _texts(table: pa.Table, name: str) -> Array:
    return np.array(table.column(name).to_pylist(), object)


def _embedding(table: pa.Table, parts: int) -> Array | None:
    """Give (N, P, F) float16; None where any row has none, as of an older version."""
    rows: list[Any] = table.column(PROJECTION).to_pylist() if PROJECTION in table.column_names else [None]
    if not all(one is not None and len(one) == parts * DIRECTIONS for one in rows):
        return None
    return np.array(rows, np.float16).reshape(-1, parts, DIRECTIONS)
