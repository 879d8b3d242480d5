"""`python -m benchmarks [NAME ...] [--write]`: the names stand in `--help`."""

import argparse
import logging
import os
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module

from benchmarks.measure import ROOT, machine, touch_memory

NAMES = (
    "accelerator",
    "backbone",
    "cases",
    "coverage",
    "data",
    "drift",
    "evidence",
    "exports",
    "fhir",
    "folder",
    "fusion",
    "head",
    "learning",
    "pretraining",
    "quality",
    "records",
    "rules",
    "scoring",
    "signal_preparation",
    "signals",
    "small",
    "torture",
    "training",
)
ON_REQUEST = {"accelerator"}
"""Needs a GPU."""
README = ROOT / "benchmarks" / "README.md"
BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed beside rival and limit, as ratios.")
    parser.add_argument(
        "names", nargs="*", metavar="|".join(NAMES), help=f"which to run; all but {', '.join(ON_REQUEST)} where left out"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    asked = parser.parse_args(arguments)
    unknown = set(asked.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: choose from {', '.join(NAMES)}")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads: idle threads must not take a rival's core
    warnings.filterwarnings("ignore")  # of the rivals
    logging.getLogger("monai").setLevel(logging.ERROR)  # about optional packages that are not installed
    touch_memory()
    for name in asked.names or [one for one in NAMES if one not in ON_REQUEST]:
        measured = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}."
        text = "\n\n".join([measured, *(result.markdown() for result in import_module(f"benchmarks.{name}").run())])
        print(f"{text}\n", flush=True)
        if asked.write:
            write(name, text)


def write(name: str, text: str) -> None:
    """Put the tables of one benchmark between its marks."""
    from medmm.files import write_text

    begin, end = BEGIN.format(name), END.format(name)
    before, rest = README.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    write_text(README, f"{before}{begin}\n\n{text}\n\n{end}{after}")


if __name__ == "__main__":
    main()
