"""Before anything is fitted: the tables of a run beside what its run file says of them."""

from collections import Counter

from medmm.cohort.studies import Sources
from medmm.config import RunConfig
from medmm.inputs.schema import check_tables

from .screen import Screen


def tell_violations(config: RunConfig, sources: Sources, screen: Screen) -> None:
    """Check every table of the inputs, and say how many of its cells are not as the run file says.

    A study that would read such a cell is left out by its code later, one by one; cells that no study reads count here too.

    Raises:
        DataError: A table or columns of it are missing.
    """
    for name, found in check_tables(sources, config.inputs).items():
        codes: Counter[str] = Counter()
        for (_, code), count in found.counts.items():
            codes[code.value] += count
        if codes:
            reasons = ", ".join(f"{code}: {count}" for code, count in sorted(codes.items()))
            cells = f"{codes.total()} cells of {name} are not as the run file says ({reasons})"
            screen.say(f"{cells}; studies that would read one are left out; `medmm inspect` tells more, with --json by row")
