"""Results as parquet: a row group at a time, so that memory does not grow with the number of studies."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medmm.files import writing
from medmm.scoring.sinks.base import Row, Writer

GROUP_ROWS = 1024


class _ParquetWriter:
    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer = writer
        self._schema = schema
        self._rows: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        """Take rows; full groups go to disk."""
        self._rows += rows
        while len(self._rows) >= GROUP_ROWS:
            self.flush(GROUP_ROWS)

    def flush(self, count: int) -> None:
        """Write the oldest rows as one group."""
        self._writer.write_table(pa.Table.from_pylist([dict(row) for row in self._rows[:count]], self._schema))
        del self._rows[:count]


class Parquet:
    """`NAME.parquet`, compressed with zstd."""

    @contextmanager
    def open(self, folder: Path, name: str, schema: pa.Schema) -> Iterator[Writer]:
        """Start `NAME.parquet`."""
        path = folder / f"{name}.parquet"
        with writing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as file:
            writer = _ParquetWriter(file, schema)
            yield writer
            writer.flush(GROUP_ROWS)
