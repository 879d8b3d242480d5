"""A process that forks scorers on demand, so that tests can kill many of them: what they import is paid for once.

    python scorers.py STUDIES PACKAGE [PACKAGE]

A line of JSON starts one, and is answered by its process number; a number waits for its end, and is answered by its status.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import medmm
from medmm.errors import MedmmError
from medmm.package import Package, load_package
from medmm.scoring import run
from medmm.scoring.engine import Options
from medmm.scoring.ledger import open_ledger
from medmm.scoring.shards import Shard
from medmm.scoring.studies import find_studies
from medmm.types import Study

TILE, AT_ONCE = 2, 4
"""Small, so that few studies make many commits and many claims."""

WATCHED = tuple(
    str(Path(medmm.__file__).parent / name) for name in ("scoring/ledger", "scoring/run.py", "scoring/sinks", "files.py")
)
REFUSED = 3


def main() -> None:
    torch.set_num_threads(1)
    run.AT_ONCE = AT_ONCE
    place, *models = sys.argv[1:]
    packages = [load_package(Path(model)) for model in models]
    studies = find_studies(packages[0], Path(place))
    answer(len(studies))
    for line in sys.stdin:
        words = json.loads(line)
        if isinstance(words, int):
            answer(os.waitpid(words, 0)[1])
            continue
        child = os.fork()
        if child == 0:
            try:
                os._exit(score(packages[words["model"]], studies, words))
            except BaseException:  # noqa: BLE001 - a child must never come back into the loop
                import traceback

                traceback.print_exc()
                os._exit(9)
        answer(child)


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def score(package: Package, studies: Sequence[Study], words: Mapping[str, Any]) -> int:
    """Score as a process of its own would, but for the decoding processes."""
    lines = count_lines(words["kill_at"])
    shard = Shard.parse(words["shard"]) if words["shard"] else None
    out = Path(words["out"])
    try:
        ledger = open_ledger(out, package.digest, words["ledger"], sharded=shard is not None)
        with run.Scorer(package, out, Options(workers=0, tile=TILE), ledger=ledger, shard=shard) as scorer:
            scorer.round(studies, lambda _done, _whole: time.sleep(words["pause"]))
            done = scorer.export()
    except MedmmError as reason:
        Path(words["said"]).write_text(json.dumps({"reason": str(reason)}))
        return REFUSED
    sys.settrace(None)
    said = {"digest": done.digest, "now": done.now, "scored": done.scored, "waits": done.waits, "lines": lines[0]}
    Path(words["said"]).write_text(json.dumps({**said, "rejected": sum(done.rejected.values())}))
    return 0


def count_lines(kill_at: int | None) -> list[int]:
    """Count the lines of the ledger and of what writes results as they are run, and end like `kill -9` before one of them."""
    lines = [0]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if event == "call":
            return trace if frame.f_code.co_filename.startswith(WATCHED) else None
        if event == "line":
            lines[0] += 1
            if lines[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    return lines


if __name__ == "__main__":
    main()
