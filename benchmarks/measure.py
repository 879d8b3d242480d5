"""What every benchmark shares: interleaved medians, the peak memory of a fresh process, and tables."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
OURS = "ours"
TOUCHED_BYTES = 8 << 30


@dataclass(frozen=True)
class Timed:
    """One way to do a piece of work, as measured.

    Attributes:
        seconds: Median of the repeats.
        peak_mib: Highest memory of a process that does nothing else, imports included; None where it was not asked for.
    """

    seconds: float
    peak_mib: float | None = None


@dataclass(frozen=True)
class Result:
    """A table of one benchmark.

    Attributes:
        title: What was measured, and on what.
        rows: Way -> its measures; `OURS` is one of them, all ratios are against it.
        work: What one call does, counted in `unit`.
        unit: Such as series or samples.
        verdict: What to read from it.
    """

    title: str
    rows: Mapping[str, Timed]
    work: float
    unit: str
    verdict: str

    def markdown(self) -> str:
        """Give the table."""
        memory = any(row.peak_mib is not None for row in self.rows.values())
        head = ["way", "seconds", f"{self.unit}/s", "ours is faster by"] + ["peak memory, MiB"] * memory
        lines = [f"**{self.title}**", "", "| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
        ours = self.rows[OURS].seconds
        for name, row in self.rows.items():
            cells = [name, f"{row.seconds:.3f}", f"{self.work / row.seconds:.3g}", f"{row.seconds / ours:.2f}"]
            cells += ["" if row.peak_mib is None else f"{row.peak_mib:.0f}"] * memory
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", self.verdict])


def interleaved(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Give the median seconds of each way; all take turns, so that a busy moment of the machine meets every one of them.

    The first turn warms up caches and lazy imports, and does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def touch_memory() -> None:
    """Touch memory and give it back: a virtual machine takes it from its host on first use, at the cost of who comes first."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    np.ones(min(TOUCHED_BYTES, free // 2), np.uint8)


def peak_mib(code: str, arguments: Sequence[str]) -> float:
    """Give the highest resident memory of a new process that runs this code.

    It is VmHWM of Linux: `getrusage` of a child starts from the memory of the parent that spawned it.
    """
    ending = "\nimport pathlib\nprint(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    command = [sys.executable, "-W", "ignore", "-c", code + ending, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return int(ran.stdout.split()[-1]) / 1024


def machine() -> str:
    """Say on what was measured."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} CPU cores, {memory:.0f} GiB of memory; load average at the start {os.getloadavg()[0]:.1f}"
