"""Ways to compute scores, by name. All give the same rows, bit for bit."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from medmm.package import Package
from medmm.scoring.engine import Options, score_stream
from medmm.scoring.ray_cluster import Cluster
from medmm.scoring.ray_engine import ray_engine
from medmm.scoring.rows import Outcome
from medmm.tables import Table
from medmm.types import Study


class Engine(Protocol):
    """From studies to outcomes."""

    def __call__(self, package: Package, studies: Iterable[Study], options: Options | None = None) -> Iterator[list[Outcome]]:
        """Give exactly one outcome of each study, in any order, as they come; studies are drawn as they are needed."""


@contextmanager
def local_engine(folder: Path, cluster: Cluster) -> Iterator[Engine]:
    """Give the engine of this machine."""
    yield score_stream


ENGINES: Table[Callable[[Path, Cluster], AbstractContextManager[Engine]]] = Table(
    "engine",
    {
        "local": local_engine,
        "ray": ray_engine,
    },
)
"""Each is opened with the package's folder and where a cluster is, and closed when the scoring ends."""
