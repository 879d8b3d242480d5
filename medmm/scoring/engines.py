"""Ways to compute scores, by name. All give the same rows, bit for bit."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from medmm.scoring.engine import Engine, score_stream
from medmm.scoring.ray_cluster import Cluster
from medmm.scoring.ray_engine import ray_engine
from medmm.tables import Table


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
