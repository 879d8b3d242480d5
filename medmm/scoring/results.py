"""The columns of the results, and the digest of their rows. But for `scored_at` nothing in them depends on the time."""

import hashlib
import json
from collections.abc import Iterable

import pyarrow as pa

from medmm.evaluation.answers import answer_columns, contribution_columns
from medmm.evaluation.drift import PROJECTION
from medmm.package import Package
from medmm.rules.trace import RULES, TRACE
from medmm.scoring.sinks.base import SCORED_AT, Row

TYPES = {"double": pa.float64(), "boolean": pa.bool_(), "string": pa.string()}

REJECTED = pa.schema(
    [
        ("patient_id", pa.string()),
        ("study_id", pa.string()),
        ("row", pa.int64()),
        ("code", pa.string()),
        ("reason", pa.string()),
        ("model_digest", pa.string()),
        (SCORED_AT, pa.string()),
    ]
)
"""Columns of a rejected study."""

VIOLATIONS = pa.schema(
    [
        ("input", pa.string()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("code", pa.string()),
        ("expected", pa.string()),
        ("repair", pa.string()),
    ]
)
"""Columns of a cell that is not as the model expects; what stands in the cell is none of them."""


def scored(package: Package) -> pa.Schema:
    """Give the columns of a scored study: its identifiers, what is said of it, its inputs and what each adds, the model.

    Of a model with rules also the rules that fired, with what each did, and where a rule may change a probability that of the
    model alone. Of a model with references also where the study lies among those of the training, for `medmm monitor`.
    """
    return pa.schema(
        [
            ("patient_id", pa.string()),
            ("study_id", pa.string()),
            *((name, TYPES[kind]) for name, kind in answer_columns(package.target).items()),
            *((name, TYPES[kind]) for name, kind in package.doubt_columns().items()),
            *((f"raw_probability_{name}", pa.float64()) for name in package.target.names if package.rulebook().moves),
            ("inputs", pa.list_(pa.string())),
            *((name, TYPES[kind]) for name, kind in contribution_columns(package.target, package.inputs).items()),
            ("conflict", pa.float64()),  # between the inputs, in [0, 1]; null where the fusion cannot tell
            *((name, pa.list_(pa.string())) for name in TRACE if package.rules),
            *((name, pa.list_(pa.float32())) for name in (PROJECTION,) if package.references is not None),
            ("model_digest", pa.string()),
            ("computed_in", pa.string()),
            (SCORED_AT, pa.string()),
        ]
    )


def rejected(package: Package) -> pa.Schema:
    """Give the columns of a rejected study; of a model with rules also the rules that fired before the model."""
    return REJECTED.append(pa.field(RULES, pa.list_(pa.string()))) if package.rules else REJECTED


def digest_of(rows: Iterable[Row]) -> str:
    """Give the SHA-256 of rows in any order, without the time: two scorings that say the same have the same.

    Each row is hashed by itself and the hashes are added up, so no row is kept; a row that stands there twice changes the sum.
    """
    total = 0
    for row in rows:
        text = json.dumps({name: cell for name, cell in row.items() if name != SCORED_AT}, sort_keys=True)
        total += int.from_bytes(hashlib.sha256(text.encode()).digest())
    return hashlib.sha256(total.to_bytes(64)).hexdigest()
