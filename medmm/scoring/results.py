"""The columns of the results. Nothing in them depends on the time or the machine, so scoring again gives the same bytes."""

import pyarrow as pa

from medmm.package import Package

REJECTED = pa.schema(
    [
        ("patient_id", pa.string()),
        ("study_id", pa.string()),
        ("row", pa.int64()),
        ("code", pa.string()),
        ("reason", pa.string()),
        ("model_digest", pa.string()),
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
    """Give the columns of a scored study: its identifiers, a probability and a decision a class, its inputs, the model."""
    return pa.schema(
        [
            ("patient_id", pa.string()),
            ("study_id", pa.string()),
            *((f"probability_{name}", pa.float64()) for name in package.target.names),
            *((f"decision_{name}", pa.bool_()) for name in package.target.names),
            ("inputs", pa.list_(pa.string())),
            ("conflict", pa.float64()),  # between the inputs, in [0, 1]; null where the fusion cannot tell
            ("model_digest", pa.string()),
        ]
    )
