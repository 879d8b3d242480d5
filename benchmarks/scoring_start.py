"""Time to the first score, and memory along a long scoring; each in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.measure import ROOT

STUDIES, FIRST = 10_000, 1_000
EVERY = 250
STARTS = 3
GOAL_SECONDS, GOAL_GROWTH = 5.0, 1.10


@dataclass(frozen=True)
class Lines:
    """A table of numbers that are no times of a piece of work.

    Attributes:
        title: What was measured, and on what.
        head: Names of the columns.
        rows: Cells.
        verdict: What to read from it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    verdict: str

    def markdown(self) -> str:
        """Give the table."""
        lines = [f"**{self.title}**", "", "| " + " | ".join(self.head) + " |", "| --- " * len(self.head) + "|"]
        return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in self.rows), "", self.verdict])


def start(package: Path, incoming: Path, out: Path) -> Lines:
    """Measure from the start of the command to the first commit."""
    rows, seconds = [], []
    for number in range(STARTS + 1):
        begun = time.time()
        code = f"from benchmarks.scoring_start import first_commit; first_commit({begun})"
        command = [sys.executable, "-c", code, "score", str(package), str(incoming), "--out", str(out / f"start{number}")]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        told = next(line.split() for line in ran.stderr.splitlines() if line.startswith("first "))
        if number:  # the first one fills the cache of files
            seconds.append(float(told[1]))
            rows.append([str(number), f"{seconds[-1]:.2f}", f"{float(told[2]):.2f}"])
    best = min(seconds)
    said = "reached" if best <= GOAL_SECONDS else "not reached"
    return Lines(
        "From the start of `medmm score` to the first committed score: the package of the demo, 20 studies",
        ["run", "seconds", "of which the main process computed"],
        rows,
        f"At best {best:.1f} s; the goal is {GOAL_SECONDS:g} s, {said}. On a busy machine the seconds are those of a queue.",
    )


def first_commit(begun: float) -> None:
    """Run the command in `sys.argv`, and tell when the first rows are committed."""
    from medmm.scoring.ledger.sqlite import SqliteLedger
    from medmm.workflows import cli

    commit: Callable[..., int] = SqliteLedger.commit
    told = []

    def timed(self: SqliteLedger, *rows: object) -> int:
        kept = commit(self, *rows)
        if not told:
            told.append(time.time() - begun)
            sys.stderr.write(f"first {told[0]} {time.process_time()}\n")
        return kept

    SqliteLedger.commit = timed  # type: ignore[method-assign]
    sys.argv[0] = "medmm"
    cli.main()


def memory(package: Path, incoming: Path, out: Path) -> Lines:
    """Measure the memory of all processes along a scoring."""
    code = "import sys; from benchmarks.scoring_start import long_scoring; from pathlib import Path; "
    code += "long_scoring(*map(Path, sys.argv[1:]))"
    command = [sys.executable, "-W", "ignore", "-c", code, str(package), str(incoming), str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    peaks: Mapping[int, float] = {int(done): float(mib) for done, mib in map(str.split, ran.stdout.splitlines())}
    early = max(mib for done, mib in peaks.items() if done <= FIRST)
    late = max(mib for done, mib in peaks.items() if done > FIRST)
    said = "reached" if late <= GOAL_GROWTH * early else "not reached"
    rows = [[f"{done:,}", f"{mib:.0f}"] for done, mib in peaks.items() if done in {max(peaks)} or done % 1000 < EVERY]
    return Lines(
        f"Memory of all processes along a scoring of {STUDIES:,} studies with four inputs (proportional share, MiB)",
        ["studies scored", "MiB"],
        rows,
        f"The peak is {early:.0f} MiB up to study {FIRST:,}, {late:.0f} MiB from there to the end, {late / early:.2f} times; "
        f"the goal is {GOAL_GROWTH:g}, {said}.",
    )


def long_scoring(package: Path, incoming: Path, out: Path) -> None:
    """Score, and print how many studies are done with the memory of all processes now and then."""
    from medmm.package import load_package
    from medmm.scoring.engine import Options
    from medmm.scoring.run import score
    from medmm.scoring.studies import find_studies
    from medmm.workers import get_ready

    get_ready(["medmm.dataset.decode"])
    loaded = load_package(package)
    found = [study for study in find_studies(loaded, incoming) if study.evidence and not study.rejected]
    studies = [replace(found[i % len(found)], row=i + 1, study_id=f"S{i}", patient_id=f"P{i}") for i in range(STUDIES)]
    said = 0

    def progress(done: int, _: int) -> None:
        nonlocal said
        if done - said >= EVERY:
            said = done
            print(done, tree_mib(os.getpid()), flush=True)

    score(loaded, studies, out, Options(workers=2), progress=progress)


def tree_mib(root: int) -> float:
    """Give the memory of a process and all below it, of shared pages the share of each (proc(5), Pss)."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:  # it has ended
                continue
    ours = {root}
    while more := {one for one, parent in parents.items() if parent in ours} - ours:
        ours |= more
    total = 0
    for one in ours:
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024
