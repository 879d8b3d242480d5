"""Threads within one image: decoders, numpy and file reads let go of the interpreter, so parts of an image share the cores."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from medmm.types import Array

Part = TypeVar("Part")
Result = TypeVar("Result")

KEPT_BYTES = 16 << 20
"""Largest array of a room that is kept: eight slices of 512 x 512 as float32 and as much again."""

_spare: list[Room] = []
_most: int | None = None  # of this process; None takes one thread a core


def limit_threads(most: int) -> None:
    """Say how many threads an image may take in this process, where other processes use the cores too."""
    global _most  # noqa: PLW0603 - how the cores are shared out is a matter of the whole process
    _most = most


def most_threads() -> int:
    """Give how many threads an image may take: one a core, unless `limit_threads` said otherwise."""
    return len(os.sched_getaffinity(0)) if _most is None else _most


def in_threads(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Work on each part, and give the results in the order of the parts.

    This thread works too, and no other one waits for results: each time a thread wakes up, one that works must make way for it,
    which with a pool of the standard library takes a fifth of the time.

    Raises:
        BaseException: That of the first part, in their order, whose work raises; no part is begun after it.
    """
    results: dict[int, Result] = {}
    errors: dict[int, BaseException] = {}
    waiting = deque(range(len(parts)))

    def share() -> None:
        while not errors:
            try:
                number = waiting.popleft()
            except IndexError:  # none is left
                return
            try:
                results[number] = work(parts[number])
            except BaseException as error:  # noqa: BLE001 - raised again below
                errors[number] = error

    others = [threading.Thread(target=share) for _ in range(min(most_threads(), len(parts)) - 1)]
    for thread in others:
        thread.start()
    share()
    for thread in others:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(parts))]


class Room:
    """Memory that is used again and again: fresh memory costs more time than what is written into it."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def array(self, name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> Array:
        """Give an array, undefined in its values, that may be used until the next one of this name is asked for."""
        size = math.prod(shape)
        held = self._arrays.get(name)
        if held is None or held.dtype != kind or held.size < size:
            held = self._arrays[name] = np.empty(size, kind)
        return held[:size].reshape(shape)

    def shrink(self) -> None:
        """Let go of what is too large to be kept for the next image."""
        self._arrays = {name: held for name, held in self._arrays.items() if held.nbytes <= KEPT_BYTES}


@contextmanager
def room() -> Iterator[Room]:
    """Lend a room, to one thread at a time."""
    lent = _spare.pop() if _spare else Room()
    try:
        yield lent
    finally:
        lent.shrink()
        _spare.append(lent)
