"""Tiles through the network, whatever happens: memory that runs out, a study on which it fails. T studies of a tile."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import TypeAlias

import torch

from medmm.errors import Code, Rejected
from medmm.evaluation.answers import answer_columns
from medmm.exact import is_exact
from medmm.inputs.base import Fields
from medmm.package import Package
from medmm.scoring.rows import Outcome, reject, tile_of
from medmm.types import Study

Ready: TypeAlias = tuple[Study, Mapping[str, Fields]]
"""A study and its prepared inputs."""

Score: TypeAlias = Callable[[Sequence[Ready], int], list[Outcome]]
"""At most T studies and T -> their outcomes."""

LARGEST = 256
"""Studies of a tile on a GPU at most: a study that is decoded waits for no more than these."""

ALLOCATION = ("DefaultCPUAllocator", "ALLOC_FAILED")
"""Words of an error that says that memory ran out, where it has no type of its own."""


class Compute:
    """Gives the outcomes of prepared studies, each of which has one, whatever the network does.

    Where memory runs out, tiles are halved, for the rest of the scoring. A study on which the network fails, or of which it
    says no number, is rejected, and the others go on. Several threads may call it at once.

    Args:
        package: The model.
        score: What computes a tile.
        tile: T to begin with.
        say: Told once of each step down.
    """

    def __init__(self, package: Package, score: Score, tile: int, say: Callable[[str], None]) -> None:
        self.tile = tile
        self._package = package
        self._score = score
        self._say = say
        self._lock = Lock()

    def __call__(self, studies: Sequence[Ready]) -> list[Outcome]:
        """Give the outcomes of any number of studies, in their order.

        Raises:
            torch.AcceleratorError: The GPU is lost, and with it all that would come after.
        """
        tile = self.tile
        try:
            parts = (studies[at : at + tile] for at in range(0, len(studies), tile))
            return [self._checked(outcome) for part in parts for outcome in self._score(part, tile)]
        except torch.AcceleratorError:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever a network does not foresee costs one study
            short, kind = is_out_of_memory(fault), type(fault).__name__  # its text may hold a path
        # Outside of the handler, for the fault holds on to all memory of the tile that failed.
        if short:
            _give_back()
            if tile > 1:
                self._step_down(tile)
                return self(studies)
        if len(studies) > 1:
            return [outcome for one in studies for outcome in self([one])]
        study = studies[0][0]
        if short:
            found = ("more memory than there is", "a study that fits", "score on a machine with more memory")
            return [reject(study, Rejected(Code.MEMORY, f"{study.key}, model", *found), self._package)]
        return [self._failed(study, f"a {kind} in the model")]

    def _step_down(self, tile: int) -> None:
        """Halve the tile that memory did not hold, unless another thread has done so already."""
        with self._lock:
            if self.tile == tile:
                self.tile //= 2
                self._say(
                    f"memory ran out: the network now sees {self.tile} studies at once; --batch-size {self.tile} starts so"
                )

    @cached_property
    def _numbers(self) -> list[str]:
        """Columns that hold a number in every row of `scores`."""
        target, moves = self._package.target, self._package.rulebook().moves
        raw = [f"raw_probability_{name}" for name in target.names if moves]
        return [*(name for name, kind in answer_columns(target).items() if kind == "double"), *raw]

    def _checked(self, outcome: Outcome) -> Outcome:
        """Reject a study of which the network says something that is no number."""
        if all(math.isfinite(float(str(outcome.row[name]))) for name in self._numbers):
            return outcome
        return self._failed(outcome.study, "an answer that is no finite number")

    def _failed(self, study: Study, found: str) -> Outcome:
        rest = ("a finite number", "look at the study's values, and report it")
        return reject(study, Rejected(Code.MODEL, f"{study.key}, model", found, *rest), self._package)


def largest_tile(package: Package, studies: Sequence[Ready]) -> int:
    """Give the largest tile, the package's doubled time and again, that memory holds and in which the model is exact.

    Args:
        package: Its model where it is to run.
        studies: Some, at least one, as examples.
    """
    tile = package.tile
    prepared = [fields for _, fields in studies]
    while 2 * tile <= LARGEST:
        try:
            if not is_exact(package.model, tile_of(package, prepared[: 2 * tile], 2 * tile), 2 * tile):
                return tile
        except Exception as fault:
            if not is_out_of_memory(fault):
                raise
            break
        tile *= 2
    _give_back()
    return tile


def is_out_of_memory(fault: BaseException) -> bool:
    """Tell whether an error says that memory ran out."""
    if isinstance(fault, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(fault, RuntimeError) and any(word in str(fault) for word in ALLOCATION)


def _give_back() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
