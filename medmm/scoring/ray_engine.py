"""The engine of a Ray cluster: Ray Data hands lots of studies to a pool of actors, each with the model on a GPU of its own.

Only descriptions of studies and rows of results pass through Ray, never pixels. Ray Data drops a lot that fails, and tries one
that kills its actor for ever; so tries are counted here, and what has no answer in the end gets a row that says so.
"""

import json
import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from math import ceil
from pathlib import Path

from medmm.errors import MedmmError
from medmm.package import Package
from medmm.scoring.engine import Engine, Options, unheard
from medmm.scoring.messages import outcomes_of, studies_text
from medmm.scoring.ray_cluster import Cluster, connected
from medmm.scoring.ray_worker import ANSWER, LOT, STUDIES, LotScorer, fallen, files_of
from medmm.scoring.rows import Outcome, reject
from medmm.scoring.tries import Tries
from medmm.types import Study

AT_ONCE = 8192
"""Studies that are claimed, described and handed over together: enough to keep many actors busy, few enough for memory."""

LARGEST = 256
"""Most studies that an actor takes at a time."""

LOTS_EACH = 4
"""Lots for each actor at least, where there are studies enough: so that all end at about the same time."""


@contextmanager
def ray_engine(folder: Path, cluster: Cluster) -> Iterator[Engine]:
    """Give an engine that scores on a Ray cluster, for as long as the block lasts.

    Args:
        folder: Of the package; its bytes are handed to the cluster once.
        cluster: Where to.

    Raises:
        MedmmError: There is no such cluster, or it is open to everybody.
    """
    with connected(cluster):
        import ray

        yield partial(_score, ray.put(files_of(folder)), cluster)


def _score(
    files: object, cluster: Cluster, package: Package, studies: Iterable[Study], options: Options | None = None
) -> Iterator[list[Outcome]]:
    """Give the outcomes of studies, in the order in which they end."""
    source = iter(studies)
    while some := list(islice(source, AT_ONCE)):
        yield from _ended(_Pool(files, package.digest, cluster, options or Options()), package, some)


def _ended(pool: "_Pool", package: Package, studies: Sequence[Study]) -> Iterator[list[Outcome]]:
    """Give exactly one outcome of each study: lots that were lost come again, smaller, at last a study at a time."""
    left = {study.row: study for study in studies}
    for most in (LARGEST, package.tile, 1):
        for outcomes in pool.outcomes(list(left.values()), most, package.tile):
            once = [one for one in outcomes if left.pop(one.study.row, None) is not None]
            if once:
                yield once
        if not left:
            return
    yield [reject(study, fallen(study, "the loss of every process that scored it"), package) for study in left.values()]


class _Pool:
    """Actors of a cluster: one a GPU, or where it has none one for so many cores as an actor has processes that decode."""

    def __init__(self, files: object, digest: str, cluster: Cluster, options: Options) -> None:
        import ray

        there = ray.cluster_resources()
        cpus, gpus = max(1, int(there.get("CPU", 0))), int(there.get("GPU", 0))
        workers = max(1, options.workers or (cpus // gpus if gpus else 1))
        self._takes = {"num_cpus": min(workers, cpus), "num_gpus": 1 if gpus else 0}
        self._now = gpus or max(1, cpus // workers)
        self._most = cluster.actors or self._now
        self._carries = (
            files,
            digest,
            ray.remote(Tries).options(num_cpus=0, max_restarts=-1).remote(),
            replace(options, workers=workers, say=unheard),
        )

    def outcomes(self, studies: Sequence[Study], most: int, tile: int) -> Iterator[list[Outcome]]:
        """Give the outcomes of studies, but of those that Ray lost.

        Args:
            studies: At least one.
            most: Studies of a lot.
            tile: Of the model; a lot is a multiple of it where it can be.
        """
        import ray
        from ray.exceptions import RayError

        size = min(most, tile * ceil(len(studies) / self._most / LOTS_EACH / tile))
        lots = [
            {LOT: uuid.uuid4().hex, STUDIES: studies_text([from_anywhere(study) for study in studies[at : at + size]])}
            for at in range(0, len(studies), size)
        ]
        found = ray.data.from_items(lots, override_num_blocks=len(lots))
        _steer(found.context)
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        actors = min(self._most, len(lots))
        scored = found.map_batches(
            LotScorer,
            fn_constructor_args=self._carries,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors, initial_size=min(self._now, actors)),
            **self._takes,
        )
        try:
            for row in scored.iter_rows():
                answer = json.loads(row[ANSWER])
                if "fault" in answer:
                    raise MedmmError(answer["fault"])
                yield outcomes_of(answer["outcomes"])
        except RayError as reason:
            raise MedmmError(
                f"the Ray cluster failed ({type(reason).__name__}); what was scored is kept: see that medmm is installed on "
                "every node and that the nodes are up, and give the same command again"
            ) from None


def from_anywhere(study: Study) -> Study:
    """Give a study whose files are found from every folder, for actors work in one of their own."""
    evidence = {name: replace(one, files=tuple(file.absolute() for file in one.files)) for name, one in study.evidence.items()}
    return replace(study, evidence=evidence)


def _steer(context: object) -> None:
    """Have answers come one by one, losses told to `_ended` by their absence, and nothing drawn on the screen."""
    for name, value in {
        "target_max_block_size": 1,  # byte: each answer leaves its actor at once
        "max_errored_blocks": -1,
        "enable_progress_bars": False,
        "print_on_execution_start": False,
    }.items():
        setattr(context, name, value)
