"""What an actor on a Ray cluster does: holds one model, takes lots of studies, and gives how each ended, whatever it meets."""

import json
import multiprocessing
import multiprocessing.forkserver
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from medmm.errors import Code, DataError, MedmmError, Rejected
from medmm.files import write_bytes
from medmm.package import Package, load_package
from medmm.scoring.engine import Options, score_stream
from medmm.scoring.messages import outcomes_text, studies_of
from medmm.scoring.precision import make_ready
from medmm.scoring.rows import Outcome, reject
from medmm.types import Study

Files: TypeAlias = Mapping[str, bytes]
"""Of a package: path in its folder -> content."""

LOT, STUDIES, ANSWER = "lot", "studies", "answer"
"""Columns of Ray's rows: name of a lot and the text of its studies; the text of some outcomes, or why nothing can be scored."""

PRELOADED = ["torch", "threadpoolctl", "medmm.dataset.decode"]
"""Loaded once an actor, so that the processes that decode start in a tenth of a second with every lot."""


def files_of(folder: Path) -> Files:
    """Give the files of a package."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def package_of(files: Files, digest: str) -> Package:
    """Verify and load a package that came as bytes.

    Args:
        files: Of the package.
        digest: Of the package that was asked for.

    Raises:
        DataError: It was changed, or is another.
    """
    with TemporaryDirectory(prefix="medmm-") as folder:
        for name, content in files.items():
            write_bytes(Path(folder) / name, content)
        package = load_package(Path(folder))
    if package.digest != digest:
        raise DataError("another package came than was asked for: score again")
    return package


class LotScorer:
    """Scores lots of studies. It never raises: what it met is told as an answer, for Ray would drop a lot, or the whole work.

    Args:
        files: Reference to the files of the package in the object store.
        digest: Of the package.
        tries: Actor of `medmm.scoring.tries.Tries`.
        options: How to score; decoding is always in processes of its own, so that a bad study costs itself alone.
    """

    def __init__(self, files: object, digest: str, tries: Any, options: Options) -> None:
        import ray

        self._tries = tries
        self._options = options
        self._fault: str | None = None
        try:
            _prepare_processes()
            self._package, _ = make_ready(package_of(ray.get(files), digest), options)
        except MedmmError as reason:
            self._fault = str(reason)
        except Exception as fault:  # noqa: BLE001 - its text may hold a path
            self._fault = f"a {type(fault).__name__} while the model was loaded on a node of the cluster: look at that node"

    def __call__(self, batch: Mapping[str, Sequence[str]]) -> Iterator[dict[str, list[str]]]:
        """Score the lots of a batch, and answer as tiles are done."""
        import ray

        for name, lot in zip(batch[LOT], batch[STUDIES], strict=True):
            if ray.get(self._tries.begin.remote(str(name))):
                for answer in self._answers(lot):
                    yield {ANSWER: [json.dumps(answer)]}

    def _answers(self, lot: str) -> Iterator[dict[str, str]]:
        if self._fault is not None:
            yield {"fault": self._fault}
            return
        try:
            for outcomes in each_ended(self._package, studies_of(lot), self._options):
                yield {"outcomes": outcomes_text(outcomes)}
        except MedmmError as reason:
            yield {"fault": str(reason)}


def each_ended(package: Package, studies: Sequence[Study], options: Options) -> Iterator[list[Outcome]]:
    """Give the outcomes of studies; what the model raises costs the study alone that makes it raise."""
    left = {study.row: study for study in studies}
    fault: Exception
    try:
        for outcomes in score_stream(package, studies, options):
            yield outcomes
            for one in outcomes:
                del left[one.study.row]
    except MedmmError:
        raise  # of the machine, not of a study
    except Exception as reason:  # noqa: BLE001 - whatever it is, it must not end the work of all others
        fault = reason
    else:
        return
    for study in left.values():
        if len(studies) > 1:
            yield from each_ended(package, [study], options)
        else:
            yield [reject(study, fallen(study, f"a {type(fault).__name__} in the model"), package)]


def fallen(study: Study, found: str) -> Rejected:
    """Give the reason to reject a study that cannot be scored where others can."""
    return Rejected(Code.CRASH, f"{study.key}, model", found, "a score", "look at the study's data, and at the cluster's logs")


def _prepare_processes() -> None:
    """Have the processes that decode forked from one that has loaded what they need, and nothing of Ray."""
    sys.modules["__main__"].__spec__ = ModuleSpec("__main__", None)  # else each runs Ray's own program once more
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    multiprocessing.forkserver.ensure_running()
