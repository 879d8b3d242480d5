"""Exactly once, under torture: two scorers, 22 kills at random moments, eleven poisoned studies among ten thousand."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.fusion import Finding
from benchmarks.measure import ROOT
from benchmarks.poisoned import POISONS, SIDE, make_package, make_studies
from medmm.files import UNFINISHED

STUDIES, OF_FIT = 10_000, 120
KILLS = 22
GOAL = 1.3
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): the processes that a killed scorer leaves behind become ours, and their time counts."""


@dataclass(frozen=True)
class Ran:
    """A scoring by one or two scorers.

    Attributes:
        seconds: From the first start to the last end.
        processor_seconds: Of all processes, those of killed scorers among them.
        kills: How many scorers were killed.
        digests: What the scorers that ended said of the results.
        rows: In `scores`.
        codes: In `rejected`, with their numbers.
        left: Unfinished files in the output folder.
    """

    seconds: float
    processor_seconds: float
    kills: int
    digests: frozenset[str]
    rows: int
    codes: Counter[str]
    left: int


def run() -> list[Finding]:
    """Score with one scorer, with two, and with two that are killed."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    count = int(os.environ.get("MEDMM_TORTURE_STUDIES", STUDIES))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_studies(folder / "fit", OF_FIT)
        make_package(folder / "fit", folder / "package")
        start = time.perf_counter()
        make_studies(folder / "studies", count)
        made = time.perf_counter() - start
        one = _score(folder, "one", scorers=1)
        clean = _score(folder, "two", scorers=2)
        rng = np.random.default_rng(0)
        moments = sorted(rng.uniform(0, clean.seconds, KILLS))
        tortured = _score(folder, "tortured", scorers=2, moments=moments)
    ways = {"one scorer": one, "two scorers": clean, f"two scorers, {KILLS} kills": tortured}
    rows = [
        (
            name,
            f"{ran.seconds:.0f}",
            f"{ran.processor_seconds:.0f}",
            f"{ran.seconds / clean.seconds:.2f}",
            ran.kills,
            ran.rows,
            ran.codes.total(),
            ran.left,
            "the same" if ran.digests == one.digests else "another",
        )
        for name, ran in ways.items()
    ]
    columns = ("way", "seconds", "processor seconds", "of two scorers", "kills", "scored", "rejected", "left behind", "digest")
    title = f"{count} studies with radiographs of {SIDE} x {SIDE}, made in {made:.1f} s, {len(POISONS)} of them poisoned"
    return [Finding(title, columns, rows, _verdict(count, one, clean, tortured))]


def _score(folder: Path, name: str, scorers: int, moments: Sequence[float] = ()) -> Ran:
    """Keep scorers at work until each has ended by itself; at each moment one is killed, and another takes its place."""
    out = folder / name
    rng = np.random.default_rng(1)
    before = _processor_seconds()
    start = time.perf_counter()
    running: list[subprocess.Popen[str] | None] = [_start(folder, out) for _ in range(scorers)]
    digests: list[str] = []
    left = list(moments)
    killed = 0
    while any(running):
        for place, scorer in enumerate(running):
            if scorer is not None and scorer.poll() is not None:
                assert scorer.stdout is not None
                assert scorer.returncode == 0, scorer.stdout.read()
                digests.append(scorer.stdout.read().strip())
                running[place] = None
        alive = [place for place, scorer in enumerate(running) if scorer is not None]
        if alive and left and time.perf_counter() - start >= left[0]:
            left.pop(0)
            place = int(rng.choice(alive))
            scorer = running[place]
            assert scorer is not None
            scorer.kill()
            scorer.wait()
            killed += 1
            running[place] = _start(folder, out)
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    _reap()
    tables = {one: pd.read_parquet(out / f"{one}.parquet") for one in ("scores", "rejected")}
    unfinished = sum(1 for _ in out.rglob(f"{UNFINISHED}*"))
    codes = Counter(tables["rejected"]["code"].tolist())
    assert tables["scores"]["study_id"].is_unique
    spent = _processor_seconds() - before
    return Ran(seconds, spent, killed, frozenset(digests), len(tables["scores"]), codes, unfinished)


def _start(folder: Path, out: Path) -> "subprocess.Popen[str]":
    """Start a scorer."""
    words = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.tortured",
        *map(str, (folder / "package", folder / "studies", out)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def _processor_seconds() -> float:
    """Give the processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reap() -> None:
    """Wait for the processes that killed scorers left behind, and end those whose reader hangs."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    for wait_seconds in (2, 0):
        time.sleep(wait_seconds)
        for child in map(int, children.read_text(encoding="ascii").split()):
            if not wait_seconds:
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0 if not wait_seconds else os.WNOHANG)


def _verdict(count: int, one: Ran, clean: Ran, tortured: Ran) -> str:
    expected = Counter(code.value for code in POISONS.values())
    whole = all(
        ran.rows == count - len(POISONS) and ran.codes == expected and ran.digests == one.digests and len(ran.digests) == 1
        for ran in (one, clean, tortured)
    )
    ratio, work = tortured.seconds / clean.seconds, tortured.processor_seconds / clean.processor_seconds
    of_one = tortured.seconds / one.seconds
    said = "reached" if ratio <= GOAL else "not reached"
    return (
        f"{'Each way ends in' if whole else 'NOT each way ends in'} {count - len(POISONS)} scored and {len(POISONS)} rejected "
        "studies, each by the code of its poison, and in one digest. Of the time of two scorers that nobody kills the torture "
        f"takes {ratio:.2f} (of their processor time {work:.2f}); the goal is {GOAL}, {said}. Of one's: {of_one:.2f}."
    )
