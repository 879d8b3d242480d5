"""Real series with reference volumes: what each reader gives back right, refuses, or gives back silently wrong.

The cases and their judge lie beside the checkout, in `../shared/data/dicom`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import OURS, ROOT
from medmm.readers import read_series
from medmm.types import Array

CASES = ROOT.parent / "shared" / "data" / "dicom"
READERS: Mapping[str, tuple[str, str]] = {
    OURS: ("benchmarks.cases:ours", "medmm"),
    "MONAI PydicomReader": ("monai_pydicom", "monai"),
    "MONAI ITKReader": ("monai_itk", "itk"),
    "SimpleITK": ("simpleitk", "SimpleITK"),
    "dcm2niix": ("dcm2niix", "dcm2niix"),
}
"""Name -> what the judge calls the reader, and the package that it needs."""

RIGHT = frozenset({"right", "resampled"})
REFUSED = frozenset({"refused", "empty"})
"""What is neither is wrong: values, geometry, or a part of the volumes only."""


@dataclass(frozen=True)
class Verdicts:
    """The table of cases.

    Attributes:
        rows: Case -> reader -> verdict.
        absent: Readers that are not installed.
    """

    rows: Mapping[str, Mapping[str, str]]
    absent: Sequence[str]

    def markdown(self) -> str:
        """Give the table, with the number of each kind of verdict at its end."""
        readers = list(next(iter(self.rows.values())))
        lines = ["**Real series beside their reference**", "", f"| case | {' | '.join(readers)} |"]
        lines.append("| --- " * (len(readers) + 1) + "|")
        for case, verdicts in self.rows.items():
            lines.append(f"| {case} | {' | '.join(verdicts[reader] for reader in readers)} |")
        for kind in ("right", "refused", "silently wrong"):
            counts = [sum(_kind(verdicts[reader]) == kind for verdicts in self.rows.values()) for reader in readers]
            lines.append(f"| **{kind}** | {' | '.join(f'**{count}**' for count in counts)} |")
        absent = f"\n\nNot installed, so not judged: {', '.join(self.absent)}." if self.absent else ""
        return "\n".join(lines) + absent


def run() -> list[Verdicts]:
    """Judge every installed reader on every case, each in a process of its own."""
    if not CASES.is_dir():
        raise SystemExit("the cases with references do not lie beside this checkout: clone them, or leave out `cases`")
    present = {name: key for name, (key, package) in READERS.items() if find_spec(package) is not None}
    with tempfile.TemporaryDirectory() as temporary:
        found = Path(temporary) / "verdicts.json"
        command = [sys.executable, "-W", "ignore", str(CASES / "bench_readers.py"), "--truth", str(CASES)]
        command += ["--readers", ",".join(present.values()), "--out", str(found)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        judged = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
        if judged.returncode:
            raise SystemExit(f"the judge of the cases failed: {judged.stderr[-2000:]}")
        verdicts = json.loads(found.read_text())
    rows = {case: {name: by_key[key]["verdict"] for name, key in present.items()} for case, by_key in verdicts.items()}
    return [Verdicts(rows, [name for name in READERS if name not in present])]


def ours(path: Path) -> list[tuple[Array, Array | None]]:
    """Read a case."""
    return [(volume.values, volume.affine) for volume in read_series(path)]


def _kind(verdict: str) -> str:
    if verdict in RIGHT:
        return "right"
    return "refused" if verdict in REFUSED else "silently wrong"
