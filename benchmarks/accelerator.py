"""Volumes scored on a GPU: studies a minute, its idle share, the time of one study; in 32 and 16 bits, compiled."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from threading import Event, Thread

import numpy as np
import torch

from benchmarks.data import make_ct
from benchmarks.scoring_rival import package_of
from benchmarks.scoring_start import Lines
from medmm.dataset.decode import prepare_studies, prepare_study
from medmm.errors import MedmmError, Rejected
from medmm.inputs.base import Fields
from medmm.package import Package
from medmm.scoring.compute import largest_tile
from medmm.scoring.engine import Options
from medmm.scoring.precision import prepare_model
from medmm.scoring.rows import score_tile
from medmm.scoring.run import score
from medmm.types import Evidence, Study
from medmm.workers import get_ready

SIZE = (96, 96, 96)
CHANNELS = 64
ALONE = 40
GOAL = 1.10
WAYS = (("fp32", False), ("bf16", False), ("fp32", True), ("bf16", True))
SCANS = {"CT of 128 slices of 512 x 512": (128, 512, 16, 480), "CT of 48 slices of 192 x 192": (48, 192, 32, 3200)}
"""What -> slices, side, series on disk, studies."""


@dataclass(frozen=True)
class Measured:
    """One way to compute.

    Attributes:
        tile: Studies that the network sees at once.
        decode: Seconds of decoding all studies, and nothing else.
        model: Seconds of computing them, prepared in memory, and nothing else.
        whole: Seconds of the scoring.
        idle: Share of the scoring during which the GPU computes nothing, in [0, 1].
        alone: 50th and 95th percentile of the milliseconds of a prepared study alone, to its row.
        digest: Of the results.
        apart: Largest difference of a probability from that in 32 bits.
    """

    tile: int
    decode: float
    model: float
    whole: float
    idle: float
    alone: tuple[float, float]
    digest: str
    apart: float


def run() -> list[Lines]:
    """Measure each kind of scan.

    Raises:
        MedmmError: There is no GPU.
    """
    if not torch.cuda.is_available():
        raise MedmmError("this benchmark needs a GPU that torch can use")
    get_ready(["medmm.dataset.decode"])
    return [_measure(what, *given) for what, given in SCANS.items()]


def _measure(what: str, slices: int, side: int, series: int, count: int) -> Lines:
    with tempfile.TemporaryDirectory() as temporary:
        first = Path(temporary, "000")
        first.mkdir()
        make_ct(first, slices, side)
        folders = [first, *(Path(temporary, f"{number:03d}") for number in range(1, series))]
        for folder in folders[1:]:
            shutil.copytree(first, folder)
        studies = [
            Study(row, f"P{row}", f"S{row}", evidence={"image": Evidence(files=tuple(sorted(folder.iterdir())))})
            for row, folder in enumerate(islice(cycle(folders), count), 1)
        ]
        package = replace(package_of(SIZE, "CT", CHANNELS), tile=16)
        one = prepare_study(studies[0], package.inputs)
        assert not isinstance(one, Rejected)
        outs = (Path(temporary, f"out{number}") for number in range(1_000))
        decode = min(_seconds(lambda: sum(1 for _ in prepare_studies(studies, package.inputs))) for _ in range(2))
        found = {way: _way(package, studies, one, decode, outs, *way) for way in WAYS}
    rows = []
    for (precision, compiled), seen in found.items():
        rows.append(
            [
                precision + ", compiled" * compiled,
                str(seen.tile),
                f"{60 * count / seen.whole:,.0f}",
                f"{60 * count / seen.decode:,.0f}",
                f"{60 * count / seen.model:,.0f}",
                f"{seen.whole / max(seen.decode, seen.model):.2f}",
                f"{seen.idle:.0%}",
                f"{seen.alone[0]:.1f}",
                f"{seen.alone[1]:.1f}",
                f"{seen.apart:.1e}",
            ]
        )
    ratios = [seen.whole / max(seen.decode, seen.model) for seen in found.values()]
    said = "reached" if max(ratios) <= GOAL else "not reached"
    head = ["way", "tile", "studies a minute", "decoding alone", "the model alone", "of the time of the slower"]
    head += ["GPU idle", "one study alone, ms: median", "p95", "probability differs by at most"]
    machine = f"{torch.cuda.get_device_name()}, {len(os.sched_getaffinity(0))} cores"
    return Lines(
        f"{machine}: {count} studies, {what}, resnet18 at 96 x 96 x 96",
        head,
        rows,
        f"A scoring takes {min(ratios):.2f} to {max(ratios):.2f} of the time of its slower part; the goal is {GOAL:g}, {said}.",
    )


def _way(
    package: Package,
    studies: Sequence[Study],
    one: Mapping[str, Fields],
    decode: float,
    outs: Iterator[Path],
    precision: str,
    compiled: bool,
) -> Measured:
    device = torch.device("cuda")
    plain = _probability(replace(package, model=prepare_model(package.model, "fp32", compiled=False, device=device)), one)
    model = prepare_model(package.model, precision, compiled=compiled, device=device)
    ready = replace(package, model=model, computed_in=precision + ", compiled" * compiled)
    tile = package.tile if compiled else largest_tile(ready, [(study, one) for study in studies[:256]])
    options = Options(tile=tile, precision=precision, compiled=compiled)
    prepared = [(study, one) for study in studies]
    _ask(ready, prepared[:tile], tile)  # compiles, and chooses among the ways to convolve
    alone = [1_000 * _seconds(lambda: score_tile(ready, ready.rulebook(), prepared[:1], ready.tile)) for _ in range(ALONE)]
    model_only = _seconds(lambda: _ask(ready, prepared, tile))
    score(ready, studies[: 2 * tile], next(outs), options)
    with watched() as busy:
        begun = time.perf_counter()
        scored = score(ready, studies, next(outs), options)
        whole = time.perf_counter() - begun
    assert scored.scored == len(studies), scored
    apart = abs(_probability(ready, one) - plain)
    p50, p95 = np.percentile(alone[1:], [50, 95])
    return Measured(tile, decode, model_only, whole, 1 - statistics.fmean(busy), (p50, p95), scored.digest, apart)


def _ask(package: Package, prepared: Sequence[tuple[Study, Mapping[str, Fields]]], tile: int) -> None:
    book = package.rulebook()
    for at in range(0, len(prepared), tile):
        score_tile(package, book, prepared[at : at + tile], tile)


def _probability(package: Package, one: Mapping[str, Fields]) -> float:
    (outcome,) = score_tile(package, package.rulebook(), [(Study(1, "P", "S"), one)], package.tile)
    return float(str(outcome.row["probability_ill"]))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


@contextmanager
def watched(every: float = 0.05) -> Iterator[list[float]]:
    """Ask the GPU how much of the last moments it computed (NVML, utilization.gpu), as long as the block runs."""
    busy: list[float] = []
    over = Event()

    def look() -> None:
        while not over.wait(every):
            busy.append(torch.cuda.utilization() / 100)

    watcher = Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield busy
    finally:
        over.set()
        watcher.join()
