"""What a sink owes: rows in, one standard format out, whole or not at all."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeAlias

import pyarrow as pa

Row: TypeAlias = Mapping[str, object]


class Writer(Protocol):
    """Takes rows while scoring goes on."""

    def write(self, rows: Sequence[Row]) -> None:
        """Take some rows, with the columns of the schema."""


class Sink(Protocol):
    """A format of results."""

    def open(self, folder: Path, name: str, schema: pa.Schema) -> AbstractContextManager[Writer]:
        """Start the result `name` in a folder. It appears when the block ends well, and not at all otherwise."""
