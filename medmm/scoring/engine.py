"""Studies to outcomes: worker processes decode while the model computes; a bad study costs one row."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, TypeAlias

import torch

from medmm.dataset.decode import prepare_studies
from medmm.errors import Code, Rejected
from medmm.inputs.tabular import TabularInput, with_checked_cells
from medmm.package import Package
from medmm.rules.book import Rulebook
from medmm.scoring.compiling import allow_shapes
from medmm.scoring.compute import Compute, Ready, largest_tile
from medmm.scoring.rows import Outcome, reject, score_tile
from medmm.types import Study
from medmm.workers import AHEAD, Limits, cores

Tile: TypeAlias = int | Literal["auto"] | None
"""Studies that the network sees at once: so many, as many as the memory of a GPU holds, or as many as the package says."""

UNDER_WAY = 2
"""Tiles under way at a time: while one is in the network, the next is put together and the rows of the last are made."""


def unheard(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Options:
    """How to score. Nothing here but `tile`, `precision` and `compiled` changes a bit of a score.

    Attributes:
        tile: Studies that the network sees at once; without a GPU "auto" is what the package says.
        workers: Processes that decode; None takes one a core, 0 decodes in this process.
        limits: Of one study in its process.
        contributions: Whether a row says what each input adds, for which the fusion is asked again with every subset of them.
        precision: A name in `PRECISIONS`.
        compiled: Whether encoders and fusion are compiled.
        say: Told what the user should know, once.
    """

    tile: Tile = None
    workers: int | None = None
    limits: Limits | None = None
    contributions: bool = True
    precision: str = "fp32"
    compiled: bool = False
    say: Callable[[str], None] = unheard


class Engine(Protocol):
    """From studies to outcomes."""

    def __call__(self, package: Package, studies: Iterable[Study], options: Options | None = None) -> Iterator[list[Outcome]]:
        """Give exactly one outcome of each study, in any order, as they come; studies are drawn as they are needed."""


def score_stream(package: Package, studies: Iterable[Study], options: Options | None = None) -> Iterator[list[Outcome]]:
    """Give the outcomes of studies, some at a time, as they come: a study that takes its time holds up no other.

    While tiles are in the network, studies are drawn and decoded for the next one.

    Args:
        package: The model.
        studies: Any number; drawn only as fast as outcomes are consumed.
        options: `Options()` where left out.
    """
    options = options or Options()
    gpu = torch.cuda.is_available()
    package.model.to(torch.device("cuda" if gpu else "cpu"))
    tile = options.tile if isinstance(options.tile, int) else package.tile
    largest = options.tile == "auto" and gpu
    book = package.rulebook()
    compute = Compute(package, partial(score_tile, package, book, contributions=options.contributions), tile, options.say)
    workers = cores() if options.workers is None else options.workers
    ahead = max(AHEAD * workers, tile + 2 * workers)  # a whole tile decodes while others are in the network
    stream = prepare_studies(
        _before(book, package, studies), package.inputs, workers, options.limits, ahead=ahead, ordered=False
    )
    good: list[Ready] = []
    bad: list[Outcome] = []
    running: deque[Future[list[Outcome]]] = deque()
    with _cores_shared(), ThreadPoolExecutor(UNDER_WAY, initializer=_begin, initargs=(options,)) as network:
        for study, prepared in stream:
            if isinstance(prepared, Rejected):
                bad.append(reject(study, prepared, package))
            elif not prepared:
                reason = Rejected(
                    Code.NO_INPUT, study.key, "none of the inputs", "at least one", "export the study with its data"
                )
                bad.append(reject(study, reason, package))
            else:
                good.append((study, prepared))
            del prepared
            if len(good) == tile and largest:
                tile, largest = largest_tile(package, good), False
                compute.tile = tile
            while running and (running[0].done() or (len(good) == tile and len(running) == UNDER_WAY)):
                yield running.popleft().result()
            if len(good) == tile:
                running.append(network.submit(compute, good))
                good = []
            if len(bad) == package.tile:
                yield bad
                bad = []
        while running:
            yield running.popleft().result()
    if good or bad:
        yield [*(compute(good) if good else []), *bad]


@contextmanager
def _cores_shared() -> Iterator[None]:
    """Share out the cores among the tiles under way; a network that asks for all of them waits for those that decode."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // UNDER_WAY))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _begin(options: Options) -> None:
    """Make a thread ready to compute: on a GPU in a queue of its own, so that a tile travels there while another computes."""
    if torch.cuda.is_available():
        torch.cuda.set_stream(torch.cuda.Stream())  # type: ignore[no-untyped-call]
    if options.compiled:
        allow_shapes()


def _before(book: Rulebook, package: Package, studies: Iterable[Study]) -> Iterable[Study]:
    """Apply the rules before the model, as a training does: to studies whose cells can be used."""
    tabular = [one for one in package.inputs.values() if isinstance(one, TabularInput)]
    return (book.before(with_checked_cells(study, tabular)) for study in studies) if book.rules else studies
