"""The tables of the studies to be scored beside the schema that travels with the model."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from medmm.cohort.studies import Sources
from medmm.errors import Code
from medmm.inputs import Inputs
from medmm.inputs.schema import check_tables
from medmm.inputs.tabular import TabularSettings
from medmm.scoring.results import VIOLATIONS
from medmm.scoring.sinks import SINKS


def write_violations(inputs: Inputs, sources: Sources, out: Path, sink: str = "parquet") -> Mapping[Code, int]:
    """Write the result `violations`: a row a cell that is not as the model expects, whether a study reads it or not.

    Args:
        inputs: Of the package.
        sources: The export, after its studies were found; of a table that nobody read nothing is said.
        out: Folder of the results.
        sink: Format of the result.

    Returns:
        How many cells, by code: all of them, where the result holds the first ones of each table.

    Raises:
        DataError: A table lacks a column.
    """
    read = sources.opened()
    settings = {name: one.settings for name, one in inputs.items()}
    mine = {name: one for name, one in settings.items() if isinstance(one, TabularSettings) and one.table in read}
    counts: Counter[Code] = Counter()
    with SINKS.pick(sink).open(out, "violations", VIOLATIONS) as writer:
        for name, found in check_tables(sources, mine).items():
            writer.write(
                [
                    {
                        "input": name,
                        "row": one.row,
                        "column": one.column,
                        "code": one.code.value,
                        "expected": one.expected,
                        "repair": one.repair,
                    }
                    for one in found.violations
                ]
            )
            for (_, code), count in found.counts.items():
                counts[code] += count
    return dict(counts)
